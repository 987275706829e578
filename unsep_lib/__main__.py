"""`python -m unsep_lib` is `unsep`."""

import sys

from unsep_lib.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
