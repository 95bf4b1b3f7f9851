"""The terminal: base application, themes, ASCII fallback, encodings, keys typed ahead, sanitised text, threads, errors.

Knows no screen and no run.
"""
