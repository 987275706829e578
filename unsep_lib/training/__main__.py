"""`accelerate launch … -m unsep_lib.training PRIOR …`: `unsep train` in as many processes as are launched."""

import sys

from unsep_lib.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
