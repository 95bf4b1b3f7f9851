"""Curves over steps: points kept by resolution, axes with ticks, cells that changed, and the dashboard's panes."""
