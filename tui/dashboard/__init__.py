"""Texts about a run: snapshots of its folder turned into curves, figures and sentences. No widgets."""
