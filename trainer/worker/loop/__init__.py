"""The training loop: the recorded trainer, its callback, requests from outside, errors, and exact resumption."""
