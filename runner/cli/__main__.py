"""`python -m runner.cli` is `botrun`."""

from runner.cli import main

main()
