"""The display of the progress of a training or a fit: a progress bar of rich in a terminal or notebook, else lines."""

from __future__ import annotations

import sys
import time
from typing import Any

_SECONDS = {True: 0.1, False: 10.0}  # seconds between two updates of a bar, and between two lines


class Display:
    """The display of how far a training or a fit is; it is updated from time to time.

    ``unit`` is the name of what is counted, such as epochs; ``total`` is their number, if it is known.
    """

    def __init__(self, total: int | None, unit: str = "epoch") -> None:
        self._total, self._unit = total, unit
        self._bar: Any = None
        self._task: Any = None
        self._cell: Any = None  # the output cell of a notebook that shows the bar
        try:
            self._open_bar()
        except ImportError:
            self._bar = None
        self._next = time.perf_counter() + _SECONDS[self._bar is not None]

    def _open_bar(self) -> None:
        from rich.console import Console  # noqa: PLC0415 (optional)
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

        console = Console(stderr=True)
        if not (console.is_jupyter or (console.is_terminal and not console.is_dumb_terminal)):
            return  # in a pipe or a file, a bar cannot overwrite its last state
        columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, auto_refresh=False)
        self._task = self._bar.add_task("", total=self._total)
        if console.is_jupyter:  # rich needs ipywidgets in a notebook, and shows nothing without them
            from IPython.display import display  # noqa: PLC0415 (a notebook has IPython)

            self._cell = display(self._bar, display_id=True)
        else:
            self._bar.start()

    def is_due(self) -> bool:
        """Return whether it is time for an update."""
        return time.perf_counter() >= self._next

    def show(self, done: int, figures: dict[str, float], seconds: float) -> None:
        """Show the number of steps done and the last figures."""
        self._next = time.perf_counter() + _SECONDS[self._bar is not None]
        of = "" if self._total is None else f"/{self._total}"
        figures_text = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        text = f"{self._unit} {done}{of}  {figures_text}".rstrip()
        if self._bar is None:
            print(f"{text}  {seconds:.1f} s", file=sys.stderr, flush=True)
        else:
            self._bar.update(self._task, completed=done, description=text, refresh=self._cell is None)
            if self._cell is not None:
                self._cell.update(self._bar)

    def close(self) -> None:
        """Stop the bar, and leave the terminal as it was."""
        if self._bar is not None and self._cell is None:
            self._bar.stop()
