"""`python -m detector` is `rupture`."""

from detector.cli import main

main()
