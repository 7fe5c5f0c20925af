"""What was done and seen, operation by operation; how it is written while it happens, and read back."""
