"""The memory that a configuration needs, part by part, with a derivation for every part."""
