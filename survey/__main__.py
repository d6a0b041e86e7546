"""``python -m survey``: the command line, where the command itself is not on the path."""

from survey.cli import main

main()
