"""From a configuration to a trainer: model, adapter, arguments, rows, and a checkpoint's weights put back."""
