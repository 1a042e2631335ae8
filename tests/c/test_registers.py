"""Training of small models on single samples, in registers: what the loop over tiles gives, to rounding."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.ir import Element, Step, evaluate
from nncodegen.compiler.passes.latency import shorten
from nncodegen.perceptron import model as perceptron_model
from tests.support.built import built

pytestmark = pytest.mark.usefixtures("quick_compiler")

a, b, c, x, y = sympy.symbols("a b c x y")
MODELS = [
    perceptron_model,
    nn.Model("rosenbrock", parameters={a: -1.2, b: 1.0}, loss=(1 - a) ** 2 + 100 * (b - a**2) ** 2),
    nn.Model("no_inputs", (), [y], {a: 0.3}, a, (y - a) ** 2),
    nn.Model("no_targets", [x], (), {a: 0.3, b: 0.1, c: 0.2}, a, (sympy.exp(b * x) - c * sympy.tanh(a * x)) ** 2),
    nn.Model("curve", [x], [y], {a: 1, b: -0.5, c: 0.1}, f := a * sympy.exp(b * x) + c, (f - y) ** 2),
    nn.Model("idle", [x], [y], {a: 1.0, b: 2.0}, a * x, (a * x - y) ** 2),
    nn.Model(
        "long",
        [x],
        [y],
        dict.fromkeys(P := sympy.symbols("p:40"), 0.1),
        f := sum(p * sympy.cos(k * x) for k, p in enumerate(P)),
        (f - y) ** 2,
    ),
    nn.Model(
        "names",
        [x],
        [y],
        dict(
            zip(
                W := sympy.symbols("learning_rate odds_t1 total_t1 check not_finite next"),
                (0.3, -0.2, 0.5, 0.1, 0.7, -0.4),
                strict=True,
            )
        ),
        f := W[0] / (1 + sympy.exp(-W[1] * x - W[2])) + W[3] / (1 + sympy.exp(-W[4] * x)) + W[5],
        (f - y) ** 2,
    ),
    nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(4, "relu"), nn.Dense(2)], 2, name="network"),
    nn.Sequential(
        [nn.Dense(3, "gelu", use_bias=False), nn.Dense(1, "sigmoid")], 5, "binary_crossentropy", name="shares"
    ),
    nn.Sequential([nn.Dense(1)], 3, "log_cosh", name="line"),
    nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(3, "softmax")], 2, "categorical_crossentropy", name="classes"),
]


PRIMITIVES = {
    "exp_plus_1": lambda t: 1 + sympy.exp(t),
    "decay": lambda t: sympy.exp(-t),
    "odds": lambda t: sympy.exp(-t),
    "odds_plus_1": lambda t: 1 + sympy.exp(-t),
}


def data(module, samples=1):
    rng = np.random.default_rng(0)
    X = rng.uniform(0.1, 0.9, (samples, len(module.input_names))) if module.input_names else None
    Y = rng.uniform(0.1, 0.9, (samples, len(module.target_names))) if module.target_names else None
    return X, Y


def by_gradients(module, X, Y, epochs, rate, update):
    """Gradient descent on single samples in their order, with the gradients of loss_and_gradient."""
    w = module.initial_parameters().astype(float)
    history = []
    rows = range(max(len(A) for A in (X, Y) if A is not None) if X is not None or Y is not None else 1)
    for _ in range(epochs):
        losses = []
        for n in rows:
            row = [None if A is None else A[n : n + 1] for A in (X, Y)]
            for p in range(len(w)) if update == "sequential" else [slice(None)]:
                loss, gradient = module.loss_and_gradient(w, *row)
                losses += [loss] if p in (0, slice(None)) else []
                w[p] -= rate * gradient[p]
        history.append(np.mean(losses))
    return w, history


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
@pytest.mark.parametrize(
    ("model", "precision"),
    [*((model, "float64") for model in MODELS), *((model, "float32") for model in MODELS[:5:4])],
    ids=lambda value: getattr(value, "name", value),
)
def test_agrees_with_gradients(model, precision, update):
    """Parameters and losses are those of gradient descent with loss_and_gradient, on one sample and on batches of 1."""
    module = built(model, precision, fit=False)
    bound = 1e-12 if precision == "float64" else 1e-4
    for samples in (1, 5):
        X, Y = data(module, samples)
        if X is None and Y is None and samples > 1:
            continue
        result = module.train(X, Y, learning_rate=1e-3, epochs=40, batch_size=1, shuffle=False, update=update)
        expected, history = by_gradients(module, X, Y, 40, 1e-3, update)
        assert (result.status, result.epochs) == ("completed", 40)
        assert result.parameters == pytest.approx(expected, rel=bound, abs=bound)
        assert result.history == pytest.approx(history, rel=bound, abs=bound)


def test_what_is_late_comes_last():
    """What all derivatives wait for is a factor of each, unless what would be multiplied before it may overflow."""
    d, large, small, late = (Element(name) for name in ("d", "large", "small", "late"))
    weight = Element("w")
    steps = (
        Step(large, sympy.exp(weight)),
        Step(late, Element("data") - weight),
        Step(d, 2 * late),
        Step(small, weight * d),
        Step(Element("d_a"), small + late),
        Step(Element("d_b"), large * d),
    )
    results = (Element("d_a"), Element("d_b"))
    shortened = {step.target: step.expression for step in shorten(steps, results, (weight,))}
    factor = Element("d_a_per_late")
    assert shortened[results[0]] == factor * late
    assert not shortened[factor].has(late)
    assert shortened[results[1]] == large * d


def test_sums_begin_with_what_is_ready():
    """Sums of what comes from outside and another sum are one; what was computed, and numbers, keep their brackets."""
    a, b, y, h, s, t = (Element(name) for name in "abyhst")
    results = tuple(Element(f"r{number}") for number in range(4))
    steps = (
        Step(h, sympy.exp(a)),
        Step(s, b + a * h),
        Step(t, s + 1),
        Step(results[0], y - s),
        Step(results[1], s - h),
        Step(results[2], t + y),
        Step(results[3], y + 2 * s),
    )
    shortened = {step.target: step.expression for step in shorten(steps, (*results, s, t), (a, b))}
    assert shortened[results[0]] == y - b - a * h
    assert shortened[results[1]] == s - h
    assert shortened[results[2]] == t + y
    assert shortened[results[3]] == y + 2 * s


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
def test_sigmoids_far_out(update):
    """Sigmoids and their slopes are right where their exponential is huge, tiny or beyond all numbers, as is a sum."""
    f = b / (1 + sympy.exp(-a * x)) + c
    module = nn.build(nn.Model("far", [x], [y], {a: 0, b: 0, c: 0}, f, (f - y) ** 2), fit=False)
    for z in (0.0, 3.0, 36.0, 40.0, 300.0, 600.0, 640.0, 649.9, 650.1, 700.0, 720.0, 800.0, 1e5, 1e300):
        for sign in (1, -1):
            start, X, Y = np.array([sign * z, 1e10, 0.3]), [[1.0]], [2e9]
            _, gradient = module.loss_and_gradient(start, X, Y)
            result = module.train(X, Y, start, learning_rate=1e-20, epochs=1, update=update)
            if update == "simultaneous":
                assert result.parameters == pytest.approx(start - 1e-20 * gradient, rel=1e-15, abs=1e-200)
            assert np.isfinite(result.parameters).all()
            assert result.history[0] == pytest.approx(module.loss(start, X, Y), rel=1e-14)


def test_saturated():
    """Logits beyond the range of exp give what they should, in both directions."""
    module = built(perceptron_model, fit=False)
    for sign in (1, -1):
        start = np.array([0.0, 0, 0, 0, 0, sign * 4000.0, 0])
        X, Y = [[0.0, 0.0]], [0.5]
        result = module.train(X, Y, start, learning_rate=1e-3, epochs=1)
        _, gradient = module.loss_and_gradient(start, X, Y)
        assert result.parameters == pytest.approx(start - 1e-3 * gradient, rel=1e-15)
        assert result.history[0] == pytest.approx(1000.0)


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
def test_tolerance(update):
    """Training ends after the first epoch in which no parameter moved by the tolerance."""
    module = built(MODELS[2], fit=False)
    arguments = {"Y": [1.0], "learning_rate": 0.1, "update": update}
    result = module.train(tolerance=1e-6, epochs=10_000, **arguments)
    assert result.status == "converged"
    before, last = (module.train(epochs=result.epochs - k, **arguments).parameters for k in (1, 0))
    earlier = module.train(epochs=result.epochs - 2, **arguments).parameters
    assert abs(last - before).max() < 1e-6 <= abs(before - earlier).max()


@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
def test_divergence(update):
    """A loss or parameter that is not finite ends the training with the last finite parameters."""
    module = built(MODELS[1], fit=False)
    with pytest.warns(RuntimeWarning, match="training diverged"):
        result = module.train(learning_rate=1.0, epochs=1000, update=update)
    assert np.isfinite(result.parameters).all()
    assert len(result.history) == result.epochs < 1000
    assert np.isfinite(result.history).all()


def test_shuffled():
    """Batches of one sample are taken in the shuffled order: sums over an epoch are the same, bits are not."""
    module = built(MODELS[4], fit=False)
    X, Y = data(module, 20)
    still = module.train(X, Y, epochs=3, batch_size=1, learning_rate=1e-300)
    assert still.history == pytest.approx(np.full(3, module.loss(still.parameters, X, Y)), rel=1e-13)
    first, second, ordered = (
        module.train(X, Y, epochs=3, batch_size=1, learning_rate=0.1, **arguments).parameters
        for arguments in ({"seed": 1}, {"seed": 2}, {"shuffle": False})
    )
    assert len({tuple(first), tuple(second), tuple(ordered)}) == 3


def test_shorter_chains_have_the_same_values():
    """What the algebra of chains makes of a gradient evaluates to the same numbers."""
    program = nn.compile_model(perceptron_model, until="simplify")["simplify"]
    weight = Element(program.weight.name, ("n",))
    steps = tuple(Step(s.target, s.expression.xreplace({weight: sympy.S.One})) for s in program.steps)
    names = [Element(tensor.name) for tensor in program.parameters]
    shortened = shorten(steps, (program.loss, *program.gradient), tuple(names))
    assert len(shortened) < len(steps)
    values = {s: float(v) for s, v in zip(names, np.linspace(-2, 2, 7), strict=True)}
    expected = evaluate(program, list(values.values()), [[0.3, -0.7]], [[0.2]])
    known = {**values, Element("x1", ("n",)): 0.3, Element("x2", ("n",)): -0.7, Element("y", ("n",)): 0.2}
    for step in shortened:
        written = step.expression
        for name, value in PRIMITIVES.items():
            written = written.replace(lambda e, name=name: e.func.__name__ == name, lambda e, f=value: f(e.args[0]))
        known[step.target] = float(sympy.sympify(written).subs(known).evalf(17))
    for element in (program.loss, *program.gradient):
        assert known[element] == pytest.approx(float(np.ravel(expected[element.tensor])[0]), rel=1e-13)


@pytest.mark.thorough
def test_the_other_loop_goes_on_within_an_epoch():
    """An epoch that was stopped in registers and ended by the loop for all cases has the figures of one in one go."""
    module = built(perceptron_model, fit=False)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2_000_000, 2)), rng.integers(0, 2, 2_000_000)
    options = {"epochs": 1, "batch_size": 1, "shuffle": False, "learning_rate": 1e-4, "metrics": ("mae", "r2")}
    begun = module.train(X, Y, callback=lambda progress: True, callback_interval=1, **options)
    assert (begun.epochs, begun.status) == (0, "stopped")
    ended = module.train(X, Y, resume=begun, sample_weight=np.ones(2_000_000), **options)
    whole = module.train(X, Y, **options)
    for name in whole.metrics:
        assert ended.metrics[name] == pytest.approx(whole.metrics[name], rel=1e-9)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("update", ["simultaneous", "sequential"])
def test_what_is_measured_changes_nothing(update, shuffle):
    """Metrics, validation data and a monitor are measured in registers, too, and leave every bit as it is."""
    module = built(perceptron_model, fit=False)
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(30, 2)), rng.integers(0, 2, 30).astype(float)
    options = {"epochs": 5, "batch_size": 1, "shuffle": shuffle, "learning_rate": 0.1, "update": update, "seed": 3}
    plain = module.train(X, Y, **options)
    metrics = ("accuracy", "mae", "r2")
    measured = module.train(
        X, Y, metrics=metrics, validation_data=(X[:9], Y[:9]), restore_best_weights=False, monitor="val_mae", **options
    )
    assert np.array_equal(measured.parameters, plain.parameters)
    assert np.array_equal(measured.history, plain.history)
    # the other loop, which is tested against scikit-learn
    other = module.train(
        X,
        Y,
        metrics=metrics,
        validation_data=(X[:9], Y[:9]),
        restore_best_weights=False,
        monitor="val_mae",
        sample_weight=np.ones(30),
        **options,
    )
    assert measured.best_epoch == other.best_epoch == 1 + other.metrics["val_mae"].argmin()
    for name in other.metrics:
        assert measured.metrics[name] == pytest.approx(other.metrics[name], rel=1e-12)
    outputs = []
    w = module.initial_parameters()
    for x, y in zip(X, Y, strict=True):
        outputs.append(module.predict(w, [x])[0, 0])
        w = module.train([x], [y], parameters=w, learning_rate=0.1, update=update, epochs=1).parameters
    if not shuffle:
        assert measured.metrics["mae"][0] == pytest.approx(np.mean(np.abs(np.array(outputs) - Y)), rel=1e-12)
        assert measured.metrics["accuracy"][0] == pytest.approx(np.mean((np.array(outputs) > 0.5) == Y))


def test_early_stopping():
    """Patience ends a training in registers, with the parameters of the best epoch."""
    module = built(perceptron_model, fit=False)
    arguments = {"learning_rate": 0.02, "batch_size": 1, "validation_data": ([[0.35, 0.9]], [0.7])}
    full = module.train([[0.35, 0.9]], [1], epochs=99, **arguments)
    best = int(full.metrics["val_loss"].argmin()) + 1
    assert 1 < best < 50
    result = module.train([[0.35, 0.9]], [1], epochs=99, patience=7, **arguments)
    assert (result.status, result.epochs, result.best_epoch) == ("stopped_early", best + 7, best)
    expected = module.train([[0.35, 0.9]], [1], epochs=best, learning_rate=0.02, batch_size=1)
    assert np.array_equal(result.parameters, expected.parameters)
