"""Uses of a result: merge, chat, compare, export targets, and short trials of several values.

Each starts child processes of `trainer.worker.after` or runs of their own; none imports torch.
"""
