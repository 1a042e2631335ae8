"""When a training has diverged: one rule, whatever loops it goes through."""

import warnings

import numpy as np
import pytest
import sympy
from sympy.codegen.cfunctions import expm1

import nncodegen as nn
from tests.support.built import built

pytestmark = pytest.mark.usefixtures("quick_compiler")

a, b, x, y = sympy.symbols("a b x y")
FORMULAS = {
    "saturated": sympy.tanh(x**2 / expm1(a * x)),
    "tanh": b * sympy.tanh(a * x**2),
    "bell": b * sympy.exp(-a * x**2),
    "softplus": sympy.log(1 + sympy.exp(-a * x**2)) - b,
    "growth": a * sympy.exp(b * x),
    "quotient": b / (1 + a * x**2),
    "neurons": nn.sigmoid(a * nn.sigmoid(b * x**2 + a) + b),
}
MODELS = {
    name: nn.Model(name, [x], [y], {a: 0.5, b: 0.5}, formula, (formula - y) ** 2) for name, formula in FORMULAS.items()
}
RATE = 0.01


@pytest.fixture(autouse=True)
def silent():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def draws(module, count):
    """Inputs, targets and parameters, many of them so large that squares and exponentials overflow."""
    rng = np.random.default_rng(0)
    top = 160 if module.precision == "float64" else 20
    for number in range(count):
        X = rng.choice([-1, 1]) * 10 ** rng.uniform(-5, top if number % 2 else 4, (1, len(module.input_names)))
        parameters = rng.choice([-1, 1], module.parameter_count) * 10 ** rng.uniform(-3, 2, module.parameter_count)
        Y = np.full((1, len(module.target_names)), 0.3)
        yield tuple(array.astype(module.dtype) for array in (X, Y, parameters))


def step(module, X, Y, parameters, which=slice(None)):
    """The parameters after a step of gradient descent, and whether it leaves the loss and them finite."""
    loss, gradient = module.loss_and_gradient(parameters, X, Y)
    after = parameters.copy()
    after[which] -= module.dtype.type(RATE) * gradient[which]
    return after, np.isfinite(loss) and np.isfinite(after[which]).all()


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *(
            pytest.param(name, "float64", marks=[pytest.mark.thorough] if number % 2 else [])
            for number, name in enumerate(FORMULAS)
        ),
        ("saturated", "float32"),
        ("growth", "float32"),
        *(
            pytest.param(name, "float32", marks=pytest.mark.thorough)
            for name in FORMULAS
            if name not in ("saturated", "growth")
        ),
    ],
)
def test_formulas(name, precision):
    """A step diverges where loss_and_gradient says so, and only there: alone, in batches, with others, in a stream."""
    module = built(MODELS[name], precision, fit=False)
    arguments = {"epochs": 1, "learning_rate": RATE}
    for X, Y, parameters in draws(module, 100):
        after, finite = step(module, X, Y, parameters)
        ends = np.isfinite(after).all() and np.isfinite(module.loss(after, X, Y))
        few, many = ((np.repeat(X, rows, 0), np.repeat(Y, rows, 0)) for rows in (3, 700))
        statuses = {
            "single sample": module.train(X, Y, parameters, **arguments).status,
            "weighted": module.train(X, Y, parameters, sample_weight=[2.0], **arguments).status,
            "momentum": module.train(X, Y, parameters, optimizer="momentum", **arguments).status,
            "batch": module.train(*few, parameters, **arguments).status,
            "two tiles": module.train(*many, parameters, **arguments).status,
            "stream": module.train_on_stream([(X, Y)], parameters, learning_rate=RATE).status,
            "group": module.train_many(X, Y, [parameters], **arguments).status[0],
            "group, batch": module.train_many(*few, [parameters] * 3, **arguments).status[2],
        }
        assert statuses == dict.fromkeys(statuses, "completed" if finite and ends else "diverged"), (X, parameters)
        statuses = {  # the loss before the step is of no history then
            "single sample": module.train(X, Y, parameters, history=False, **arguments).status,
            "batch": module.train(*few, parameters, history=False, **arguments).status,
            "group": module.train_many(X, Y, [parameters], history=False, **arguments).status[0],
        }
        assert statuses == dict.fromkeys(statuses, "completed" if ends else "diverged"), (X, parameters)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.thorough] if number % 2 else []) for number, name in enumerate(FORMULAS)],
)
def test_sequential_updates(name):
    """A sweep diverges where its first loss or a new parameter is not finite, in registers and in loops."""
    module = built(MODELS[name], fit=False)
    arguments = {"epochs": 1, "learning_rate": RATE, "update": "sequential"}
    for X, Y, parameters in draws(module, 100):
        after, finite = parameters, np.isfinite(module.loss(parameters, X, Y))
        for p in range(module.parameter_count):
            if finite:
                after, _ = step(module, X, Y, after, [p])
                finite = np.isfinite(after).all()
        finite = finite and np.isfinite(module.loss(after, X, Y))
        expected = "completed" if finite else "diverged"
        for options in ({}, {"sample_weight": [2.0]}):
            assert module.train(X, Y, parameters, **arguments, **options).status == expected, (X, parameters, options)


def test_trainings_go_on_where_only_the_registers_overflow():
    """Many epochs over samples some of which overflow on the way: the parameters and losses of the loops."""
    module = built(MODELS["tanh"], fit=False)
    rng = np.random.default_rng(0)
    X = np.where(rng.uniform(size=(50, 1)) < 0.3, 1e160, rng.normal(size=(50, 1)))
    Y = np.where(X == 1e160, 0.7, 0.7 * np.tanh(0.3 * X**2))
    arguments = {"epochs": 30, "batch_size": 1, "learning_rate": 0.05}
    for update in ("simultaneous", "sequential"):
        result = module.train(X, Y, update=update, tolerance=1e-12, **arguments)
        loops = module.train(X, Y, update=update, sample_weight=np.ones(50), **arguments)
        assert result.status == loops.status == "completed"
        assert result.parameters == pytest.approx(loops.parameters, rel=1e-12)
        assert result.history == pytest.approx(loops.history, rel=1e-12)
        half = module.train(X, Y, update=update, callback=lambda progress: progress.epochs == 7, **arguments)
        whole = module.train(X, Y, update=update, resume=half, **arguments)
        assert np.array_equal(whole.parameters, result.parameters)


@pytest.mark.parametrize(
    ("units", "activation"),
    [
        ((3,), "tanh"),
        ((20, 20), "elu"),
        pytest.param((20, 20), lambda z: z**3 / (1 + z**2), marks=pytest.mark.thorough),
    ],
)
def test_networks(units, activation):
    """So do networks: in registers, in loops of single samples, in tiles, in groups, and with BLAS."""
    layers = [*(nn.Dense(size, activation) for size in units), nn.Dense(2)]
    network = nn.Sequential(layers, 4, name="diverging")
    arguments = {"epochs": 1, "learning_rate": RATE}
    module, by_blas = (
        nn.build(network, fit=False),
        nn.build(network, choices={"blas": True}, fit=False) if units == (20, 20) else None,
    )
    for X, Y, parameters in draws(module, 40):
        after, finite = step(module, X, Y, parameters)
        finite = finite and np.isfinite(module.loss(after, X, Y))
        many = np.repeat(X, 90, 0), np.repeat(Y, 90, 0)
        statuses = [
            module.train(X, Y, parameters, **arguments).status,
            module.train(X, Y, parameters, optimizer="momentum", **arguments).status,
            module.train(*many, parameters, **arguments).status,
            module.train_many(X, Y, [parameters], **arguments).status[0],
            module.train_many(*many, [parameters] * 2, **arguments).status[1],
            *([by_blas.train(*many, parameters, **arguments).status] if by_blas else []),
        ]
        assert set(statuses) == {"completed" if finite else "diverged"}, (X, parameters)


def test_optimizers():
    """Whatever the update rule is, a gradient that is not finite ends trainings in the same way on every path."""
    formula = sympy.tanh(a * x**8) + b
    module = nn.build(nn.Model("rules", [x], [y], {a: 0.5, b: 0.5}, formula, (formula - y) ** 2), fit=False)
    cases = [case for case in draws(module, 60) if np.isfinite(module.loss(case[2], *case[:2]))]
    assert sum(np.isnan(module.loss_and_gradient(p, X, Y)[1]).any() for X, Y, p in cases) > 3
    for optimizer in module.optimizers:
        for X, Y, parameters in cases:
            few, arguments = (np.repeat(X, 3, 0), np.repeat(Y, 3, 0)), {"epochs": 2, "optimizer": optimizer}
            statuses = [
                module.train(X, Y, parameters, **arguments).status,
                module.train(X, Y, parameters, sample_weight=[2.0], **arguments).status,
                module.train(*few, parameters, **arguments).status,
                module.train_many(X, Y, [parameters], **arguments).status[0],
                module.train_many(*few, [parameters] * 3, **arguments).status[1],
            ]
            assert len(set(statuses)) == 1, (optimizer, X, parameters, statuses)


def test_many_one_by_one():
    """Models that are trained one by one have diverged by the same rule, with a history and without one."""
    module = nn.build(nn.Sequential([nn.Dense(1, use_bias=False)], 600, name="apart"), fit=False)
    parameters, X = np.zeros((2, 600)), np.zeros((1, 600))
    X[0, 0], parameters[0, 0], parameters[1, 0] = 1, 1e160, 1e100
    arguments = {"learning_rate": 0.5, "epochs": 1}
    assert module.train_many(X, [0.0], parameters, **arguments).status.tolist() == ["diverged", "completed"]
    result = module.train_many(X, [0.0], parameters, history=False, **arguments)
    assert result.status.tolist() == ["completed"] * 2
    assert not result.loss.any()
