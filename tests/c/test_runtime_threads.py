"""The team of threads of the C runtime: a test program in C, plain and under sanitizers, ThreadSanitizer as well."""

import pytest

from tests.support.runtime import BUILDS, GCC, OBSERVED, SOURCES, compiled, run

ALL = {**BUILDS, "observed threads": (GCC, *OBSERVED, "-fsanitize=thread")}


@pytest.mark.parametrize("build", [pytest.param("plain", marks=pytest.mark.thorough), "sanitized", "observed threads"])
def test_team(build, tmp_path):
    """A team's sums and trainings have the bits of one thread's, it ends when it is asked to, and nothing races."""
    run(compiled(ALL[build], SOURCES / "threads.c", tmp_path / "threads"))
