"""GPUs: NVML's readings, GPUs that NVML does not list, visible and unused ones, and the owners of GPU processes.

Known by `recommender.machine.probe` and `devices`; everyone else reads `recommender.machine.facts`.
"""
