"""Differential equations in the lanes of vectors, in the C runtime: a test program in C."""

from itertools import product

import pytest

from tests.support.runtime import BUILDS, SOURCES, compiled, run

FEW = {(64, "native"), (32, "sanitized")}


@pytest.mark.parametrize(
    ("bits", "build"),
    [pytest.param(*case, marks=[] if case in FEW else [pytest.mark.thorough]) for case in product((64, 32), BUILDS)],
)
def test_lanes(bits, build, tmp_path):
    """Every lane has a sample or repeats one, also where samples end at once."""
    run(compiled(BUILDS[build], SOURCES / "lanes.c", tmp_path / "lanes", [f"-DNN_BITS={bits}"]))
