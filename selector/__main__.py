"""`python -m selector` is the `selector` command."""

from selector.console import console

if __name__ == "__main__":
    console()
