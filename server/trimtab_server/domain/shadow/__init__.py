"""Following every signal along recorded prices."""
