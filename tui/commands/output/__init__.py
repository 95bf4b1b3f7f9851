"""What commands print on a plain terminal: data, machine, plan, runs, progress, and a run followed line by line."""
