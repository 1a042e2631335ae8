"""Activations by name."""

import numpy as np
import pytest

from nncodegen.describe.activations import ACTIVATIONS
from nncodegen.ir import Element
from nncodegen.ir.evaluate import interpret

Z = np.linspace(-4, 4, 81)
EXPECTED = {
    "linear": Z,
    "sigmoid": 1 / (1 + np.exp(-Z)),
    "tanh": np.tanh(Z),
    "relu": np.maximum(Z, 0),
    "leaky_relu": np.where(Z > 0, Z, 0.01 * Z),
    "elu": np.where(Z > 0, Z, np.expm1(Z)),
    "selu": 1.0507009873554805 * np.where(Z > 0, Z, 1.6732632423543772 * np.expm1(Z)),
    "softplus": np.log1p(np.exp(Z)),
    "softsign": Z / (1 + abs(Z)),
    "silu": Z / (1 + np.exp(-Z)),
    "swish": Z / (1 + np.exp(-Z)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_meaning(name):
    """Each name means its formula."""
    if name == "gelu":
        special = pytest.importorskip("scipy.special")
        expected = Z * special.ndtr(Z)
    else:
        expected = EXPECTED[name]
    symbol = Element("z")
    assert interpret(ACTIVATIONS[name](symbol), {symbol: Z}, exact=False) == pytest.approx(expected, rel=1e-13)
