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
}


CASES = [
    pytest.param(*case, marks=[] if (case[1] == 64) == (case[2] == "native") else [pytest.mark.thorough])
    for case in product(PROGRAMS, (64, 32), BUILDS)
    if case[0] == "products" or case[1:] != (64, "sanitized")
]
"""Each program in every build, in both precisions between them; with --thorough in the other precision as well.

Of the smaller ones, one precision under sanitizers is enough.
"""


@pytest.mark.parametrize(("program", "bits", "build"), CASES)
def test_products(program, bits, build, tmp_path):
    """Products and sums of any size are what plain loops make of them, and nothing behind their arrays is touched."""
    source, options = PROGRAMS[program]
    options = (f"-DNN_BITS={bits}", *options)
    run(compiled(BUILDS[build], SOURCES / f"{source}.c", tmp_path / source, options))
