"""One small named rule for every value of a plan: inputs, reason, source, confidence."""
