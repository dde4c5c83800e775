"""``python -m vivavoce``: the same as the program ``vivavoce``."""

from vivavoce.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
