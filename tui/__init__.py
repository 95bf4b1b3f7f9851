"""The user interface: Textual screens and widgets, and the command line."""
