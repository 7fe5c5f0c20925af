"""What the checkers of logs share."""
