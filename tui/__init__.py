"""What a person sees: Textual screens and widgets, and the command line."""
