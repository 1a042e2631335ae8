"""The command line in processes that are forked from one that has imported it, which takes longer than most commands.

What a command sees is what it sees in a process of its own: its arguments, folder, environment and streams.
"""

import contextlib
import importlib
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

RUNNING = []
"""The commands whose process has not ended."""


class Commands:
    """Starts ``python -m nncodegen ...`` again and again."""

    def __init__(self, folder):
        self.files = [folder / "stdout", folder / "stderr"]
        # OpenBLAS is to have no threads of its own when the process is forked
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.support.command"]
        self.server = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        RUNNING.append(self)

    def cpu_time(self):
        """The seconds of CPU time of the process and of its commands until now; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # proc(5): utime, stime, cutime, cstime

    def run(self, arguments, folder, environment, without=None):
        """The finished command, as ``subprocess.run`` gives it, with both streams as text.

        ``without`` names a package that the command does not find, and that no command has imported here before.
        """
        request = {"arguments": arguments, "folder": str(folder), "environment": environment, "without": without}
        request["streams"] = list(map(str, self.files))
        print(json.dumps(request), file=self.server.stdin, flush=True)
        code = int(self.server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(file.read_text() for file in self.files))

    def close(self):
        self.server.stdin.close()
        self.server.stdout.close()
        self.server.wait()
        RUNNING.remove(self)


IMPORTS = {
    "bench": ("nncodegen.bench.command",),
    "compare": ("nncodegen.estimators.compare",),
    "curve": ("nncodegen.table.curves.command",),
    "fit": ("nncodegen.table.command",),
    "predict": ("nncodegen.table.command",),
    "report": ("nncodegen.reports", "nncodegen.reports.page_data"),
    "--dask": ("dask.dataframe", "distributed"),
}
"""What some commands and options import, which takes a second: it is imported when the first of them is called."""


def serve():
    """Forks a command for each line that is read, and writes its exit code; ends with the lines."""
    import nncodegen.cli.commands  # noqa: F401 (what takes long, and is to be there in every command)

    for line in sys.stdin:
        request = json.loads(line)
        for word in () if request["without"] else request["arguments"]:
            for name in IMPORTS.get(word, ()):
                with contextlib.suppress(ImportError):  # the command says what is not installed
                    importlib.import_module(name)
        child = os.fork()
        if child == 0:
            os._exit(command(**request))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def command(arguments, folder, environment, streams, without):
    """Runs a command in this process; returns its exit code."""
    if without:
        assert without not in sys.modules, f"{without} is imported already"
        sys.modules[without] = None
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder  # where ``python -m`` looks first
    sys.argv = ["nncodegen", *arguments]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (what the process has read ahead is not the command's)
    code = 0
    try:
        runpy.run_module("nncodegen", run_name="__main__", alter_sys=True)
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve()
