"""Commands of a compiler that run beside each other, and none of which outlives the build that started it."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from nncodegen.compiler.building import permutations
from nncodegen.errors import BuildError


class CompilerError(BuildError):
    """The error of a failed compiler run; its message names the folder with the log."""


class Commands:
    """A context that runs commands in a folder, and that is left when all of them have ended.

    Their output goes to one log each. An error inside the context ends the commands. So does Ctrl-C, which raises
    KeyboardInterrupt, once: not while a command is being started, since Python would lose that one, and not again while
    commands are being ended. A handler that a program has set for Ctrl-C stays as it is.
    """

    def __init__(self, work: Path, environment: dict[str, str]) -> None:
        self._work, self._environment = work, environment
        self._processes: list[subprocess.Popen[bytes]] = []
        self._looked_at: list[list[str]] = []
        self._handler: Any = None  # of Ctrl-C before, if this context has set another one
        self._pressed = self._held = False  # whether Ctrl-C was pressed; whether it must not raise now

    def __enter__(self) -> Commands:
        if threading.current_thread() is threading.main_thread():  # Python allows no other thread to set a handler
            handler = signal.getsignal(signal.SIGINT)
            if handler is signal.default_int_handler or isinstance(getattr(handler, "__self__", None), Commands):
                self._handler = handler
                signal.signal(signal.SIGINT, self._press)
        return self

    def start(self, command: list[str], looked_at: bool = False) -> None:
        """Start a command whose last word is the file that it writes; the log is that file's name with ``.log``.

        ``looked_at`` is for a compiler whose vectors may be wrong: it ends with ``-o`` and the file, and compiles again
        what has wrong permutations.
        """
        if looked_at:
            self._looked_at.append(command)
            command = [*command[:-2], permutations.asking(_permutations(command)), *command[-2:]]
        self._held = True
        with (self._work / f"{command[-1]}.log").open("wb") as log:
            started = subprocess.Popen(
                command, cwd=self._work, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._processes.append(started)
        self._held = False
        if self._pressed:
            raise KeyboardInterrupt

    @property
    def written(self) -> list[str]:
        """The names of the files that the commands write."""
        names = (str(process.args[-1]) for process in self._processes)  # type: ignore[index]
        return [*dict.fromkeys(names)]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = True
        if kind is not None:
            self._end()
        try:
            self._wait()
            if kind is None:
                self._compile_again()
        except BaseException:  # of a handler that a program has set
            self._end()
            self._wait()
            raise
        finally:
            if self._handler is not None:
                signal.signal(signal.SIGINT, self._handler)
        if self._pressed and kind is not KeyboardInterrupt:
            raise KeyboardInterrupt
        if kind is None:
            for process in self._processes:
                _check(process, self._work)

    def _press(self, *_: object) -> None:
        """Handle Ctrl-C."""
        raising = not self._held
        self._pressed = True
        self._end()
        if raising:
            raise KeyboardInterrupt

    def _compile_again(self) -> None:
        """Compile again what has wrong permutations."""
        if any(process.returncode for process in self._processes):
            return
        for command in self._looked_at:
            if not permutations.are_right(self._work / _permutations(command)):
                self.start([*command[:-2], *permutations.HALF, *command[-2:]])
                self._held = True
        self._wait()

    def _wait(self) -> None:
        for process in self._processes:
            process.wait()

    def _end(self) -> None:
        """End all commands, and those of the context around this one, which the exception will reach next."""
        self._held = True
        for process in self._processes:
            process.kill()
        outer = getattr(self._handler, "__self__", None)
        if isinstance(outer, Commands):
            outer._end()


def _permutations(command: list[str]) -> str:
    """Return the file to which GCC writes the permutations of what it compiles."""
    return f"{command[-1]}.permutations"


def _check(process: subprocess.Popen[bytes], work: Path) -> None:
    """Raise the error of a command that has ended, if there is one."""
    command = [str(word) for word in process.args]  # type: ignore[union-attr]
    if process.returncode != 0:
        message = (work / f"{command[-1]}.log").read_text(errors="replace").strip()
        if os.strerror(errno.ENOSPC) in message or not shutil.disk_usage(work).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise CompilerError(
            f"the compiler failed with exit code {process.returncode}:\n    {shlex.join(command)}\n"
            f"{message[:3000]}\nThe sources and its log are in {work}"
        )
    if not (work / command[-1]).exists():
        raise BuildError(f"{command[0]} ended without an error, but wrote no {command[-1]}; set CC to a C compiler")
