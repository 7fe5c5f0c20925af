"""A run under way: the workers, who starts and ends them, and what goes wrong from outside."""
