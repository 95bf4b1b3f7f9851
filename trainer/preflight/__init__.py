"""Before a start: the gate that every start passes, the list of checks, and the measured worst step.

Knows `trainer.process` and `trainer.run`; known by the launch, the commands and screens.
"""
