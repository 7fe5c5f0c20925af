"""What the harness measures of itself. One benchmark a file; modules with a leading underscore are parts of one."""
