"""Networks as plain data: formulas as text, descriptions, and predicting without a compiler."""

import json
import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.pipeline import evaluated_module
from nncodegen.estimators.network import Description, module_of, parse, predict, to_text
from nncodegen.estimators.network.description import activation_text, loss_text
from tests.support import ROOT
from tests.support.search import examples

pytestmark = pytest.mark.usefixtures("quick_compiler")

Z = sympy.Symbol("z", real=True)
NETWORK = Description(4, ((5, "z*exp(-z**2)"), (3, "softmax")), "categorical_crossentropy")


def expressions():
    """Formulas in z of every kind of node."""
    numbers = st.one_of(st.integers(-9, 9), st.floats(-3, 3, allow_subnormal=False).map(sympy.Float))
    leaves = st.one_of(st.just(Z), numbers.map(sympy.sympify), st.fractions(max_denominator=7).map(sympy.Rational))
    unary = st.sampled_from([sympy.exp, sympy.sin, sympy.Abs, sympy.sqrt, nn.sigmoid, nn.tanh, nn.softplus, nn.relu])

    def grow(parts):
        pairs = st.tuples(parts, parts)
        return st.one_of(
            pairs.map(lambda p: p[0] + p[1]),
            pairs.map(lambda p: p[0] * p[1]),
            pairs.map(lambda p: sympy.Max(*p)),
            pairs.map(lambda p: sympy.Piecewise((p[0], Z > 0), (p[1], True))),
            st.tuples(unary, parts).map(lambda p: p[0](p[1] if p[0] is not sympy.sqrt else p[1] ** 2)),
        )

    return st.recursive(leaves, grow, max_leaves=5)


@examples(100)
@given(expressions())
def test_a_formula_survives_as_text(expression):
    """Whatever SymPy's formula, its text is read as one of the same values, or a constant in it is out of range."""
    expression = sympy.sympify(expression)
    if not isinstance(expression, sympy.Expr) or expression.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
        return
    try:
        again = parse(to_text(expression, {"z": Z}, "the formula"), {"z": Z}, "the formula")
    except nn.ModelError as error:
        if "beyond what a double holds" not in str(error):
            raise
        return
    for value in (-1.25, 0.5, 3.0):
        expected, again_value = expression.subs(Z, value).evalf(), again.subs(Z, value).evalf()
        if expected.is_finite and expected.is_real and 1e-100 < abs(expected) < 1e100:
            assert abs(expected - again_value) <= 1e-9 * abs(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "is not allowed here"),
        ("output.real", "'output.real' is not allowed here"),
        ("(lambda: output)()", "is not allowed here"),
        ("output +", "invalid syntax"),
        ("(output, target)", "not a number for each sample"),
        ("output - traget", "traget is none of output, target"),
        ("abs - target", "write abs(...)"),
        ("sqare(output)", "there is no function sqare"),
        ("output > target", "not a number for each sample"),
        ("output[0]", "is not allowed here"),
        ("9**9**9**9*output", "more than a thousand digits"),
        ("mes", "there is no loss 'mes'; there are: mse"),
    ],
)
def test_a_text_that_is_no_formula(text, message):
    """A text that is not a formula is refused with the reason, and never run."""
    with pytest.raises(nn.ModelError, match=r"(?s).*") as caught:
        loss_text(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "activation", [lambda z: z * sympy.exp(-(z**2)), nn.gelu, lambda z: nn.sigmoid(z) / 3, sympy.Symbol("z") ** 2]
)
def test_an_activation_of_any_kind_is_a_text(activation):
    """A function, SymPy's or a person's, and an expression of whatever symbol z become text."""
    text = activation_text(activation, 1)
    expected = activation(Z) if callable(activation) and not isinstance(activation, sympy.Expr) else Z**2
    assert sympy.simplify(parse(text, {"z": Z}, "it") - expected) == 0


def test_a_description_is_plain_data():
    """It survives a pickle and JSON with the same hash, and the hash tells networks apart."""
    copies = pickle.loads(pickle.dumps(NETWORK)), Description.from_dict(json.loads(json.dumps(NETWORK.to_dict())))
    for copy in copies:
        assert copy == NETWORK
        assert copy.hash == NETWORK.hash
    others = [
        Description(4, ((5, "tanh"), (3, "softmax")), "categorical_crossentropy"),
        Description(4, NETWORK.layers, "mse"),
        Description(4, NETWORK.layers, NETWORK.loss, precision="float32"),
        Description(3, NETWORK.layers, NETWORK.loss),
    ]
    assert len({NETWORK.hash, *(other.hash for other in others)}) == 5
    with pytest.raises(nn.ModelError, match="another version of nncodegen"):
        NETWORK.check(others[0].hash)


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"inputs": 2},
        {"inputs": 2, "layers": 3, "loss": "mse"},
        {"inputs": 2, "layers": [[3, "tanh"]], "loss": "mse", "evil": 1},
    ],
)
def test_foreign_data_is_no_description(foreign):
    """What did not come from a description is refused."""
    with pytest.raises(nn.ModelError, match="describes no network"):
        Description.from_dict(foreign)


def test_the_total_of_a_loss():
    """A sum over outputs is as many times the mean as there are outputs."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(6, 2)), rng.uniform(size=(6, 3))
    means, sums = (Description(2, ((3, "sigmoid"),), "huber", total) for total in ("mean", "sum"))
    parameters = rng.normal(size=means.parameter_count)
    mean, total = (float(nn.evaluate(d.program, parameters, X, Y)["loss"]) for d in (means, sums))
    np.testing.assert_allclose(total, 3 * mean, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:for a test. NumPy evaluates the model:RuntimeWarning")
@pytest.mark.parametrize("network", [NETWORK, Description(3, ((2, "gelu"), (2, "exp(z)")), "mse", precision="float32")])
def test_numpy_predicts_as_the_module(network):
    """The evaluation with NumPy, which needs no compiler, gives what the module gives."""
    rng = np.random.default_rng(1)
    X, parameters = rng.normal(size=(7, network.inputs)), rng.normal(size=network.parameter_count)
    slow = evaluated_module(network.model, network.precision, reason="for a test")
    native, evaluated = predict(network, parameters, X), slow.predict(parameters, X)
    assert native.dtype == evaluated.dtype == network.precision
    np.testing.assert_allclose(evaluated, native, rtol=1e-12 if network.precision == "float64" else 1e-5)


def test_a_module_is_loaded_once_in_a_process():
    """The same description gives the same module."""
    assert module_of(NETWORK) is module_of(Description.from_dict(NETWORK.to_dict()))


def test_without_a_compiler_numpy_predicts_with_one_warning(tmp_path):
    """Where nothing can be compiled, predict gives the same values, and warns once."""
    program = """
        import warnings
        import numpy as np
        from nncodegen.estimators.network import Description, predict
        network = Description(4, ((5, "z*exp(-z**2)"), (3, "softmax")), "categorical_crossentropy")
        parameters = np.linspace(-1, 1, network.parameter_count)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                outputs = predict(network, parameters, np.eye(4))
        assert [w.category for w in caught] == [RuntimeWarning], caught
        assert "no C compiler was found (looked for $CC = /nonexistent)" in str(caught[0].message), caught[0].message
        print(repr(outputs.tolist()))
        """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CC": "/nonexistent", "NNCODEGEN_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = predict(NETWORK, np.linspace(-1, 1, NETWORK.parameter_count), np.eye(4))
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=1e-12)
