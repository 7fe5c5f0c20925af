"""How a result is shown: one kind of report a file. `registry` finds them; `terminal` is what people watch."""
