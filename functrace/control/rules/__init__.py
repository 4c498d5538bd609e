"""Rules of the user's own: custom derivatives, implicit ones, and what is computed again."""
