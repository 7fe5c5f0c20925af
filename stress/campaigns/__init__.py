"""Many runs: in stages, over several targets, as a gate; and the record of what they found."""
