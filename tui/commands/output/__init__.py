"""Plain output of the commands: data, machine, plan, runs, progress, and a run followed line by line."""
