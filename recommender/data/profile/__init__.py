"""A data set's profile: collected in one pass, assembled, kept in a cache, refined while rows are still being read.

Knows formats, templates and tokens; `load` and the estimator ask it.
"""
