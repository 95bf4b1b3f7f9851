"""What training leaves: the adapter, its model card, sample answers; and disk space for all of it."""
