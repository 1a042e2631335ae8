"""The programs of the rows of a fit: values and derivatives of each sample, against numerical differences."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen import Dense, Model, Sequential, evaluate
from nncodegen.compiler.passes import findings
from nncodegen.compiler.passes.fitting import MOST, fit_of
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.errors import ModelError

x, y, z, a, b = sympy.symbols("x y z a b")
DECAY = a * sympy.exp(-b * x)
WAVE = sympy.sin(a * x) / x


def two_outputs(losses, second=2):
    """A network with outputs of different sizes, which depend on different parameters."""
    inputs = nn.Input(2)
    return nn.Network(inputs, [Dense(3)(inputs), Dense(second)(inputs)], losses, name="m")


def permuted(loss):
    """A network whose output has the values of a layer in another order."""
    inputs = nn.Input((3, 2))
    return nn.Network(inputs, {"turned": nn.Permute((2, 1))(Dense(2, "tanh")(inputs))}, loss, name="m")


FORMULAS = {
    "decay": Model("m", x, y, {a: 1.3, b: 0.4}, DECAY),
    "two": Model("m", x, (y, z), {a: 1.3, b: 0.4}, (DECAY, a * b * WAVE)),
    "layers": Sequential([Dense(3, "tanh"), Dense(2)], inputs=2, name="m"),
    "softmax": Sequential([Dense(3, "tanh"), Dense(3, "softmax")], inputs=2, name="m"),
    "permuted": permuted("mse"),
}
CURVED = {
    "logistic": Model(
        "m",
        x,
        y,
        {a: 1.3, b: 0.4},
        1 / (1 + sympy.exp(-a * x - b)),
        -y * sympy.log(1 / (1 + sympy.exp(-a * x - b))) - (1 - y) * sympy.log(1 - 1 / (1 + sympy.exp(-a * x - b))),
    ),
    "poisson_of_logarithm": Model(
        "m", x, y, {a: 1.3, b: 0.4}, sympy.exp(a + b * x), sympy.exp(a + b * x) - y * (a + b * x)
    ),
    "poisson": Model("m", x, y, {a: 1.3, b: 0.4}, DECAY, DECAY - y * sympy.log(DECAY)),
    "huber": Sequential([Dense(3, "tanh"), Dense(2, "sigmoid")], inputs=2, loss="huber", name="m"),
    "log_cosh": Sequential([Dense(2)], inputs=2, loss="log_cosh", name="m"),
    "classes": Sequential([Dense(3, "tanh"), Dense(3, "softmax")], inputs=2, loss="categorical_crossentropy", name="m"),
    "outputs": two_outputs(["huber", "log_cosh"]),
    "logits": Sequential([Dense(3)], inputs=2, loss="categorical_crossentropy_from_logits", name="m"),
    "steps": Sequential([Dense(3, "softmax")], inputs=(4, 2), loss="categorical_crossentropy", name="m"),
    "alike": two_outputs(["categorical_crossentropy_from_logits"] * 2, 3),
}

BLOCKS = {
    "huber": (1, CURVED["huber"]),
    "outputs": (1, CURVED["outputs"]),
    "logits": (3, CURVED["logits"]),
    "steps": (3, CURVED["steps"]),
    "alike": (3, CURVED["alike"]),
    "of_several_sizes": (5, two_outputs(["categorical_crossentropy_from_logits"] * 2)),
    "coupled": (2, Model("m", x, y, {a: 1.3, b: 0.4}, (a * x, b * x), (y - a * x) ** 2 * sympy.exp(-b * x) + b * x)),
}
"""Models, and the number of outputs in each block of second derivatives."""


LINEAR = ("logistic", "poisson_of_logarithm", "logits")
"""Models whose u is linear in the parameters: then Gauss-Newton's matrix is the Hessian."""

SAMPLES = 4


def stable(model):
    return stabilize(model.describe())


def derived(model):
    """The companion for the fit of a model."""
    companion = fit_of(stable(model))
    assert not isinstance(companion, str), companion
    return companion


def data(program):
    """Parameters, X and Y that any of the models takes."""
    rng = np.random.default_rng(0)
    sizes = (
        sum(tensor.size for tensor in tensors) for tensors in (program.parameters, program.inputs, program.targets)
    )
    count, inputs, targets = sizes
    X, Y = rng.uniform(0.2, 1, (SAMPLES, inputs)), rng.uniform(0.2, 0.8, (SAMPLES, targets))
    return rng.uniform(0.3, 1, count), X, Y


def rows(companion, parameters, X, Y=None, seed=None):
    """The rows for all samples, (N, columns), with a seed for each output."""
    program, more = companion.program, [] if Y is None else [Y]
    if companion.outputs > 1:
        more.append(np.tile(seed, (SAMPLES, 1)))
    if companion.apart:  # all targets are known
        more.append(np.ones((SAMPLES, companion.apart)))
    targets = np.concatenate(more, axis=1) if more else None
    values = evaluate(program, parameters, X, targets)
    columns = []
    for element in program.outputs:
        value = values[element.tensor]
        whole = np.broadcast_to(value, (SAMPLES, *np.shape(value))) if "n" not in element.indices else value
        columns.append(np.reshape(whole, (SAMPLES, -1)))
    return np.concatenate(columns, axis=1)


def units(count):
    """The seeds that ask for one output each."""
    return np.eye(count)


def differences(function, parameters, step=1e-6):
    """Central differences of a function of parameters, with the parameters last."""
    moved = [step * unit for unit in np.eye(len(parameters))]
    return np.stack([(function(parameters + d) - function(parameters - d)) / (2 * step) for d in moved], axis=-1)


def outputs_of(program, X, Y):
    """The outputs (samples, columns) as a function of parameters."""

    def outputs(point):
        values = evaluate(program, point, X, Y)
        return np.concatenate([values[e.tensor].reshape(SAMPLES, -1) for e in program.outputs], axis=1)

    return outputs


@pytest.mark.parametrize("name", FORMULAS)
def test_rows_of_least_squares(name):
    """A row holds the outputs, then the derivatives of the one whose seed is 1."""
    program, companion = stable(FORMULAS[name]), derived(FORMULAS[name])
    parameters, X, Y = data(program)
    outputs = outputs_of(program, X, Y)
    expected, count = differences(outputs, parameters), companion.outputs
    for k, seed in enumerate(units(count)):
        row = rows(companion, parameters, X, seed=seed)
        assert row[:, :count] == pytest.approx(outputs(parameters), rel=1e-13)
        assert row[:, count:] == pytest.approx(expected[:, k], rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("name", CURVED)
def test_rows_of_other_losses(name):
    """A row holds the loss; its derivatives by u times those of u by the parameters are the gradient."""
    program, companion = stable(CURVED[name]), derived(CURVED[name])
    parameters, X, Y = data(program)
    count = companion.outputs
    assert companion.curved

    def loss(point):
        return evaluate(program, point, X, Y)[program.loss.tensor]

    rows_of_seeds = [rows(companion, parameters, X, Y, seed) for seed in units(count)]
    gradient = sum(row[:, 1 + k, None] * row[:, 1 + 2 * count :] for k, row in enumerate(rows_of_seeds)).mean(axis=0)
    assert rows_of_seeds[0][:, 0].mean() == pytest.approx(loss(parameters), rel=1e-13)
    assert gradient == pytest.approx(differences(loss, parameters), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("model", [permuted("huber"), two_outputs(["log_cosh", "huber"])], ids=["permuted", "two"])
def test_rows_of_outputs(model):
    """Where u are the outputs, their derivatives have the order of these, also where a layer has another one."""
    program, companion = stable(model), derived(model)
    parameters, X, Y = data(program)
    expected, count = differences(outputs_of(program, X, Y), parameters), companion.outputs
    assert companion.of_outputs
    for k, seed in enumerate(units(count)):
        row = rows(companion, parameters, X, Y, seed)[:, 1 + 2 * count :]
        assert row == pytest.approx(expected[:, k], rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("name", CURVED)
def test_curvature(name):
    """The products with seeds are a symmetric matrix without negative eigenvalues, of which the Hessian is made."""
    program, companion = stable(CURVED[name]), derived(CURVED[name])
    parameters, X, Y = data(program)
    count = companion.outputs
    rows_of_seeds = np.stack([rows(companion, parameters, X, Y, seed) for seed in units(count)])
    curvature, derivatives = rows_of_seeds[..., 1 + count : 1 + 2 * count], rows_of_seeds[..., 1 + 2 * count :]
    assert curvature == pytest.approx(np.swapaxes(curvature, 0, 2), rel=1e-12, abs=1e-14)
    assert (np.linalg.eigvalsh(np.moveaxis(curvature, 1, 0)) > -1e-12).all()
    if name in LINEAR:
        matrix = np.einsum("anp,anb,bnq->pq", derivatives, curvature, derivatives) / SAMPLES

        def gradient(point):
            rows_of = [rows(companion, point, X, Y, seed) for seed in units(count)]
            return sum(row[:, 1 + k, None] * row[:, 1 + 2 * count :] for k, row in enumerate(rows_of)).mean(axis=0)

        assert matrix == pytest.approx(differences(gradient, parameters), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks(name):
    """The curvature is 0 outside of its blocks, and a seed of 1 in each of them gives a column of all."""
    expected, model = BLOCKS[name]
    companion = derived(model)
    count, size = companion.outputs, companion.block
    assert size == expected
    parameters, X, Y = data(stable(model))
    products = slice(1 + count, 1 + 2 * count)
    whole = np.stack([rows(companion, parameters, X, Y, seed)[:, products] for seed in units(count)], axis=1)
    inside = np.kron(np.eye(count // size), np.ones((size, size)))
    assert not whole[:, inside == 0].any()
    for place in range(size):
        columns = rows(companion, parameters, X, Y, np.tile(np.eye(size)[place], count // size))[:, products]
        assert columns == pytest.approx((whole * np.tile(np.eye(size)[place], count // size)).sum(axis=2), rel=1e-13)


def counts(times, observed=("log(u)",)):
    """Counts at times, of a decay, whose loss is a function of the logarithm of the rate."""
    return nn.Dynamics(
        "u' = -k*u",
        {"u": "u0"},
        {"k": 0.4, "u0": 3.0},
        times=times,
        steps=1,
        name="m",
        observed={f"h{number}": text for number, text in enumerate(observed)},
        loss=lambda h, count: sympy.exp(h) - count * h,
    )


def test_rows_of_motion():
    """With few parameters, a row has the derivatives of all outputs at all times, and each time is a block."""
    model = counts(5, ("log(u)", "sin(u)"))
    program, companion = stable(model), derived(model)
    assert (companion.outputs, companion.block, companion.forward) == (10, 1, True)
    parameters, X, Y = data(program)
    X.sort(axis=1)
    row = rows(companion, parameters, X, Y, np.ones(10))
    outputs = outputs_of(program, X, Y)
    expected = differences(outputs, parameters)
    h = outputs(parameters)
    assert row[:, 0] == pytest.approx(np.mean(np.exp(h) - Y * h, axis=1), rel=1e-12)
    assert row[:, 1:11] == pytest.approx((np.exp(h) - Y) / 10, rel=1e-12)
    assert row[:, 11:21] == pytest.approx(np.exp(h) / 10, rel=1e-12)
    assert row[:, 21:].reshape(SAMPLES, 2, 10) == pytest.approx(np.swapaxes(expected, 1, 2), rel=1e-7, abs=1e-8)


def test_what_cannot_be_fitted():
    """The reason is told: a loss of more than outputs, no targets, too many parameters."""
    more = Model("m", x, y, {a: 1.0, b: 1.0}, DECAY, (DECAY - y) ** 4 + a**2)
    assert "depends on more than the outputs and the targets" in fit_of(stable(more))
    assert "no targets" in fit_of(stable(Model("m", x, (), {a: 1.0, b: 1.0}, DECAY, DECAY**2)))
    u = sympy.Function("u")(x)
    energy = Sequential([Dense(1)], inputs=x, outputs=u, losses={"energy": nn.Mean(u.diff(x) ** 2)}, name="m")
    assert "a Mean among its losses is minimized itself" in fit_of(stable(energy))
    large = Sequential([Dense(MOST)], inputs=1, name="m")
    assert f"more than the {MOST:,} that a fit takes" in fit_of(stable(large))


def test_what_is_compiled():
    """A formula has a fit unless it is not wanted, layers where it is."""
    layers = FORMULAS["layers"]
    for model, fit, expected in (
        (layers, None, 0),
        (layers, True, 1),
        (FORMULAS["two"], None, 1),
        (FORMULAS["two"], False, 0),
    ):
        companions = nn.compile_model(model, until="differentiate", fit=fit).findings.companions.derived
        assert [each.name for each in companions].count("fitting") == expected
    with pytest.raises(ModelError, match="m cannot be fitted: it has no targets; build it without fit=True"):
        nn.compile_model(Model("m", x, (), {a: 1.0}, a * x, (a * x) ** 2), until="differentiate", fit=True)


def test_companions_are_derived_when_they_are_asked_for(monkeypatch):
    """Each companion is derived once, when it is first asked for; a build that leaves parts for later derives a fit."""
    derived = []
    for name in ("fit_of", "hessian"):
        make = getattr(findings, name)
        monkeypatch.setattr(findings, name, lambda program, name=name, make=make: derived.append(name) or make(program))
    stages = nn.compile_model(FORMULAS["two"], until="simplify", apart=True)
    assert [companion.name for companion in stages.findings.companions.derived] == ["fitting"]
    companions = findings.Companions(stages["stabilize"])
    assert derived == ["fit_of"]
    for _ in range(2):
        assert [companion.name for companion in companions.derived] == ["fitting", "hessian"]
    assert derived == ["fit_of", "fit_of", "hessian"]
