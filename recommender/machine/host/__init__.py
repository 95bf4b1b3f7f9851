"""The machine around the GPUs: control groups, mounts, and what a logout ends.

Known by `recommender.machine.probe`; everyone else reads `recommender.machine.facts`.
"""
