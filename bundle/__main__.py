"""``python -m bundle`` is ``fundus``."""

import sys

from bundle.fundus import main

if __name__ == "__main__":
    sys.exit(main())
