"""Estimate of a run's time: FLOPs and bytes of a step against what the device can do."""
