"""The README's code runs as printed, and prints what it says."""

import contextlib
import io
import os
import re
import subprocess
import sys

import pytest

from tests.support import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_two_commands():
    """The set-up is two commands, the ones that CI runs."""
    commands = ["python3 -m pip install . && python3 -m nncodegen build",
                "python3 -m pip install '.[test]' && python3 -m pytest -n auto --dist loadfile"]  # fmt: skip
    for command in commands:
        assert README.count(f"\n{command}\n") == 1
    assert len(re.findall(r"^python3 -m pip install .* && ", README, flags=re.MULTILINE)) == 2  # what .ci/run looks for


def test_code(tmp_path, monkeypatch):
    """All Python code of the README runs, in order; a comment behind print() shows what it prints."""
    assert len(BLOCKS) >= 4
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(block, "README.md", "exec"), names)
        expected = re.findall(r"^print\(.*\)  # (.*)$", block, flags=re.MULTILINE)
        if expected:
            assert output.getvalue().splitlines() == expected


@pytest.mark.parametrize("stage", ["describe", "stabilize", "differentiate", "simplify"])
def test_stages_of_the_perceptron(stage):
    """What the README shows of each stage is what ``show`` prints, line for line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "nncodegen", "show"], env=environment, capture_output=True, text=True,
                          check=True)  # fmt: skip
    printed = done.stdout.split(f"--- {stage} ---")[1].split("\n--- ")[0].splitlines()
    shown = re.search(rf"^\*\*{stage}\*\*.*?^```text\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL).group(1)
    for line in shown.splitlines():
        if line.strip() and line.strip() != "...":
            assert line in printed
