"""The bench: many methods on many sets of pairs, one table."""
