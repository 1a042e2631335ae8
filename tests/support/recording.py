"""Keeping every C text, program and export that a process makes: what ``replay.py`` compares between two commits.

Only the standard library is imported, so that a command that a test starts can keep its texts, too: a process finds the
folder in the environment, and ``started/sitecustomize.py`` calls ``begin`` there.
"""

import functools
import hashlib
import importlib.machinery
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

FOLDER = "NNCODEGEN_RECORDING"
"""The environment variable that names the folder to which texts are kept."""

STARTED = Path(__file__).with_name("started")
"""The folder from which Python imports ``sitecustomize`` when it starts."""

_folders = []
"""The folder to which this process keeps texts, if it does; a test may clear the environment."""

_kept = set()
"""The items that this process has kept."""


def keep(kind, name, text):
    """Keep a text, once for each test: its content under its digest, and a line that says what it is.

    ``text`` is a str or bytes; ``kind`` and ``name`` say what it is, such as "kernel" and "perceptron.c".
    """
    content = text.encode() if isinstance(text, str) else text
    digest = hashlib.sha256(content).hexdigest()[:32]
    item = kind, name, digest, os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if item in _kept:
        return
    _kept.add(item)
    folder = _folders[-1]
    path = folder / "texts" / digest[:2] / digest
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(zlib.compress(content, 1))
        unfinished.replace(path)  # another process may keep the same text at this moment
    with open(folder / f"items-{os.getpid()}.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(item) + "\n")


def _keep_sources(sources):
    for name, text in sources.files.items():
        keep(_kind(sources.module, name), name, text)


def _kind(module, name):
    """Return what a file of a module's sources is."""
    if name == f"{module}_module.c":
        return "facts"
    if name.endswith(".pyi"):
        return "types"
    return "kernel" if name.endswith(".c") and name != f"{module}_variants.c" else "header"


def _keep_export(exported):
    for name, content in exported.files.items():
        keep("export", name, content)


def _keep_program(stage):
    if stage.name == "simplify":
        keep("program", stage.result.name, stage.show())


WATCHED = {
    "nncodegen.compiler.emit": ("Sources", _keep_sources),
    "nncodegen.formats.export.request": ("Exported", _keep_export),
    "nncodegen.compiler.pipeline": ("Stage", _keep_program),
}
"""The modules with the classes whose objects hold all texts, and what keeps those of a new object."""


class _Watch:
    """A finder of modules that watches those in ``WATCHED`` when they have been imported."""

    def find_spec(self, name, path=None, target=None):
        """Return how Python finds a module, with a loader that watches its class as soon as there is one."""
        if name not in WATCHED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                _watch(module)

            spec.loader.exec_module = exec_module
        return spec


def _watch(module):
    """Let each new object of a module's class keep its texts."""
    name, keep_texts = WATCHED[module.__name__]
    kind = getattr(module, name)
    make = kind.__init__

    @functools.wraps(make)
    def watched(self, *arguments, **named):
        make(self, *arguments, **named)
        keep_texts(self)

    kind.__init__ = watched


def begin():
    """Keep the texts of this process, and of the Pythons that it starts, from now on."""
    _folders.append(Path(os.environ[FOLDER]))
    sys.meta_path.insert(0, _Watch())
    for name in WATCHED:
        if name in sys.modules:
            _watch(sys.modules[name])
    start = subprocess.Popen.__init__

    @functools.wraps(start)
    def started(self, args, *more, env=None, **named):
        environment = dict(os.environ if env is None else env)
        environment.setdefault(FOLDER, str(_folders[-1]))
        environment.setdefault("PYTEST_CURRENT_TEST", os.environ.get("PYTEST_CURRENT_TEST", ""))
        folders = [str(STARTED), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(folders)
        start(self, args, *more, env=environment, **named)

    subprocess.Popen.__init__ = started
