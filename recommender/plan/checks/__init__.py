"""Judgements on one configuration: conflicts, rows that must not be trained on, unusual values, warnings.

Known by the rest of `recommender.plan`, the gate before a start, and the screens; none of them searches.
"""
