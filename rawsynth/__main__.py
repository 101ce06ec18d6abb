"""``python -m rawsynth``."""

import sys

from rawsynth.cli import main

if __name__ == "__main__":
    sys.exit(main())
