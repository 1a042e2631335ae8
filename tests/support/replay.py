"""Replay: which C texts, programs and exports a change alters, over all that the tests make.

``python -m pytest --replay-save FOLDER`` keeps all of them, ``--replay FOLDER`` compares those of another commit with
them, as sets, since several processes make them in any order. Texts are of these kinds:

    kernel      the C of a model's loops, and of its parts (fits, many models side by side, the Hessian)
    facts       the table of a module's facts (NAME_module.c)
    header      NAME.h, and the choice between the kernels of several CPUs
    types       NAME.pyi
    program     a program after ``simplify``
    export      the files of an export
    runtime     the C that all models share, after the preprocessor: the library, and what kernels with each set of
                features include, without what comes from the system

The headers of the runtime are preprocessed once for each set of features, at the end: to preprocess every kernel would
take longer than the tests.
"""

import difflib
import json
import os
import re
import subprocess
import tempfile
import zlib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from nncodegen.compiler.building.compiler import find_compiler
from nncodegen.compiler.building.targets import INCLUDE, LIBRARY, RUNTIME, library_flags
from tests.support import recording

SHOWN, LINES = 5, 60
"""The changed texts of which the difference is shown, and the lines of each."""

LISTED = 40
"""The changed texts that are listed."""


def add_options(parser):
    """Declare the two options."""
    parser.addoption("--replay-save", metavar="FOLDER", help="keep every C text, program and export that tests make")
    parser.addoption("--replay", metavar="FOLDER", help="compare these with those that FOLDER keeps")


def configure(config):
    """Begin to keep texts, if one of the options is given; the first process also compares them at the end."""
    saved, compared = config.getoption("--replay-save"), config.getoption("--replay")
    if saved and compared:
        raise pytest.UsageError(
            "--replay-save keeps the texts of one commit, --replay compares another with them: give one of them"
        )
    if not saved and not compared:
        return
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Replay(saved, compared))
    recording.begin()


class Replay:
    """What the first of several processes does: it makes the folder, and compares what all have kept."""

    def __init__(self, saved, compared):
        if compared and not (Path(compared) / "tests.json").exists():
            raise pytest.UsageError(f"--replay: {compared} keeps no texts; --replay-save {compared} makes it")
        if saved and Path(saved).exists() and any(Path(saved).iterdir()):
            raise pytest.UsageError(f"--replay-save: {saved} is not empty; name another folder")
        self.before = Path(compared) if compared else None
        self.temporary = tempfile.TemporaryDirectory() if compared else None
        self.now = Path(self.temporary.name if compared else saved).resolve()
        self.now.mkdir(parents=True, exist_ok=True)
        os.environ[recording.FOLDER] = str(self.now)
        self.cache = tempfile.TemporaryDirectory()  # what a cache has is not made again, so that it would not be kept
        os.environ["NNCODEGEN_CACHE"] = self.cache.name
        self.tests = set()
        self.lines = []

    def pytest_runtest_logreport(self, report):
        """Remember a test that was run."""
        if report.when == "call":
            self.tests.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        """Preprocess the headers, and compare; the tests fail if a text has changed."""
        self.cache.cleanup()
        keep_headers(Kept(self.now))
        (self.now / "tests.json").write_text(json.dumps(sorted(self.tests)))
        if self.before:
            changes = compare(Kept(self.before), Kept(self.now))
            self.lines = changes.lines()
            if changes and session.exitstatus == 0:
                session.exitstatus = 1
            self.temporary.cleanup()
        else:
            self.lines = [f"replay: {len(Kept(self.now).items)} texts are kept in {self.now}"]

    def pytest_terminal_summary(self, terminalreporter):
        """Say what has changed."""
        for line in self.lines:
            terminalreporter.write_line(line)


class Kept:
    """The texts that a run of the tests has kept: for each (kind, name, digest), the tests that made it."""

    def __init__(self, folder):
        self.folder = folder
        self.items = defaultdict(set)
        for path in sorted(folder.glob("items-*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                kind, name, digest, test = json.loads(line)
                self.items[kind, name, digest].add(test)

    @property
    def tests(self):
        """Return the names of the tests that were run."""
        return set(json.loads((self.folder / "tests.json").read_text()))

    def text(self, item):
        """Return a text as lines; those of binary files are their digest."""
        _, _, digest = item
        content = zlib.decompress((self.folder / "texts" / digest[:2] / digest).read_bytes())
        try:
            return content.decode().splitlines()
        except UnicodeDecodeError:
            return [f"{len(content)} bytes, SHA-256 {digest}..."]


# --- the headers of the runtime ----------------------------------------------------------------------------------


def keep_headers(kept):
    """Keep the C that all models share, after the preprocessor: as a library, and as the kernels include it."""
    compiler = find_compiler("portable")
    cpus = {"plain": (), **{variant.name: variant.flags for variant in compiler.variants}}
    sources = {}
    for part, real, bits in product(LIBRARY, ("double", "float"), (False, True)):
        name = f"library: {part}, {real}{', the same bits everywhere' if bits else ''}"
        sources[name] = '#include "nncodegen/module/library.c"\n', library_flags(part, real, "plain", bits)
    for features, text in sorted(directives_of_kernels(kept).items()):
        sources[f"kernels: {features}"] = text, ("-std=c11", *INCLUDE)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tasks = list(product(sources, cpus))
        texts = pool.map(lambda task: preprocessed(compiler.command, *sources[task[0]], cpus[task[1]]), tasks)
        for (name, cpu), text in zip(tasks, texts, strict=True):
            recording.keep("runtime", f"{name} ({cpu})", text)


def directives_of_kernels(kept):
    """Return the directives of a kernel for each set of features and of macros that it defines.

    The sizes beside the features only become numbers in what is preprocessed. So they, and the name of the model, are
    the same in all directives: which models the tests have made does not count.
    """
    directives = {}
    for item in kept.items:
        if item[0] == "kernel":
            lines = re.findall(r"^#(?:.*\\\n)*.*$", "\n".join(kept.text(item)), flags=re.MULTILINE)
            lines = [of_any_model(line) for line in lines if "nncodegen/" in line or not line.startswith("#include")]
            words = [re.sub(r"^#include|^#define NN_", "", line).strip() for line in lines]
            directives[", ".join(sorted(words))] = "\n".join([*lines, ""])
    return directives


def of_any_model(line):
    """Return a directive that does not depend on the numbers, ranges and name of a model, but on its features."""
    defined = re.match(r"#define NN_(\w+)", line)
    if not defined or re.match(
        r"HAS_|(BITS|SAME_BITS|FITS|FIT_OUTPUTS|DESCENDS|SINGLE_SAMPLES)$", defined[1]
    ):  # headers ask these
        return line
    line = re.sub(r"\w+_##name", "model_##name", line)
    return re.sub(r"(?<![\w.])[1-9]\d*\b", "16", re.sub(r"\}.*", "}", line))


def preprocessed(command, text, flags, cpu):
    """Return what the preprocessor makes of a text, without what comes from the system, comments and empty lines."""
    done = subprocess.run(
        [*command, *flags, *cpu, "-E", "-x", "c", "-"], input=text, capture_output=True, text=True, check=True
    )
    kept, ours = [], False
    for line in done.stdout.splitlines():
        marker = re.match(r'# \d+ "(.*?)"', line)
        if marker:
            ours = marker[1].startswith(str(RUNTIME)) or marker[1] == "<stdin>"
        elif ours and line.strip():
            kept.append(line.rstrip())
    return "\n".join([*kept, ""])


# --- the comparison ----------------------------------------------------------------------------------------------


class Changes:
    """What differs between two runs: pairs of texts with one name, texts that are new, and texts that are gone."""

    def __init__(self, before, now, alike):
        self.before, self.now, self.alike = before, now, alike
        self.changed, self.new, self.gone = [], [], []

    def __bool__(self):
        return bool(self.changed or self.new or self.gone)

    def lines(self):
        """Return the report: how many texts are alike, which are not, and the differences of the first few."""
        lines = [
            f"replay: {self.alike} texts are alike, {len(self.changed)} changed, {len(self.new)} are new, "
            f"{len(self.gone)} are gone"
        ]
        changed = [("changed", item, self.now) for _, item in self.changed]
        rows = [*changed, *(("new", i, self.now) for i in self.new), *(("gone", i, self.before) for i in self.gone)]
        for word, item, kept in rows[:LISTED]:
            kind, name, _ = item
            tests = sorted(filter(None, kept.items[item]))
            more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
            lines.append(f"  {word:8} {kind:8} {name}{f'  ({tests[0]}{more})' if tests else ''}")
        if len(rows) > LISTED:
            lines.append(f"  ... and {len(rows) - LISTED} more")
        shown = set()  # a change of a header is that of many texts: it is shown once
        for old, new in self.changed[:LISTED]:
            difference = list(
                difflib.unified_diff(self.before.text(old), self.now.text(new), "before", "now", lineterm="", n=2)
            )
            changed = "\n".join(line for line in difference if line.startswith(("+", "-")))
            if changed in shown or len(shown) == SHOWN:
                continue
            shown.add(changed)
            lines += ["", f"{new[0]} {new[1]}", *difference[:LINES]]
            if len(difference) > LINES:
                lines.append(f"... and {len(difference) - LINES} more lines")
        return lines


def compare(before, now):
    """Return the changes between two runs.

    Where only some of the tests were run again, a text is gone if all tests that had made it were run; a header, which
    no test makes, if there is another text of its name.
    """
    old, new = set(before.items), set(now.items)
    run = now.tests | ({""} if before.tests <= now.tests else set())
    names = {item[:2] for item in new - old}
    changes = Changes(before, now, len(old & new))
    gone = [
        item
        for item in sorted(old - new)
        if before.items[item] <= run or (before.items[item] == {""} and item[:2] in names)
    ]
    for item in sorted(new - old):
        partner = _partner(item, gone, before, now)
        if partner:
            gone.remove(partner)
            changes.changed.append((partner, item))
        else:
            changes.new.append(item)
    changes.gone = gone
    return changes


def _partner(item, gone, before, now):
    """Return the text that another one has replaced: one of its kind and name, of the same test if there is one."""
    alike = [other for other in gone if other[:2] == item[:2]]
    return max(alike, key=lambda other: len(before.items[other] & now.items[item]), default=None)
