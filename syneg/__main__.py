"""`python -m syneg`."""

from syneg.cli import main

main()
