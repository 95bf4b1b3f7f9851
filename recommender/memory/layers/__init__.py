"""A decoder layer as a tape of operations: what each saves for its backward pass and holds while it runs.

Known by the rest of `recommender.memory` only.
"""
