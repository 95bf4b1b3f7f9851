"""The commands of `lora-wizard`, a module for each kind of question; each imports what it needs when it runs."""
