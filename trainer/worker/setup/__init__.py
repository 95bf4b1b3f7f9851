"""Set-up of a trainer from a configuration: model, adapter, arguments, rows, and a checkpoint's weights."""
