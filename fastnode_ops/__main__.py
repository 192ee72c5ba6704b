"""``python -m fastnode_ops``: the commands of this library."""

from fastnode_ops.cli import main

if __name__ == "__main__":
    main()
