"""Eight small models that have every kind of loop between them: name -> (model, precision, choices of the schedule)."""

import sympy

import nncodegen as nn

_a, _b, _c, _x, _z, _y = sympy.symbols("a b c x z y")
_DECAY = _a * sympy.exp(_b * _x) + _c
_WAVE = _a * sympy.sin(_b * _x) + sympy.Piecewise((_c * _z, _x > _b), (_z**2, True))
_CLASSES = "categorical_crossentropy"


def _network(name, *layers, inputs, loss="mse"):
    return nn.Sequential(layers, inputs, loss, name=name)


KINDS = {
    # tiles with samples along the vectors
    "samples": (
        _network("samples", nn.Dense(40, "tanh"), nn.Dense(3, "softmax"), inputs=30, loss=_CLASSES),
        "float64",
        {"features": []},
    ),
    # tiles with features along them; gradients are added into the parameters, weights lie transposed meanwhile
    "features": (
        _network("features", nn.Dense(32, "tanh"), nn.Dense(16, "relu"), nn.Dense(2), inputs=24),
        "float64",
        {},
    ),
    # single and few samples, of widths that are no multiple of a vector; networks side by side
    "single_samples": (
        _network("single_samples", nn.Dense(21, "gelu"), nn.Dense(5, "sigmoid"), inputs=11, loss="binary_crossentropy"),
        "float32",
        {},
    ),
    # a formula that trains in registers, alone or many side by side
    "registers": (
        nn.Model("registers", [_x], [_y], {_a: 1, _b: -0.5, _c: 0.1}, _DECAY, (_DECAY - _y) ** 2),
        "float64",
        {},
    ),
    # the same with functions of the C library, and a choice between values
    "formulas": (
        nn.Model("formulas", [_x, _z], [_y], {_a: 1, _b: 0.5, _c: 0.1}, _WAVE, (_WAVE - _y) ** 2),
        "float32",
        {},
    ),
    # a network so small that it is written out as a formula, and many of them side by side
    "networks": (
        _network("networks", nn.Dense(4, "softplus"), nn.Dense(3, "softmax"), inputs=2, loss=_CLASSES),
        "float64",
        {},
    ),
    # products that are left to BLAS
    "blas": (_network("blas", nn.Dense(17, "elu"), nn.Dense(3), inputs=7), "float64", {"blas": True}),
    # random numbers of training
    "noise": (
        _network("noise", nn.GaussianNoise(0.1), nn.Dense(19, "silu"), nn.Dropout(0.3), nn.Dense(2), inputs=9),
        "float32",
        {},
    ),
}
