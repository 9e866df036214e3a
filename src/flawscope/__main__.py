"""`python -m flawscope`."""

from flawscope.cli import main

main()
