"""What is done, to which files, by which implementation."""
