"""What a model is made of, learned from its own class: `ask` in any process, the rest in a child with Transformers."""
