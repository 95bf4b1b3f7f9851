"""Step 2 of the wizard: the Model screen."""
