"""`python -m colonies_node` and the zipapp's door."""

import sys

from colonies_node.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
