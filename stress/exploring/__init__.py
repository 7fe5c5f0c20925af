"""Explorations: the operations of scenarios, done by a few processes whose every file syscall is scheduled."""
