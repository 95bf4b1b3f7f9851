"""Step 6 of the wizard and `lora-wizard watch`: the dashboard of one run."""
