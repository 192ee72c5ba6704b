"""``python -m gematria_ops``: the commands of this library."""

from gematria_ops.cli import main

if __name__ == "__main__":
    main()
