"""The file syscalls of real, unmodified processes, one at a time, in an order that a scheduler decides."""
