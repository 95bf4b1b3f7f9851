"""Sources of rows: files, folders, the hub, LLaMA-Factory's index, and a reader for each file format.

Knows nothing of what a row means; the only user of `readers`.
"""
