"""Examples to token ids and label masks: the tokenizer, the characters of each answer, and lengths without a tokenizer.

The Data screen, the profile and the worker all get their tokens from here.
"""
