"""The work behind the wizard's steps: what each derives from the draft, in a thread.

Knows the wizard's draft, state and services; the flow puts it together.
"""
