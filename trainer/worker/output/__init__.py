"""The results of training: the adapter, its model card, sample answers; and disk space for all of it."""
