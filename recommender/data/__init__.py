"""Rows, templates, tokens and label masks: one module makes what the screen shows and the worker trains on."""
