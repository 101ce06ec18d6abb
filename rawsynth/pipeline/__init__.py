"""One shard from bytes to a recorded corpus part; start reading at :mod:`rawsynth.pipeline.run`."""
