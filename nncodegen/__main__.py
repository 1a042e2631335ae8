"""``python -m nncodegen``: see cli.py."""

from nncodegen.cli import main

if __name__ == "__main__":
    main()
