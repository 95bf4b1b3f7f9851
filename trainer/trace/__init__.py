"""The trace tier of the estimator: the real model class, run on tensors without data in a process of its own.

`trainer.trace.ask` is what others call; `python -m trainer.trace` is the child, the only place here with torch.
"""
