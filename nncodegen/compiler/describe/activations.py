"""Activations by name: each is one record, which layers, readers, writers and the documentation share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sympy import Expr, Piecewise, Rational, S, exp, pi, sqrt
from sympy.codegen.cfunctions import expm1

from nncodegen.compiler.ir.functions import elu, gelu, leaky_relu, relu, selu, sigmoid, silu, softplus, softsign, tanh
from nncodegen.runtime.python.ground.names_elsewhere import spelled

Activation = str | Callable[[Expr], Expr]

SOFTMAX = "softmax"
"""The only activation that is not a function of one number: it normalizes over the units of a layer."""


# --- formulas ------------------------------------------------------------------------------------------------------
# A NaN stays a NaN, since comparisons with it are false. At a corner, the derivative is that of the branch on the left.


def clip(z: Any, low: Expr | None, high: Expr | None) -> Expr:
    """Return z between two bounds, either of which may be None. Where low > high it is high, as in ONNX and PyTorch."""
    above = [] if high is None else [(high, z >= high if low is None else (z >= high) | (low >= high))]
    below = [] if low is None else [(low, z <= low)]
    return Piecewise(*above, *below, (z, True))


SIXTH = Rational(1, 6)


def hard_sigmoid(z: Any, alpha: Expr = SIXTH, beta: Expr = S.Half) -> Expr:
    """Return alpha*z + beta between 0 and 1."""
    return clip(alpha * z + beta, S.Zero, S.One)


def _celu(z: Any, alpha: Expr = S.One) -> Expr:
    """Return z where it is positive, alpha*(exp(z/alpha) - 1) elsewhere (Barron, 2017)."""
    return Piecewise((alpha * expm1(z / alpha), z <= 0), (z, True))


def _gelu_tanh(z: Any) -> Expr:
    """Return the approximation of gelu by tanh (Hendrycks and Gimpel, 2016)."""
    return z * (1 + tanh(sqrt(2 / pi) * (z + Rational(44715, 1000000) * z**3))) / 2


def _shrink(z: Any, bound: Expr = S.Half, bias: Expr = S.Zero) -> Expr:
    """Return 0 from -bound to bound; elsewhere z, nearer to 0 by the bias."""
    return Piecewise((z + bias, z < -bound), (z - bias, z > bound), (S.Zero, (z >= -bound) & (z <= bound)), (z, True))


def _soft_shrink(z: Any, bound: Expr = S.Half) -> Expr:
    """Return 0 from -bound to bound; elsewhere z, nearer to 0 by the bound."""
    return _shrink(z, bound, bound)


def _softplus(z: Any, beta: Expr = S.One) -> Expr:
    """Return log(1 + exp(beta*z))/beta."""
    return softplus(beta * z) / beta


def _swish(z: Any, beta: Expr = S.One) -> Expr:
    """Return z*sigmoid(beta*z)."""
    return silu(z) if beta == 1 else z * sigmoid(beta * z)


def _thresholded(z: Any, threshold: Expr = S.One, value: Expr = S.Zero) -> Expr:
    """Return z above a threshold, a constant elsewhere."""
    return Piecewise((value, z <= threshold), (z, True))


# --- records -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """An activation in another library: a class of torch.nn, or an operator of ONNX.

    ``parameters`` are the attributes that hold the formula's parameters, in their order, with the library's defaults;
    with ``texts``, it computes the activation only where it has these attributes.
    """

    name: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Named:
    """An activation with a name: the formula of a value, and what other libraries call it.

    The formula takes further parameters, such as the slope of a leaky_relu, whose defaults are those of the name here.
    ``aliases`` are other names here, those of Keras and scikit-learn among them.
    """

    name: str
    formula: Callable[..., Expr]
    about: str
    torch: Form | None = None
    onnx: Form | None = None
    aliases: tuple[str, ...] = ()

    def __call__(self, z: Any) -> Expr:
        """Return the activation of an expression."""
        return self.formula(z)

    @property
    def usual(self) -> tuple[float, ...]:
        """Return the values of the formula's parameters for the name."""
        parameters = inspect.signature(self.formula).parameters.values()
        return tuple(float(parameter.default) for parameter in parameters if parameter.default is not parameter.empty)


RECORDS = (
    Named("linear", lambda z: z, "z", aliases=("identity",)),
    Named("sigmoid", sigmoid, "1/(1 + exp(-z))", Form("Sigmoid"), Form("Sigmoid"), ("logistic",)),
    Named("tanh", tanh, "the hyperbolic tangent", Form("Tanh"), Form("Tanh")),
    Named("relu", relu, "max(z, 0)", Form("ReLU"), Form("Relu")),
    Named("leaky_relu", leaky_relu, "z where z > 0, else z/100",
          Form("LeakyReLU", {"negative_slope": 0.01}), Form("LeakyRelu", {"alpha": 0.01})),
    Named("elu", elu, "z where z > 0, else exp(z) - 1", Form("ELU", {"alpha": 1.0}), Form("Elu", {"alpha": 1.0})),
    Named("selu", selu, "1.0507*elu(z), with 1.6732*(exp(z) - 1) where z < 0 (Klambauer et al., 2017)",
          Form("SELU"), Form("Selu", {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875})),
    Named("softplus", _softplus, "log(1 + exp(z))", Form("Softplus", {"beta": 1.0}), Form("Softplus")),
    Named("softsign", softsign, "z/(1 + |z|)", Form("Softsign"), Form("Softsign")),
    Named("silu", _swish, "z*sigmoid(z)", Form("SiLU"), Form("Swish", {"alpha": 1.0}), ("swish",)),
    Named("gelu", gelu, "z times the standard normal distribution function of z", Form("GELU"), Form("Gelu")),
    Named("gelu_tanh", _gelu_tanh, "the approximation of gelu by tanh (Hendrycks and Gimpel, 2016)",
          Form("GELU", texts={"approximate": "tanh"}), Form("Gelu", texts={"approximate": "tanh"})),
    Named("mish", lambda z: z * tanh(softplus(z)), "z*tanh(softplus(z)) (Misra, 2019)", Form("Mish"), Form("Mish")),
    Named("celu", _celu, "elu; with another alpha than 1, alpha*(exp(z/alpha) - 1) where z < 0 (Barron, 2017)",
          Form("CELU", {"alpha": 1.0}), Form("Celu", {"alpha": 1.0})),
    Named("hard_sigmoid", hard_sigmoid, "z/6 + 1/2 between 0 and 1",
          Form("Hardsigmoid"), Form("HardSigmoid", {"alpha": 0.2, "beta": 0.5})),
    Named("hard_swish", lambda z: z * hard_sigmoid(z), "z*hard_sigmoid(z) (Howard et al., 2019)",
          Form("Hardswish"), Form("HardSwish"), ("hard_silu",)),
    Named("hard_tanh", lambda z, low=-S.One, high=S.One: clip(z, low, high), "z between -1 and 1",
          Form("Hardtanh", {"min_val": -1.0, "max_val": 1.0})),
    Named("relu6", lambda z: clip(z, S.Zero, S(6)), "z between 0 and 6", Form("ReLU6")),
    Named("log_sigmoid", lambda z: -softplus(-z), "log(sigmoid(z))", Form("LogSigmoid")),
    Named("tanh_shrink", lambda z: z - tanh(z), "z - tanh(z)", Form("Tanhshrink")),
    Named("hard_shrink", _shrink, "0 where |z| < 1/2, else z",
          Form("Hardshrink", {"lambd": 0.5}), Form("Shrink", {"lambd": 0.5, "bias": 0.0})),
    Named("soft_shrink", _soft_shrink, "0 where |z| < 1/2, else z nearer to 0 by 1/2",
          Form("Softshrink", {"lambd": 0.5})),
    Named("thresholded_relu", _thresholded, "z where z > 1, else 0",
          Form("Threshold", {"threshold": 1.0, "value": 0.0}), Form("ThresholdedRelu", {"alpha": 1.0})),
    Named("exponential", exp, "exp(z)", aliases=("exp",)),
)  # fmt: skip
"""Every activation that is a function of one number. To add one, add its record."""

ACTIVATIONS: dict[str, Callable[[Expr], Expr]] = {record.name: record for record in RECORDS}
"""The activations by name."""

_ALIASES = {alias: record.name for record in RECORDS for alias in record.aliases}


def usual_activation(activation: Any) -> Any:
    """Return the name of an activation for another one, "relu" for "ReLU", "silu" for "swish"; else the object."""
    usual = spelled(activation, (*ACTIVATIONS, *_ALIASES, SOFTMAX))
    return _ALIASES.get(usual, usual) if isinstance(usual, str) else usual
