"""Python called from compiled code: callbacks, checks, and searches for NaN."""
