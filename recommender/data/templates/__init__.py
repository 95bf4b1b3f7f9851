"""Chat templates: their choice, rendering as in Transformers, and their effect on answers and reasoning.

Knows examples (`formats`) and the tokenizer's settings, not how a data set is profiled.
"""
