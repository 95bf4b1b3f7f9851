"""Memory, time and disk of one configuration on one device, and the same question asked backwards.

Knows memory, time, data, model and machine; the rules and the plan ask it.
"""
