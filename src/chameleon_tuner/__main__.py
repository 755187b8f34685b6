"""`python -m chameleon_tuner` is `chameleon`."""

import sys

from chameleon_tuner.cli import main

if __name__ == "__main__":
    sys.exit(main())
