"""Names of any kind become identifiers, and never reach C as text."""

import keyword
import re

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.emit.names import Names, identifier
from nncodegen.emit.printer import FUNCTIONS
from nncodegen.targets import RUNTIME

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
    """Different names get different identifiers, which are no words: these may be of C, the runtime or the emitter."""
    table = Names()
    found = [table[name] for name in names]
    assert len(set(found)) == len(names)
    for text in found:
        assert re.fullmatch(r"[A-Za-z]\w*", text, re.ASCII)
        assert not keyword.iskeyword(text)
        assert len(text) == 1 or text[-1] in "0123456789_"
        assert text not in FUNCTIONS
    assert [table[name] for name in names] == found


def test_values_of_the_moment():
    """A second variable beside one has a name that no other variable has, the same at every use."""
    table = Names()
    variables = [table[name] for name in ("m", "m_", "rate", "rate_", "rate_now", "m_now", "x1")]
    found = [table.current(variable) for variable in variables]
    assert len({*found, *variables}) == 2 * len(variables)
    assert table.current(table["rate"]) == "rate_now"
    assert [table.current(variable) for variable in variables] == found


def test_no_word_of_the_runtime_is_free():
    """Nothing in the C that all models share ends in an underscore, as the words of users do."""
    headers = [path for path in RUNTIME.rglob("*.h") if path.name != "optimizers.h"]  # which is printed
    words = {word for path in headers for word in re.findall(r"\b[A-Za-z]\w*\b(?!##)", path.read_text())}
    assert "parameters" in words
    assert not [word for word in words if word.endswith("_")]


@pytest.mark.usefixtures("quick_compiler")
def test_words_of_users_are_told_apart():
    """A formula whose names are words of C, of the runtime and of the emitter is what it would be with others."""
    words = ["double", "count", "sums", "with_loss", "contract", "exp2", "lane", "now", "n", "real", "parameters"]
    x, y, *named = sympy.symbols(["weight", "load", *words])
    model = nn.Model("kernel", [x], [y], dict.fromkeys(named, 0.5), sum(sympy.exp(-p * x) for p in named), (x - y) ** 2)
    letters = sympy.symbols([f"p{number}" for number in range(len(words))])
    plain = model_of(letters)
    assert nn.build(model).predict([0.1] * len(words), [[0.3]]) == nn.build(plain).predict([0.1] * len(words), [[0.3]])


def model_of(parameters):
    """The same formula with other names."""
    a, b = sympy.symbols("a b")
    output = sum(sympy.exp(-p * a) for p in parameters)
    return nn.Model("other", [a], [b], dict.fromkeys(parameters, 0.5), output, (a - b) ** 2)
