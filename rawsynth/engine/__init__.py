"""Many shards: which of them to run, where, and what came of it."""
