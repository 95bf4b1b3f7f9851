"""The run folder: what lies in it, and how each file is written so that a crash leaves it whole.

Every other package of `trainer` may know it; it knows none of them.
"""
