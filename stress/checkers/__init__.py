"""One checker a file: pure functions from a history to findings."""
