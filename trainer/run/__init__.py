"""The run folder: what lies in it, how each file is written so that a crash leaves it whole, and how a run is removed.

Every other package of `trainer` may know it; it knows none of them.
"""
