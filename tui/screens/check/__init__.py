"""Step 5 of the wizard: the Check screen, and what stands between a plan and its start."""
