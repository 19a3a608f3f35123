"""`python -m spanloom`: the command line."""

from .cli import main

main(prog_name="spanloom")
