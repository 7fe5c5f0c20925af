"""What the checkers of documents share."""
