"""Plain C whose results are the same value."""

import shutil
import subprocess

import pytest
from sympy import sin, symbols

import nncodegen as nn

x, y, a, b = symbols("x y a b")


def test_a_value_that_is_two_results_is_stored_twice(tmp_path):
    """The derivatives of (a + b)*sin(x) by a and by b are one value, and two entries of the gradient."""
    if not shutil.which("make"):
        pytest.skip("needs make")
    nn.export(nn.Model("twice", x, y, {a: 1, b: 2}, (a + b) * sin(x)), "c", tmp_path, train=True)
    done = subprocess.run(["make", "test"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("right") == 4
