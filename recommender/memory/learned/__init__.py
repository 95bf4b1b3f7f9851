"""Memory formulas learned from traces of a class: recipes, tapes, their store, and pricing with them."""
