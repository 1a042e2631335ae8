"""Small models that have between them all that C is printed for: name -> (model, options of the export)."""

import sympy

import nncodegen as nn
from nncodegen.compiler.describe.activations import ACTIVATIONS
from nncodegen.compiler.ir.functions import tanh
from nncodegen.perceptron import model as perceptron

a, b, x, z, y = sympy.symbols("a b x z y")
MINE = {"libm": False, "precision": "float32"}


def _halving(parameter, gradient, t, learning_rate, decay, m):
    """A rule of one's own: the number of the update counts, in a root."""
    kept = decay * m + gradient
    return parameter - learning_rate * kept * sympy.sqrt(1 - decay**t), kept


OWN_RULE = nn.Optimizer("halving", _halving, ["m"], {"decay": 0.5})


def _keeping(parameter, gradient, before, fixed, last, t, learning_rate, k):
    """A rule that counts for each parameter, and whose state is what it is given: the parameter before, k, itself."""
    step = learning_rate * (gradient * t + fixed) * tanh(k) + (parameter - before) / 16
    return parameter - step, parameter, fixed, k


KEEPING_RULE = nn.Optimizer("keeping", _keeping, {"before": 0.25, "fixed": 0.5, "last": 0}, {"k": 0.75})
RULES_OF_ONES_OWN = {rule.name: rule for rule in (OWN_RULE, KEEPING_RULE)}


def formula(name, inputs, targets, output, loss, *, first=(1.0, 0.5), symbols=(a, b), **options):
    return nn.Model(name, inputs, targets, dict(zip(symbols, first, strict=True)), output, loss, **options)


def network(name, *layers, inputs=5, loss="mse"):
    return nn.Sequential(layers, inputs, loss, name=name)


CHAINED = [
    name for name in ACTIVATIONS if name not in {"hard_shrink", "soft_shrink", "tanh_shrink", "thresholded_relu"}
]
"""The activations that pass small numbers on: after one of the others, a deep network is almost constant."""


def deep(name):
    """Every activation that passes small numbers on, one after the other."""
    return network(name, *(nn.Dense(3 + k % 3, kind) for k, kind in enumerate(CHAINED)), nn.Dense(2))


HEADS = {
    "mse": "linear",
    "mae": "linear",
    "huber": "linear",
    "log_cosh": "tanh",
    "poisson": "softplus",
    "binary_crossentropy": "sigmoid",
    "binary_crossentropy_from_logits": "linear",
    "hinge": "linear",
    "categorical_crossentropy": "softmax",
    "categorical_crossentropy_from_logits": "linear",
}
"""Losses, each with the activation of the last layer that belongs to it."""

_odd = sympy.symbols("n real work p parameters i x_now e1 gamma x[0] x_0 */")
_n, _real, _work, _p, _parameters, _i, _now, _e1, _gamma, _first, _second, _comment = _odd
_odd_output = _p * _n + _parameters * _real + _work * _i * sympy.exp(_e1) + _now * _first - _gamma * _second * _comment
_root = sympy.Piecewise((sympy.sqrt(x), x > a), (2, True)) / 3 * b
_most = sympy.Max(a * x, b * z, x - 0.4) + sympy.Min(a, b, x) + sympy.sign(b) * abs(a * x - 0.3)
_library = sympy.sin(a * x) / (a * x) + abs(x) ** a * sympy.atan2(b, x)

FORMULAS = {
    "perceptron": perceptron,
    "surreal": formula(
        "surreal",
        [_n, _real, _first, _second, _comment],
        [y],
        _odd_output,
        (_odd_output - y) ** 2,
        symbols=(_p, _parameters, _work, _i, _now, _e1, _gamma),
        first=(1.0, 0.5, 0.2, 0.3, 0.4, 0.1, 0.7),
    ),
    "several": formula("several", [x, z], [y], (a * x, b * z, a * x, x, sympy.Integer(3), a), (a * x + b * z - y) ** 2),
    "exponential": formula("exponential", [x], [y], sympy.exp(a), sympy.exp(a) * b),
    "without_data": formula("without_data", [], [], a * b, (1 - a) ** 2 + 100 * (b - a * a) ** 2),
    "without_targets": formula("without_targets", [x], [], sympy.erf(a * x), (a * b * x) ** 2 + sympy.erfc(a * x)),
    "choices": formula("choices", [x, z], [y], (_root, _most), (_root + _most - y) ** 2),
    "double": formula("double", [x], [y], _library, (_library * b - y) ** 2),
}

WIDE = network(
    "wide", nn.WideAndDeep([nn.Dense(4, "relu"), nn.Dense(3, "tanh")], 3, "softmax"), loss="categorical_crossentropy"
)
NOISY = network("noisy", nn.GaussianNoise(0.2), nn.Dense(4, "gelu"), nn.Dropout(0.4), nn.Dense(2), inputs=3)

EXPORTS = {
    "deep64": (deep("deep"), {}),
    "deep32": (deep("deep"), {"precision": "float32"}),
    "own64": (deep("deep"), {"libm": False}),
    "own32": (deep("deep"), MINE),
    **{
        f"{loss}_{kind[:4]}": (
            network("head", nn.Dense(4, "relu"), nn.Dense(3, kind), loss=loss),
            MINE if number % 2 else {},
        )
        for number, (loss, kind) in enumerate(HEADS.items())
    },
    **{name: (model, MINE if name in ("choices", "perceptron") else {}) for name, model in FORMULAS.items()},
    "wide": (WIDE, MINE),
    "noisy64": (NOISY, {}),
    "noisy32": (NOISY, MINE),
}
RULES = (
    "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "adamax", "lion", "rprop", *RULES_OF_ONES_OWN
)  # fmt: skip
"""All that need no function of the C library; a test asks for nadam besides."""
