"""Architecture facts of a model, read from a folder, the local cache, the hub or the catalogue."""
