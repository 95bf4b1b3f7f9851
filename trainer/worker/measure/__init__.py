"""Measurements inside the worker: memory, the preflight step, FLOPs, and torch's abilities here."""
