"""The processes of a run: launch, supervisor, device lock and readings, recovery, stopping, removal, child processes.

Never imports the training stack: that is the worker's, a process of its own.
"""
