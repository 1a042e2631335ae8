"""Models of all kinds whose results must have the same bits everywhere, and the hashes of these results.

``python -m tests.support.same_bits [NAME ...]`` prints the table that ``tests/python/same_bits.json`` holds, for the
compiler that CC names and the flags in it: CC="gcc -mno-avx512f" for a CPU without AVX-512.
"""

from __future__ import annotations

import json
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sympy import Function, erf, exp, log, sin, symbols

import nncodegen as nn
from nncodegen import perceptron
from nncodegen.compiler.building.build import Built
from nncodegen.compiler.describe.initializers import orthogonal
from nncodegen.compiler.pipeline import compile_model
from nncodegen.runtime.python.results.fit_with_errors import robust_factors
from tests.support import stepping
from tests.support.hashes import curve_data, digest, hashes

TABLE = Path(__file__).parent.parent / "python" / "same_bits.json"
"""The committed hashes: {model: {precision: {what: hash}}}."""

a, b, c, t, y = symbols("a b c t y")


def _formula(formula, **start):
    initial = {symbols(parameter): value for parameter, value in start.items()}
    return lambda name: nn.Model(name, t, y, initial, formula)


def _stack(*layers, inputs, loss="mse"):
    return lambda name: nn.Sequential(list(layers), inputs, loss, name=name)


def _attention(name):
    x = nn.Input((6, 4), name="x")
    attended = nn.LayerNormalization()(nn.MultiHeadAttention(2, 3)(x, x))
    return nn.Network(x, nn.Dense(2)(nn.Flatten()(attended)), name=name)


def _long(name):
    """Return a network whose sums have more terms than a part, and columns that do not fill vectors."""
    x = nn.Input((260, 2), name="x")
    attended = nn.MultiHeadAttention(1, 2)(x, x, use_causal_mask=True)
    return nn.Network(x, nn.Dense(11)(nn.Flatten()(attended)), name=name)


def _two_outputs(name):
    x = nn.Input(5, name="x")
    hidden = nn.Dense(7, "tanh")(x)
    outputs = {"level": nn.Dense(2, name="level")(hidden), "kind": nn.Dense(3, "softmax", name="kind")(hidden)}
    return nn.Network(x, outputs, loss={"level": "mse", "kind": "categorical_crossentropy"}, name=name)


def _equation(name):
    x, u = symbols("x"), Function("u")(symbols("x"), t)
    losses = {"equation": u.diff(t) - u.diff(x, 2) / 10, "data": u - y}
    return nn.Sequential([nn.Dense(6, "tanh"), nn.Dense(1)], inputs=(x, t), outputs=u, losses=losses, name=name)


def _forced(name):
    """Return equations of motion with two networks and jumps, whose steps are chosen."""
    force = nn.Sequential([nn.Dense(11, "tanh"), nn.LayerNormalization(), nn.Dense(1)], inputs=3)
    return nn.Dynamics(
        ["u' = v", "v' = f*force(u, v, t) - b*u + drag(v)"],
        {"u": "u0", "v": "f"},
        {"b": 0.5, "u0": 1.0},
        inputs="f",
        times=8,
        jumps={"v": "v*exp(-b) + f*t/8"},
        rtol=1e-3,
        name=name,
        networks={"force": force, "drag": nn.Sequential([nn.Dense(5, "softplus"), nn.Dense(1)], inputs=1)},
    )


def _motion(*equations, **options):
    """Return equations of motion of two states, whose rates have powers, exponentials and the time."""
    return lambda name: nn.Dynamics(
        [*equations], {"u": "u0", "v": "f"}, {"a": 1.0, "b": 0.5, "u0": 1.0}, inputs="f", times=8, name=name, **options
    )


_SWINGS = ("u' = (a - b*v)*u + f*sin(t)/8", "v' = (a*u**1.5 - exp(b))*v")
_STIFF = ("u' = -1000*a*(u - exp(-v)) + sin(b*t)", "v' = f*u**1.5 - b*v")

MODELS = {
    "perceptron": lambda name: perceptron.model,
    "decay": _formula(a * exp(-b * t) + c, a=1.0, b=0.5, c=0.1),
    "wave": _formula(a * sin(b * t) + c * (t / 3) ** 4, a=1.0, b=1.5, c=0.01),
    "saturation": _formula(a * t / (b + t), a=1.0, b=0.5),
    "step": _formula(a * (1 + erf((t - b) / c)) + b * t ** (1 + c), a=0.5, b=1.0, c=0.7),
    "tanh": _stack(nn.Dense(32, "tanh"), nn.Dense(16, "tanh"), nn.Dense(4), inputs=4),
    "classes": _stack(nn.Dense(32, "tanh"), nn.Dense(10, "softmax"), inputs=64, loss="categorical_crossentropy"),
    "binary": _stack(nn.Dense(5, "sigmoid"), nn.Dense(1, "sigmoid"), inputs=3, loss="binary_crossentropy"),
    "wide": _stack(nn.Dense(101, "relu"), nn.Dense(37, "relu"), nn.Dense(3), inputs=30),
    "smooth": _stack(nn.Dense(12, "gelu"), nn.Dense(9, "softplus"), nn.Dense(7, "elu"), nn.Dense(2), inputs=6),
    "normalized": _stack(nn.Dense(9, "relu"), nn.BatchNormalization(), nn.Dense(2), inputs=5),
    "noisy": _stack(nn.GaussianNoise(0.1), nn.Dense(9, "tanh"), nn.Dropout(0.5), nn.Dense(2), inputs=5),
    "layer_normalized": _stack(nn.Dense(11, "tanh"), nn.LayerNormalization(), nn.Dense(2), inputs=5),
    "convolution": _stack(nn.Conv1D(3, 3, activation="relu"), nn.Flatten(), nn.Dense(2), inputs=(12, 2)),
    "pooling": _stack(
        nn.Conv2D(4, 3, activation="tanh"), nn.MaxPooling2D(2), nn.Flatten(), nn.Dense(2), inputs=(8, 8, 1)
    ),
    "rnn": _stack(nn.SimpleRNN(6), nn.Dense(2), inputs=(7, 3)),
    "gru": _stack(nn.GRU(5, return_sequences=True), nn.GRU(4), nn.Dense(1), inputs=(6, 2)),
    "lstm": _stack(nn.LSTM(5), nn.Dense(2), inputs=(9, 2)),
    "transposed": _stack(nn.Conv1DTranspose(2, 3), nn.GlobalAveragePooling1D(), nn.Dense(2), inputs=(5, 2)),
    "shaped": _stack(
        nn.Reshape((4, 3)),
        nn.Permute((2, 1)),
        nn.AveragePooling1D(3),
        nn.Flatten(),
        nn.Dense(3, "softmax"),
        inputs=12,
        loss="categorical_crossentropy",
    ),
    "attending": _attention,
    "long": _long,
    "outputs": _two_outputs,
    "equation": _equation,
    "fit_decay": _formula(a * exp(-b * t) + c, a=1.0, b=0.5, c=0.1),
    "fit_power": _formula(a * (1 + t) ** -b + c, a=1.0, b=0.5, c=0.1),
    "fit_quotient": _formula(a / (b + t) + c, a=1.0, b=0.5, c=0.1),
    "network_fit_squares": _stack(nn.Dense(4, "tanh"), nn.Dense(2), inputs=3),
    "network_fit_classes": _stack(
        nn.Dense(4, "tanh"), nn.Dense(3, "softmax"), inputs=3, loss="categorical_crossentropy"
    ),
    "tokens_transformer": stepping.transformer,
    "tokens_grouped": stepping.grouped,
    "tokens_recurrent": stepping.recurrent,
    "motion_tsit5": _motion(*_SWINGS, rtol=1e-4),
    "motion_network": _forced,
    "motion_auto": _motion(*_STIFF, method="auto", rtol=1e-4),
    "many_formulas": _formula(a * exp(-b * t) + c, a=1.0, b=0.5, c=0.1),
    "many_networks": _stack(nn.Dense(8, "tanh"), nn.Dense(2), inputs=3),
}
"""The models, each a function of its name. Those whose names begin with "tokens" generate sequences; of
those that begin with "many", several are trained together."""

FITTED = {name: True for name in MODELS if name.startswith(("equation", "network_fit"))}
"""The networks that are built with fits."""

FAST = (("tanh", "float32"), ("fit_decay", "float64"), ("motion_tsit5", "float64"))
"""The models and precisions that every run of the tests builds."""


def build(name, precision):
    """Return the module of a model, whose results promise to have the same bits everywhere."""
    return nn.build(MODELS[name](name), precision, bits="portable", fit=FITTED.get(name))


def build_for(name, precision, machine) -> Built:
    """Return the compiled module of a model for another machine."""
    model, fit = MODELS[name](name), FITTED.get(name)
    return compile_model(model, precision, march="portable", cross=machine, fit=fit, bits="portable").built


def fit_with_errors_in_x():
    """Return a fit with errors in its inputs, and quantities that follow from it."""
    derived = {"half": log(2) / b, "power": a**2.5, "rate": exp(-b)}
    model = nn.Model("halving", t, y, {a: 1.0, b: 0.5}, a * exp(-b * t), derived=derived)
    x, Y, _, sigma = curve_data()
    return nn.build(model, bits="portable").fit(x[:40], Y[:40], sigma=sigma[:40], sigma_x=1 / 64)


def errors_in_x():
    """Return the hashes of a fit with errors in its inputs, and of the first two quantities that follow from it."""
    fit = fit_with_errors_in_x()
    derived = fit.derived
    return {
        "fit": digest(fit.parameters, fit.covariance, fit.x_estimated, fit.x_standard_errors),
        "derived": digest(derived.values[:2], derived.covariance[:2, :2], derived.confidence_intervals()[:2]),
    }


def columns_of_curve():
    """Return three columns X (167, 3) that follow from x of the data of a curve, and its y (167,)."""
    x, Y, *_ = curve_data()
    return x * [1, 0.5, 0.25] + np.arange(167)[:, None] % [1, 2, 3], Y


def estimators():
    """Return the hashes of what estimators predict, with the sums of squares of weights among their stopping rules."""
    from nncodegen.estimators import FormulaRegressor, NNClassifier, NNRegressor

    x, _, _, sigma = curve_data()
    X, Y = columns_of_curve()
    options = {"hidden_layer_sizes": 9, "random_state": 3, "learning_rate_init": 1 / 64, "bits": "portable"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 200 epochs are few
        regressor, classifier = NNRegressor(**options).fit(X, Y), NNClassifier(**options).fit(X, Y > 1)
    formula = FormulaRegressor("a*exp(-b*x1) + c", bits="portable").fit(x, Y, sample_weight=sigma)
    linear = FormulaRegressor(bits="portable").fit(X, Y)
    return {
        "regressor": digest(regressor.predict(X), regressor.loss_curve_),
        "classifier": digest(classifier.predict_proba(X), classifier.loss_curve_),
        "formula": digest(formula.predict(x), formula.covariance_),
        "linear": digest(linear.predict(X), linear.covariance_),
    }


def from_numpy():
    """Return the hashes of what NumPy computes for models: first weights, and factors of rows in robust fits."""
    residuals = curve_data()[1]
    return {
        "orthogonal": digest(*(orthogonal(gates * 64, 64) for gates in (1, 3, 4))),
        "robust": digest(*(robust_factors(loss, 0.3, residuals) for loss in ("huber", "soft_l1", "cauchy"))),
    }


OTHERS = {"errors in x": errors_in_x, "estimators": estimators}
"""What takes more than one module, or scikit-learn: functions that return hashes, in double precision."""


def table(names=(*MODELS, *OTHERS), show=lambda text: None):
    """Return the hashes of models in both precisions."""
    by_model = {}
    for name in names:
        by_model[name] = {"float64": OTHERS[name]()} if name in OTHERS else {}
        for precision in ("float64", "float32") if name in MODELS else ():
            by_model[name][precision] = hashes(build(name, precision))
        show(f"{name} {by_model[name]}")
    return by_model


if __name__ == "__main__":
    print(json.dumps(table(sys.argv[1:] or (*MODELS, *OTHERS), partial(print, file=sys.stderr, flush=True)), indent=1))
