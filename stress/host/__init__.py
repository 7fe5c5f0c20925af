"""What this machine is and has, and its processes."""
