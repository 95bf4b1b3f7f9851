"""Facts and recipes as YAML files, their schema and their loader. Knows nothing of the floors above."""
