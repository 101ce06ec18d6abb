"""A finished corpus: read it, check it, look at it."""
