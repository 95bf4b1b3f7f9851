"""The machine around the GPUs: control groups, mounts, and logind's handling of a logout.

Known by `recommender.machine.probe`; everyone else reads `recommender.machine.facts`.
"""
