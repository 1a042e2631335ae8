"""The products of layers in the C runtime: test programs in C, plain, for this CPU, and under sanitizers."""

from itertools import product

import pytest

from tests.support.runtime import BUILDS, SOURCES, compiled, run

PROGRAMS = {
    "products": ("products", ()),
    "sums of lanes": ("sums", ()),
    "sums of lanes at once": ("sums", ("-DSAMPLE_DIRECT=1",)),
    "groups of models": ("groups", ()),
    "windows": ("windows", ()),
    "matrices": ("matrices", ()),
}


USUAL = [
    *((name, *build) for name in PROGRAMS for build in ((64, "native"), (32, "plain"))),
    ("products", 32, "sanitized"),
]
CASES = [
    pytest.param(*case, marks=[] if case in USUAL else [pytest.mark.thorough])
    for case in product(PROGRAMS, (64, 32), BUILDS)
    if case[0] == "products" or case[1:] != (64, "sanitized")
]
"""Each program by both compilers, each in one precision, and the first under sanitizers; with --thorough all of that in
every precision. Of the smaller ones, one precision under sanitizers is enough.
"""


@pytest.mark.parametrize(("program", "bits", "build"), CASES)
def test_products(program, bits, build, tmp_path):
    """Products and sums of any size are what plain loops make of them, and nothing after their arrays is touched."""
    source, options = PROGRAMS[program]
    options = (f"-DNN_BITS={bits}", *options)
    run(compiled(BUILDS[build], SOURCES / f"{source}.c", tmp_path / source, options))
