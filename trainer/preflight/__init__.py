"""Before a start: the gate that every start passes, the list of checks, the measured worst step, consent to commands.

Knows `trainer.process` and `trainer.run`; known by the commands and screens.
"""
