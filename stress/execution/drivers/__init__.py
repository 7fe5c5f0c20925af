"""One operation on one side of a target: a call of a Python function, or a line to a Bash worker."""
