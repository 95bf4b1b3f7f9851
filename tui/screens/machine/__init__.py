"""Step 1 of the wizard: the Machine screen and the catalogue of GPUs to plan for."""
