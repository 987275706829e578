"""Where tests find the checkout and what lies in it."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LIBRARY = REPOSITORY / "unsep_lib"
GOLDEN = REPOSITORY / "tests" / "golden"
SHARED = REPOSITORY.parent / "shared"  # pieces of the corpora and recorded values, where they lie beside this checkout
