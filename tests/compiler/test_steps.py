"""Steps over arrays mean the same with each kind of numbers: floats, many digits, and those of certificates."""

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.certificates import exact
from nncodegen.certificates.one_step import CERTAIN
from nncodegen.compiler.ir import Element, Step, evaluate
from nncodegen.compiler.ir.evaluate import FLOATS, MANY
from nncodegen.compiler.ir.text import LONG, text_of
from tests.support.models import random_data
from tests.support.search import examples

LENGTHS = {"n": 2, "i": 3, "j": 2}
U, V, W = Element("u", ("n", "i")), Element("v", ("j", "i")), Element("w", ("n",))

expressions = st.sampled_from(
    [
        U,
        U * V,
        2 * U * V * W,
        U * V + W,
        sympy.exp(U) - V,
        sympy.Integer(3),
        U**2,
        -V * W,
        sympy.Max(U, V),
    ]
)
steps = st.builds(
    lambda expression, how: Step(Element("r", how[1]), expression, how[0], how[2]),
    expressions,
    st.sampled_from(
        [
            (None, ("n", "i", "j"), ()),
            (None, ("j", "n", "i"), ()),
            ("sum", ("j", "n"), ("i",)),
            ("sum", (), ("i", "n", "j")),
            ("max", ("i",), ("n", "j")),
            ("first", ("n",), ("i", "j")),
            ("softmax", ("n", "i", "j"), ("i",)),
            ("log_softmax", ("n", "j", "i"), ("j", "i")),
            ("softmax_complement", ("n", "i", "j"), ("j",)),
        ]
    ),
)


@examples(80)
@given(step=steps, seed=st.integers(0, 1000))
def test_a_step(step, seed):
    """What a step gives is the same number in every kind, for all of its indices and for one value of one of them."""
    rng = np.random.default_rng(seed)
    values = {e.tensor: rng.normal(size=[LENGTHS[index] for index in e.indices]) for e in (U, V, W)}
    many = {name: exact.many(array) for name, array in values.items()}
    at = [{}, {"n": 1}] if "n" in step.target.indices and "n" not in step.over else [{}]
    for held in at:
        with mpmath.workdps(40):
            exact_values = [MANY.compute(step, many, LENGTHS, held), CERTAIN.compute(step, many, LENGTHS, held)]
            differences = np.ravel(exact_values[0]) - np.ravel(exact_values[1])
            assert exact_values[0].shape == exact_values[1].shape
            assert max(map(abs, differences)) < mpmath.mpf(10) ** -37
        floats = FLOATS.compute(step, values, LENGTHS, held)
        assert floats.shape == exact_values[0].shape
        np.testing.assert_allclose(floats, exact_values[0].astype(float), rtol=1e-13, atol=1e-15)


NETWORKS = {
    "softmax": nn.Sequential([nn.Dense(3, "relu"), nn.Dense(2, "softmax")], 4, "categorical_crossentropy"),
    "windows": nn.Sequential([nn.Conv1D(2, 3), nn.MaxPooling1D(2), nn.Flatten(), nn.Dense(1)], (8, 1), "mse"),
    "recurrent": nn.Sequential([nn.GRU(2), nn.Dense(1)], (3, 2), "mse"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_program(name):
    """All tensors of a program are the same numbers for the evaluator and for a certificate."""
    program = NETWORKS[name].describe()
    parameters, X, Y = random_data(program, samples=2)
    with mpmath.workdps(40):
        evaluated = evaluate(program, parameters, X, Y, digits=40)
        certain = exact.run(program, exact.bind(program, parameters, X, Y))
        for step in program.steps:
            first, second = (np.ravel(values[step.target.tensor]) for values in (evaluated, certain))
            assert max(map(abs, first - second)) < mpmath.mpf(10) ** -35


FACTORS = [*(Element(f"e{k}") for k in range(2 * LONG)), *(Element(f"t{k}", ("n",)) for k in range(9))]

factors = st.builds(
    lambda change, first, second: change(first, second),
    st.sampled_from(
        [
            lambda a, b: a,
            lambda a, b: a**2,
            lambda a, b: a**3,
            lambda a, b: sympy.sqrt(a),
            lambda a, b: a**b,
            lambda a, b: sympy.tanh(a * b),
            lambda a, b: sympy.sqrt(2) * a,
            lambda a, b: -a,
            lambda a, b: sympy.Float(0.5),
        ]
    ),
    st.sampled_from(FACTORS),
    st.sampled_from(FACTORS),
)
sums = st.lists(st.lists(factors, min_size=1, max_size=3), min_size=LONG, max_size=2 * LONG).map(
    lambda terms: sympy.Add(*(sympy.Mul(*term) for term in terms))
)


@examples(40)
@given(total=sums, outer=st.sampled_from([lambda e: e, sympy.exp, lambda e: 2 / (1 + e)]))
def test_text(total, outer):
    """Long sums, alone or within functions, have the text that SymPy gives them, with their terms in its order."""
    assert text_of(outer(total)) == str(outer(total))


def test_a_quotient_among_many_terms():
    """A factor with a negative exponent comes where SymPy has it, too."""
    total = sympy.Add(*FACTORS, FACTORS[0] / FACTORS[3], 1 / FACTORS[5], -FACTORS[2] / FACTORS[1] ** 2)
    assert text_of(total) == str(total)
