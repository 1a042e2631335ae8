"""Names of any kind become identifiers, and never reach C as text."""

import keyword
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncodegen.emit.names import C_RESERVED, EMITTED, Names, identifier

AWKWARD = ["if", "lambda", "I", "x[0]", "α", "a; b", "*/ evil();", "", "1", "double", "class", "exp", "n", "count",
           "__import__('os')", '"', "\\", "\n", "match"]  # fmt: skip


RESEMBLANCE = [("w13", "w13"), ("x[0]", "x_0"), ("lambda", "lambda_"), ("if", "if_"), ("2x", "v2x"), ("W1", "W1"),
               ("HUGE_VAL", "HUGE_VAL_"), ("α", "symbol")]  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), RESEMBLANCE)
def test_resemblance(name, expected):
    """An identifier resembles the name where it can."""
    assert identifier(name) == expected


@given(names=st.lists(st.one_of(st.sampled_from(AWKWARD), st.text(max_size=8)), unique=True))
def test_identifiers(names):
    """Different names get different identifiers that are neither reserved nor used by the emitter."""
    table = Names()
    found = [table[name] for name in names]
    assert len(set(found)) == len(names)
    for text in found:
        assert re.fullmatch(r"[A-Za-z]\w*", text, re.ASCII)
        assert not keyword.iskeyword(text)
        assert text not in C_RESERVED
        assert text not in EMITTED
    assert [table[name] for name in names] == found
