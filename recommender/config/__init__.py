"""FinetuneConfig: the one typed, validated configuration, its file and its edits."""
