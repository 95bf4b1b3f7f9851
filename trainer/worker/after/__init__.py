"""Programs that run once a training has ended: merge, chat, and the demo model's conversion. Not part of a training."""
