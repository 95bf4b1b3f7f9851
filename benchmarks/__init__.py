"""Programs that measure this project."""
