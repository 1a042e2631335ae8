"""``python -m nncodegen``, and the script ``nncodegen``: see cli.py."""

import gc
from typing import NoReturn

from nncodegen.compiler.without_gc import without_collector


def main() -> NoReturn:
    """Import the command line and run it.

    What is imported stays until the process ends. It is hidden from the collector, which would go through it again for
    each full collection, and several times at the end: that took a sixth of a second.
    """
    with without_collector():
        from nncodegen.cli.commands import main as run  # noqa: PLC0415 (imported while the collector is paused)
    gc.freeze()
    run()


if __name__ == "__main__":
    main()
