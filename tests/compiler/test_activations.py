"""Activations by name."""

import mpmath
import numpy as np
import pytest

import nncodegen as nn
from nncodegen.certificates.definitions.functions import ACTIVATIONS as DEFINITIONS
from nncodegen.compiler.describe.activations import ACTIVATIONS, RECORDS, usual_activation
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.formats.activations import by_names, with_parameters
from nncodegen.formats.onnx.reading.operators import OPERATORS

Z = np.linspace(-4, 4, 81)
SYMBOL = Element("z")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_meaning(name):
    """Each name means its definition, which is written down a second time for certificates."""
    with mpmath.workdps(50):
        expected = [float(DEFINITIONS[name](mpmath.mpf(float(z)))) for z in Z]
    computed = interpret(ACTIVATIONS[name](SYMBOL), {SYMBOL: Z}, exact=False)
    assert computed == pytest.approx(np.array(expected), rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("record", [record for record in RECORDS if record.torch], ids=lambda record: record.name)
def test_meaning_in_torch(record):
    """Each activation of PyTorch is the one of its record, with any value of its parameters."""
    torch = pytest.importorskip("torch")
    values = {name: 0.75 * usual + 0.125 for name, usual in record.torch.parameters.items()}
    for options in (dict(record.torch.parameters), values):
        module = getattr(torch.nn, record.torch.name)(**options, **record.torch.texts)
        formula = with_parameters(record, options.values())(SYMBOL)
        expected = module(torch.tensor(Z, dtype=torch.float64)).numpy()
        assert interpret(formula, {SYMBOL: Z}, exact=False) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_every_name_of_torch():
    """Each module of PyTorch that is an activation has a record, but those that draw, or act on several numbers."""
    torch = pytest.importorskip("torch")
    others = {"GLU", "MultiheadAttention", "PReLU", "RReLU", "Softmax", "Softmax2d", "Softmin", "LogSoftmax"}
    names = set(torch.nn.modules.activation.__all__) - others
    assert names == set(by_names("torch"))


def test_operators_of_onnx_are_read():
    """Each activation that is an operator of ONNX is read from a file."""
    assert set(by_names("onnx")) <= set(OPERATORS)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("ReLU", "relu"),
        ("LeakyReLU", "leaky_relu"),
        ("swish", "silu"),
        ("hardswish", "hard_swish"),
        ("hard_silu", "hard_swish"),
        ("ReLU6", "relu6"),
        ("LogSigmoid", "log_sigmoid"),
        ("identity", "linear"),
        ("logistic", "sigmoid"),
        ("Softshrink", "soft_shrink"),
        ("exp", "exponential"),
        ("tanhshrink", "tanh_shrink"),
    ],
)
def test_spellings(spelling, name):
    """Names of Keras, PyTorch and scikit-learn mean the same here."""
    assert usual_activation(spelling) == name
    assert nn.Dense(3, spelling) == nn.Dense(3, name)


def test_names_are_unique():
    """No name or alias means two activations."""
    names = [name for record in RECORDS for name in (record.name, *record.aliases)]
    assert len({name.lower().replace("_", "") for name in names}) == len(names)
