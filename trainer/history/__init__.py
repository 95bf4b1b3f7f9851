"""Reading runs: events followed as they are appended, columns of logged values, snapshots, and the list of all runs.

Knows `trainer.run` only; never writes.
"""
