"""Memory, time and disk of one configuration on one device, and their inverses: the limits that still fit.

Knows memory, time, data, model and machine; the rules and the plan ask it.
"""
