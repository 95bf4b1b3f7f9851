"""Diagnosis of a run from its history: findings about learning and the machine, with evidence and advice.

Pure: a snapshot in, findings out.
"""
