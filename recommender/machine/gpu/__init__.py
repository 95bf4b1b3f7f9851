"""GPUs: NVML's readings, GPUs that NVML does not name, which are visible or unused, and whose processes they hold.

Known by `recommender.machine.probe` and `devices`; everyone else reads `recommender.machine.facts`.
"""
