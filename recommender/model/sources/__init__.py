"""Sources of a model's files: a folder, the Hugging Face cache, the hub; missing files, headers and digests.

Knows nothing of architectures; `recommender.model.reader` asks it.
"""
