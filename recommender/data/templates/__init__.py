"""Chat templates: which one is used, rendering it as Transformers does, and what it does to answers and reasoning.

Knows examples (`formats`) and the tokenizer's settings, not how a data set is profiled.
"""
