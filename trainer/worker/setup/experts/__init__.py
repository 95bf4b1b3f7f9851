"""Fused experts of a mixture: held in 4 bits, adapted, loaded one parameter at a time."""
