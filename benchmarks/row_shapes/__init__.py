"""Rows of every kind that data sets have, each with what is right to make of it, written by hand."""
