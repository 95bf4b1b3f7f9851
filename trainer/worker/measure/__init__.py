"""Measurements inside the worker: memory, the preflight step, FLOPs, and what torch can do here."""
