"""How long a configuration takes: FLOPs and bytes of a step against what the device can do."""
