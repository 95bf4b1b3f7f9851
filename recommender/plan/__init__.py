"""Planning: the request, the search over candidates, edits, warnings, remedies, and the plan as values and JSON.

Asks the rules and the estimator; known by the screens, the commands and `trainer`, never by the rest of `recommender`.
"""
