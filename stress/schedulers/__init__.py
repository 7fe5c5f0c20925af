"""Schedulers: who does the next file syscall. Each is one small class behind `stress.syscalls.calls.Scheduler`."""
