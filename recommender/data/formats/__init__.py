"""Reading of rows: recognising columns, asking where they are ambiguous, and normalising rows to examples.

Knows no file and no tokenizer.
"""
