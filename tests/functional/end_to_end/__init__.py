"""The whole path in a real pseudo-terminal: wizard, check list, run, dashboard, adapter."""
