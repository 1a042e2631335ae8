"""Plant faults, one line each, and see whether the tests notice: ``python -m tests.support.faults``.

``draw`` chooses faults at random, the same for the same seed, and writes them to [faults.json](faults.json); ``run``
copies the repository, changes one line, and runs the tests until the first that fails: those that name the changed
file, those of its room, all others. What no test notices is printed with its line; either the line does not matter, or
a promise has no test. The list is drawn before tests are changed, and run before and after.

A fault is known by its file and the text of its line, so that it outlives changes elsewhere. Comments, strings and
lines that only import are left alone.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pygments.lexers import CLexer, CythonLexer, PythonLexer
from pygments.token import Comment, String

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("faults.json")

LEXERS = {".py": PythonLexer, ".pyx": CythonLexer, ".pxi": CythonLexer, ".h": CLexer, ".c": CLexer}

ROOMS = {
    "describe": (("compiler/describe", "compiler/motion"), ("compiler",)),
    "passes": (("compiler/ir", "compiler/passes"), ("compiler",)),
    "schedule": (("compiler/schedule",), ("compiler", "c")),
    "emit": (("compiler/emit",), ("compiler", "golden", "c")),
    "products": (("runtime/c/nncodegen/products",), ("c",)),
    "functions": (("runtime/c/nncodegen/base", "runtime/c/nncodegen/math"), ("c",)),
    "training": (("runtime/c/nncodegen/train", "runtime/python/training"), ("python", "c")),
    "fits": (("runtime/c/nncodegen/fit", "runtime/python/fitting"), ("python", "c")),
    "solvers": (("runtime/c/nncodegen/solve",), ("c",)),
    "results": (("runtime/python/results", "runtime/python/evaluation"), ("python",)),
    "arguments": (("runtime/python/arguments", "runtime/python/ground"), ("python",)),
    "modules": (("runtime/python/native", "compiler/building"), ("compiler", "python")),
    "formats": (("formats",), ("formats",)),
    "estimators": (("estimators", "curves"), ("estimators", "curves", "python")),
    "tables": (("table",), ("table", "cli")),
    "certificates": (("certificates",), ("certificates",)),
}
"""For each room, the folders of nncodegen/ where faults are planted, and those of tests/ that run first."""

CHANGES = {
    "condition": (
        (r" == ", " != "),
        (r" != ", " == "),
        (r" <= ", " < "),
        (r" >= ", " > "),
        (r" < ", " <= "),
        (r" > ", " >= "),
        (r" and ", " or "),
        (r" or ", " and "),
        (r" && ", " || "),
        (r" \|\| ", " && "),
        (r" is not ", " is "),
        (r" not in ", " in "),
        (r"\bif not ", "if "),
        (r"^( *(?:el)?if )(?!not )(?=[^()]*:$)", r"\1not "),
    ),
    "bound": ((r"(?<![\w.])\d{1,3}(?![\w.])", lambda match: str(int(match[0]) + 1)),),
    "sign": ((r" \+ ", " - "), (r"(?<=[\w)\]]) - ", " + ")),
    "factor": (
        (r"(?<=[\w)\]])\*(?=[\w(])", "/"),
        (r"(?<=[\w)\]])/(?=[\w(])", "*"),
        (r"(?<![\w.])\d+\.\d+(?![\w.])", lambda match: str(2 * float(match[0]))),
    ),
    "swap": ((r"\b([a-z_]\w*), ([a-z_]\w*)(?=[,)\]])", lambda match: f"{match[2]}, {match[1]}"),),
    "check": (
        (r"^( *)raise \w.*\)$", r"\1pass"),
        (r"^( *)if \(.*\) (?:return|break|continue)\b.*;$", r"\1;"),
    ),
}
"""For each kind of fault, what is looked for in code, as a regular expression, and what takes its place."""

LEFT_ALONE = re.compile(r"\s*(?:from |import |def |class |@|#include|#if|#el|#endif|#undef|__all__|assert )")


@dataclass(frozen=True)
class Fault:
    """One changed line: the room, the kind, the path, the line before and after, and how many equal lines precede."""

    room: str
    kind: str
    path: str
    before: str
    after: str
    occurrence: int = 0

    def plant(self, root):
        """Change the line in the copy of the repository; False if the file has no such line any more."""
        path = root / self.path
        if not path.is_file():
            return False
        lines = path.read_text().split("\n")
        places = [number for number, line in enumerate(lines) if line == self.before]
        if len(places) <= self.occurrence:
            return False
        lines[places[self.occurrence]] = self.after
        path.write_text("\n".join(lines))
        return True


@dataclass(frozen=True)
class Outcome:
    """What became of a fault: the first test that failed, or a word, and the seconds of CPU time until then."""

    fault: Fault
    noticed: str | None
    seconds: float
    where: str = ""


def code_alone(text, lexer):
    """Return a text of the same length in which comments and strings are spaces, and macros are kept."""
    parts = []
    for kind, value in lexer(stripnl=False, ensurenl=False).get_tokens(text):
        blank = (kind in Comment and kind not in Comment.Preproc) or kind in String
        parts.append(re.sub(r"[^\n]", "\0", value) if blank else value)
    return "".join(parts)


def faults_of(path, room):
    """Return all faults that the file may have, in the order of its lines; what Python cannot parse is none."""
    text = (ROOT / path).read_text()
    lines = text.split("\n")
    code = code_alone(text, LEXERS[path.suffix]).split("\n")
    assert [len(line) for line in lines] == [len(line) for line in code], path
    seen, faults = {}, []
    for number, (line, bare) in enumerate(zip(lines, code, strict=True)):
        occurrence = seen[line] = seen.get(line, -1) + 1
        if LEFT_ALONE.match(line):
            continue
        for kind, changes in CHANGES.items():
            for pattern, new in changes:
                for match in re.finditer(pattern, bare):
                    middle = new(match) if callable(new) else match.expand(new)
                    after = line[: match.start()] + middle + line[match.end() :]
                    fault = Fault(room, kind, path.as_posix(), line, after, occurrence)
                    if after != line and (path.suffix != ".py" or _parses(lines, number, after)):
                        faults.append(fault)
    return faults


def _parses(lines, number, after):
    try:
        compile("\n".join([*lines[:number], after, *lines[number + 1 :]]), "fault", "exec")
    except SyntaxError:
        return False
    return True


def draw(count, seed):
    """Return faults of all rooms and kinds by turns, at most one in a file."""
    choose = random.Random(seed)
    rooms = list(ROOMS)
    choose.shuffle(rooms)
    drawn, paths = [], set()
    while len(drawn) < count:
        room = rooms[len(drawn) % len(rooms)]
        files = [
            path.relative_to(ROOT)
            for folder in ROOMS[room][0]
            for path in sorted((ROOT / "nncodegen" / folder).rglob("*"))
            if path.suffix in LEXERS
        ]
        by_kind = {}
        # a file counts by its length, since that is how likely somebody errs in it
        weights = [len((ROOT / path).read_text()) if path not in paths else 0 for path in files]
        path = choose.choices(files, weights)[0]
        for fault in faults_of(path, room):
            by_kind.setdefault(fault.kind, []).append(fault)
        if by_kind:
            drawn.append(choose.choice(by_kind[choose.choice(sorted(by_kind))]))
            paths.add(path)
    return drawn


def tests_for(fault):
    """Return, by name, three lists of files of tests: what names the changed file, those of the room, all others."""
    everything = sorted((ROOT / "tests").rglob("test_*.py"))
    near = [path for path in everything if path.relative_to(ROOT / "tests").parts[0] in ROOMS[fault.room][1]]
    name = re.compile(rf"(?<![a-z]){re.escape(Path(fault.path).stem)}(?![a-z])")
    mentions = {path: len(name.findall(path.read_text() + path.stem)) for path in everything}
    naming = sorted((path for path in everything if mentions[path]), key=lambda path: -mentions[path])[:12]
    rest = [path for path in near if path not in naming]
    others = [path for path in everything if path not in naming and path not in rest]
    return {"named": naming, "room": rest, "others": others}


def run(fault, *, near=False, processes=1, limit=3600.0):
    """Plant a fault in a copy of the repository, and run the tests until the first that fails.

    Each of the three lists of tests may take limit seconds; that a list takes longer counts as noticed. If near, the
    last list, of all other rooms, is left out.
    """
    with tempfile.TemporaryDirectory(prefix="nncodegen-fault-") as folder:
        root = Path(folder) / "tree"
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        compiled = (path.relative_to(ROOT).as_posix() for path in (ROOT / "nncodegen/generated").glob("*.so"))
        for name in [*tracked.stdout.split("\0"), *compiled]:
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        if not fault.plant(root):
            return Outcome(fault, "no such line any more", 0.0)
        environment = {**os.environ, "PYTHONPATH": str(root), "NNCODEGEN_CACHE": f"{folder}/cache"}
        spread = ["-n", str(processes), "--dist", "loadfile"] if processes > 1 else []
        begun = _children()
        for where, files in tests_for(fault).items():
            names = [path.relative_to(ROOT).as_posix() for path in files]
            if not names or (near and where == "others"):
                continue
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=no", *spread, *names]
            with subprocess.Popen(
                command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as tests:
                try:
                    text = tests.communicate(timeout=limit)[0]
                except subprocess.TimeoutExpired:
                    tests.kill()
                    return Outcome(fault, f"longer than {limit:g} s", _children() - begun, where)
            if tests.returncode:
                failed = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
                return Outcome(fault, failed[1] if failed else text[-300:], _children() - begun, where)
        return Outcome(fault, None, _children() - begun)


def _children():
    times = os.times()
    return times.children_user + times.children_system


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.support.faults", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw", help=f"choose faults and write them to {LIST.name}")
    drawing.add_argument("--count", type=int, default=48)
    drawing.add_argument("--seed", type=int, default=57)
    drawing.add_argument("--to", type=Path, default=LIST)
    running = commands.add_parser("run", help="plant each fault, and print which test notices it")
    running.add_argument("numbers", type=int, nargs="*", help="of the list, from 1; all if there are none")
    running.add_argument("--list", type=Path, default=LIST)
    running.add_argument("--near", action="store_true", help="run only tests that name the file, or are of its room")
    running.add_argument("--processes", type=int, default=1)
    running.add_argument("--outcomes", type=Path, help="a file of JSON lines, to which each outcome is added")
    options = parser.parse_args(arguments)
    if options.command == "draw":
        faults = draw(options.count, options.seed)
        options.to.write_text(json.dumps([asdict(fault) for fault in faults], indent=1) + "\n")
        print(f"{len(faults)} faults in {options.to}")
        return
    faults = [Fault(**entry) for entry in json.loads(options.list.read_text())]
    for number in options.numbers or range(1, len(faults) + 1):
        fault, begun = faults[number - 1], time.monotonic()
        outcome = run(fault, near=options.near, processes=options.processes)
        took = f"{outcome.seconds:.0f} s of CPU, {time.monotonic() - begun:.0f} s"
        print(f"{number} {fault.room}, {fault.kind}: {fault.path}")
        print(f"  - {fault.before.strip()}\n  + {fault.after.strip()}")
        print(f"  {outcome.noticed or 'NOT NOTICED'} ({outcome.where or 'all'}; {took})", flush=True)
        if options.outcomes:
            with options.outcomes.open("a") as file:
                file.write(json.dumps({"number": number, **asdict(outcome)}) + "\n")


if __name__ == "__main__":
    main()
