"""Step 3 of the wizard: the Data screen, its sample pane, its windows for sources, columns and speakers."""
