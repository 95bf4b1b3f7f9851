"""A run and its life: launch, supervise, record, recover, diagnose, finish. Knows no screen."""
