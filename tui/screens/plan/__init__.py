"""Step 4 of the wizard: the Plan screen, its form, editor, meter, and windows."""
