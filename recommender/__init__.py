"""What to do and why: machine, model, data, memory, time, rules, search. Pure; knows no run and no screen."""
