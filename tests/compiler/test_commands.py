"""Commands of a compiler end before the build does, however it ends."""

import os
import signal
import subprocess

import pytest

from nncodegen.compiler.building.commands import Commands, CompilerError

SLEEP = ["sleep", "60"]


class Started:
    """The processes that were started, also those whose start did not return; ``meanwhile`` runs inside each start."""

    def __init__(self, popen):
        self.popen, self.processes, self.meanwhile = popen, [], lambda: None

    def __call__(self, *args, **options):
        self.processes.append(self.popen(*args, **options))
        self.meanwhile()
        return self.processes[-1]

    def have_ended(self):
        return [process.returncode is not None for process in self.processes]


@pytest.fixture
def started(monkeypatch):
    started = Started(subprocess.Popen)
    monkeypatch.setattr(subprocess, "Popen", started)
    yield started
    for process in started.processes:
        process.kill()
        process.wait()


def press():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_a_command_starts(started, tmp_path):
    """The command that is being started ends as well, and Ctrl-C is raised."""

    def build():
        with Commands(tmp_path, {}) as commands:
            commands.start(SLEEP)
            started.meanwhile = press
            commands.start(SLEEP)

    with pytest.raises(KeyboardInterrupt):
        build()
    assert started.have_ended() == [True, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_twice(started, tmp_path, monkeypatch):
    """Pressed again while the first is dealt with, it changes nothing; the commands of all contexts end."""
    wait = Commands._wait

    def wait_and_press(commands):
        press()
        wait(commands)

    monkeypatch.setattr(Commands, "_wait", wait_and_press)

    def build():
        with Commands(tmp_path, {}) as outer:
            outer.start(SLEEP)
            with Commands(tmp_path, {}) as inner:
                inner.start(SLEEP)
                press()

    with pytest.raises(KeyboardInterrupt):
        build()
    assert started.have_ended() == [True, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_a_build_waits(started, tmp_path):
    """The commands that still run end at once."""

    def build():
        with Commands(tmp_path, {}) as commands:
            commands.start(["sh", "-c", f"sleep 0.2; kill -INT {os.getpid()}"])
            commands.start(SLEEP)

    with pytest.raises(KeyboardInterrupt):
        build()
    assert started.have_ended() == [True, True]


def test_an_error_ends_commands(started, tmp_path):
    """The error is raised when they have ended."""

    def build():
        with Commands(tmp_path, {}) as commands:
            commands.start(SLEEP)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build()
    assert started.have_ended() == [True]


def test_a_command_that_fails(tmp_path):
    """Its error has the command and its words."""

    def build():
        with Commands(tmp_path, {}) as commands:
            commands.start(["sh", "-c", "echo no such thing; exit 3", "made"])

    with pytest.raises(CompilerError, match=r"exit code 3:\n    sh -c (?s:.*)\nno such thing\n"):
        build()


def test_a_handler_of_the_program_stays(tmp_path):
    """Ctrl-C does what the program has set, and the commands go on."""
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        with Commands(tmp_path, {}) as commands:
            commands.start(["touch", "made"])
            press()
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [True]
    assert (tmp_path / "made").exists()
