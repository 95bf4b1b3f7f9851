"""Getting a model here: downloads into the Hugging Face cache, the demo model, and a record of a model's own code.

Knows `recommender.model`; known by the commands, the screens and the worker.
"""
