"""Tests of the machine probe."""
