"""What the notebooks begin with, and what moves in them."""
