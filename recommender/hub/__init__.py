"""The Hugging Face hub: whether it answers, its errors in the user's words, and the bytes of its downloads.

For models and data sets alike; each asks for its own facts in its `sources`. The hub's library is imported when asked.
"""
