"""Names of any kind become identifiers, and never reach C as text."""

import keyword
import re
import shutil
import subprocess

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.building.targets import RUNTIME
from nncodegen.compiler.emit.dialects import FUNCTIONS
from nncodegen.compiler.emit.names import Names, identifier
from nncodegen.compiler.ir.names import numbered, take, unused
from nncodegen.formats.c.reserved import TAKEN, check_function
from tests.support import SUPPORT

AWKWARD = ["if", "lambda", "I", "x[0]", "α", "a; b", "*/ evil();", "", "1", "double", "class", "exp", "n", "count",
           "__import__('os')", '"', "\\", "\n", "match"]  # fmt: skip


RESEMBLANCE = [
    ("w13", "w13"),
    ("x[0]", "x_0"),
    ("lambda", "lambda_"),
    ("if", "if_"),
    ("2x", "v2x"),
    ("W1", "W1"),
    ("HUGE_VAL", "HUGE_VAL_"),
    ("α", "symbol"),
]


@pytest.mark.parametrize(("name", "expected"), RESEMBLANCE)
def test_resemblance(name, expected):
    """An identifier resembles the name where it can."""
    assert identifier(name) == expected


@given(names=st.lists(st.one_of(st.sampled_from(AWKWARD), st.text(max_size=8)), unique=True))
def test_identifiers(names):
    """Different names get different identifiers, which are no words: these may be of C, the runtime or the emitter."""
    table = Names()
    tables = [table[name] for name in names]
    assert len(set(tables)) == len(names)
    for text in tables:
        assert re.fullmatch(r"[A-Za-z]\w*", text, re.ASCII)
        assert not keyword.iskeyword(text)
        assert len(text) == 1 or text[-1] in "0123456789_"
        assert text not in FUNCTIONS
    assert [table[name] for name in names] == tables


def test_unused():
    """A name that is taken gets a mark as often as needed, or the least number; some functions take the result."""
    taken = {"x", "x_", "y"}
    assert [unused("z", taken), unused("x", taken), unused("x", taken, "'")] == ["z", "x__", "x'"]
    assert [take("y", taken), take("y", taken), take("z", taken)] == ["y_", "y__", "z"]
    assert [numbered("x", taken), numbered("x", taken), numbered("k", taken)] == ["x_2", "x_3", "k"]
    assert [numbered("k", taken, "k_"), numbered("k", taken, "k_")] == ["k_", "k_2"]
    assert taken == {"x", "x_", "y", "y_", "y__", "z", "x_2", "x_3", "k", "k_", "k_2"}


def test_values_of_the_moment():
    """A second variable beside one has a name that no other variable has, the same at every use."""
    table = Names()
    variables = [table[name] for name in ("m", "m_", "rate", "rate_", "rate_now", "m_now", "x1")]
    currents = [table.current(variable) for variable in variables]
    assert len({*currents, *variables}) == 2 * len(variables)
    assert table.current(table["rate"]) == "rate_now"
    assert [table.current(variable) for variable in variables] == currents


def test_no_word_of_the_runtime_is_free():
    """Nothing in the C that all models share ends in an underscore, as the words of users do."""
    headers = [path for path in RUNTIME.rglob("*.h") if path.name != "optimizers.h"]  # which is printed
    words = {word for path in headers for word in re.findall(r"\b[A-Za-z]\w*\b(?!##)", path.read_text())}
    assert "parameters" in words
    assert not [word for word in words if word.endswith("_")]


def preprocessed(text):
    """What the preprocessor makes of a text in C, line by line."""
    command = ["gcc", "-E", "-P", "-x", "c", f"-I{RUNTIME}", f"-I{SUPPORT}", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


EVERYTHING = """
#include <assert.h>
#include <complex.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <tgmath.h>
#include "sample.h"
#include "nncodegen/math/library.h"
"""
"""The headers of models, and more."""


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs GCC, which lists macros")
def test_names_of_models_are_no_macros():
    """A model may be called what is a macro in any header, ours included, or a word of C: nothing is made of it."""
    command = ["gcc", "-E", "-dM", "-x", "c", f"-I{RUNTIME}", f"-I{SUPPORT}", "-"]
    listed = subprocess.run(command, input=EVERYTHING, capture_output=True, text=True, check=True).stdout
    macros = re.findall(r"#define ([A-Za-z]\w*)", listed)
    names = [*dict.fromkeys(map(identifier, [*macros, *sorted(TAKEN), "NN", "kernel", "avx2"]))]
    assert {"sin", "pow", "bool", "true", "double", "isnan"} <= set(names)
    blocks = [f"#undef NN_MODEL\n#define NN_MODEL(name) {name}_##name\n=NN(train)" for name in names]
    variants = "#undef NN\n#define NN(name) NN_OF_VARIANT(avx2, name)\n"
    lines = preprocessed("\n".join([EVERYTHING, *blocks, variants, *blocks]))
    expected = [f"={name}_train" for name in names] + [f"={name}_avx2_train" for name in names]
    assert [line for line in lines if line.startswith("=")] == expected


def test_models_take_no_name_of_the_runtime():
    """No function or type of the runtime has the name that a model would give to one of its own."""
    paths = [path for path in RUNTIME.rglob("*.h") if path.parent.name != "plain"]
    headers = [re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL) for path in paths]
    points = (RUNTIME / "nncodegen" / "base" / "entry_points.h").read_text()
    entry_points = {
        *re.findall(r"\bNN\((\w+)\)", "".join(headers)),
        *re.findall(r"FUNCTION\([\w *]+, \w*, (\w+),", points),
    }
    assert {"fit", "loss", "train_many", "kernel"} <= entry_points
    defined = re.findall(r"^[a-z][\w *]*?\b(\w+)\(|^\} (\w+);", "\n".join(headers), re.MULTILINE)
    words = {word for groups in defined for word in groups if word}
    assert {"end_fit", "robust_loss"} <= words
    models = {word.removesuffix(f"_{name}") for word in words for name in entry_points if word.endswith(f"_{name}")}
    assert {name for name in models if identifier(name) == name} == set(), "add them to OF_RUNTIME"


@pytest.mark.usefixtures("quick_compiler")
@pytest.mark.parametrize("name", ["pow", "nncodegen"])
def test_models_called_as_a_function_and_as_we_are(name):
    """A model whose name is a macro of ours, or begins ours, is built for every CPU, and its own function works."""
    x, y, a = sympy.symbols("x y a")
    module = nn.build(nn.Model(name, x, y, {a: 2}, a * x ** sympy.Rational(7, 3)), march="portable", fit=False)
    assert module.name == name
    assert module.predict([2], [[8.0]])[0, 0] == pytest.approx(256, rel=1e-14)


def test_a_function_alone_has_no_name_that_is_taken():
    """A name that C gives to something is refused in words, where the function is called by it alone."""
    for name in ("sinf", "malloc", "new", "size_t", "signbit", "typeof"):
        with pytest.raises(nn.ModelError, match="give another name"):
            check_function(name)
    check_function("decay_of_light")


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
