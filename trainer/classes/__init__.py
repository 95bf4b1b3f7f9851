"""Transformers' classes for a configuration: which one is trained, which one is served, what of it is text.

Imports torch and Transformers: known by the worker, the tracer and the other child processes, never by what plans.
"""
