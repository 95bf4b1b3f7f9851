"""One module for each screen of the wizard and the dashboard."""
