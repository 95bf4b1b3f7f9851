"""Where a model's files are: a folder, the Hugging Face cache, the hub; missing files, headers and digests.

Knows nothing of architectures; `recommender.model.reader` asks it.
"""
