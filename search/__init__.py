"""Which candidate to try next, and how good a candidate is."""
