"""Learning the memory formula of a class from traces of a few of its layers: a program of its own, with torch.

docs/memory.md explains the method. `ask` alone is imported by the wizard, and imports no torch.
"""
