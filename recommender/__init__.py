"""Recommendations and their reasons: machine, model, data, memory, time, rules, search. Pure; no run, no screen."""
