"""Programs of the child processes: the only place where torch and the training stack are imported."""
