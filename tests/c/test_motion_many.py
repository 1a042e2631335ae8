"""Many models of equations of motion trained side by side: each as ``train`` trains it alone, in every lane."""

import warnings

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.certificates.scheduled import carried_out
from nncodegen.compiler.building.build import load
from tests.support import dosing
from tests.support.built import built, stage
from tests.support.motion import VALUES, lotka_volterra_model
from tests.support.solutions import EXAMPLES

pytestmark = pytest.mark.usefixtures("quick_compiler")

PREY = EXAMPLES["prey"]
COUNT = 19
"""A number of models that fills no vectors."""

TRUTH = np.array([*VALUES.values()])
TIMES = np.linspace(0, 8, 9)

GARCH = nn.Dynamics(
    "s = omega + alpha*before(r)**2 + beta*before(s)",
    {"s": 1, "r": 1},
    {"omega": 0.2, "alpha": 0.1, "beta": 0.7},
    columns="r",
    observed={"log_variance": "log(s)"},
    times=12,
    name="garch_models",
)

MODELS = {
    "chosen": PREY.model(9, max_steps=1000, name="prey_models"),
    "stiff": PREY.model(9, method="rodas5p", max_steps=1000, name="prey_models_stiff"),
    "both": PREY.model(9, method="auto", name="prey_models_auto"),
    "rk4": lotka_volterra_model("rk4", 8, 9, "prey_models_rk4"),
    "tsit5": lotka_volterra_model("tsit5", 3, 9, "prey_models_steps"),
}
LONG = pytest.mark.thorough
"""The mark of "auto", whose kernels hold both methods and take long to compile, and of what is much like others."""


def data(module, trajectories=1, count=COUNT, seed=0):
    """Times of its own for each model, outputs with errors of 1 % for parameters up to 4 % off, and starts."""
    rng = np.random.default_rng(seed)
    X = (TIMES * rng.uniform(0.7, 1.05, (count, trajectories, 1))).astype(module.dtype)
    truth = TRUTH * (1 + 0.04 * rng.uniform(-1, 1, (count, 6)))
    Y = np.array([module.predict(p, rows) for p, rows in zip(truth, X, strict=True)])
    Y *= 1 + 0.01 * rng.normal(size=Y.shape)
    return X, Y.astype(module.dtype), TRUTH * (1 + 0.02 * rng.uniform(-1, 1, truth.shape))


def check(module, many, X, Y, starts, **options):
    """Models are those of single trainings, to rounding, with their losses and endings."""
    bound = 1e-9 if module.dtype == np.float64 else 1e-3
    rates = np.broadcast_to(options.pop("learning_rate", 0.01), len(starts))
    seeds = np.broadcast_to(options.pop("seed", 0), len(starts))
    for m, start in enumerate(starts):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "training diverged", RuntimeWarning)
            trained = module.train(X[m], Y[m], start, learning_rate=rates[m], seed=int(seeds[m]), **options)
        assert many.status[m] == trained.status
        assert many.epochs[m] == trained.epochs
        np.testing.assert_allclose(many.parameters[m], trained.parameters, rtol=bound, atol=bound)
        np.testing.assert_allclose(many.history[: trained.epochs, m], trained.history, rtol=bound, atol=bound)
        np.testing.assert_allclose(many.loss[m], trained.loss, rtol=bound, atol=bound)


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        *(pytest.param(kind, "float64", marks=LONG if kind in ("both", "tsit5") else ()) for kind in MODELS),
        pytest.param("rk4", "float32", marks=LONG),
        ("chosen", "float32"),
    ],
)
def test_each_model_is_that_of_train(kind, precision):
    """With data, a rate and a penalty of its own, by Adam; and with batches of one trajectory in own orders."""
    module = built(MODELS[kind], precision, fit=False)
    assert module._model.facts.side_by_side
    X, Y, starts = data(module)
    rates = np.random.default_rng(1).uniform(1e-3, 1e-2, COUNT)
    options = {"optimizer": "adam", "epochs": 12}
    many = module.train_many(X, Y, starts, learning_rate=rates, **options)
    check(module, many, X, Y, starts.astype(module.dtype), learning_rate=rates, **options)
    assert (many.loss < many.history[0]).sum() > COUNT // 2
    X, Y, starts = data(module, 3, 4)
    options = {"optimizer": "adam", "epochs": 5, "batch_size": 1, "l2": 0.1, "seed": [3, 4, 5, 6]}
    many = module.train_many(X, Y, starts, learning_rate=1e-3, **options)
    check(module, many, X, Y, starts.astype(module.dtype), learning_rate=1e-3, **options)


@pytest.mark.parametrize("kind", ["chosen", "rk4"])
def test_gradients_are_those_of_numpy(kind):
    """An update by the gradient of two trajectories is that of the program, evaluated with NumPy."""
    module, program = built(MODELS[kind], fit=False), stage(MODELS[kind], "differentiate", fit=False)
    X, Y, starts = data(module, 2, 9)
    after = module.train_many(X, Y, starts, learning_rate=1e-6, epochs=1).parameters
    for m in (0, 8):
        values = nn.evaluate(program, starts[m], X[m], Y[m])
        gradient = np.array([float(values[element.tensor]) for element in program.gradient])
        np.testing.assert_allclose((starts[m] - after[m]) / 1e-6, gradient, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    "options",
    [{"method": "tsit5"}, pytest.param({"method": "auto"}, marks=LONG), {"method": "tsit5", "steps": 3}],
    ids=str,
)
def test_models_with_jumps_and_columns(options):
    """Each model has two trajectories with times, doses and infusions of their own, in one batch."""
    module = built(dosing.dosing(name="dosing_models", **options), fit=False)
    assert module._model.facts.side_by_side
    rng = np.random.default_rng(8)
    X = np.array([dosing.samples(2, rng) for _ in range(11)])
    truth = dosing.START * (1 + 0.04 * rng.uniform(-1, 1, (11, 4)))
    Y = np.array([module.predict(p, rows) for p, rows in zip(truth, X, strict=True)])
    starts = np.tile(dosing.START, (11, 1))
    arguments = {"optimizer": "adam", "epochs": 6, "learning_rate": 0.01}
    check(module, module.train_many(X, Y, starts, **arguments), X, Y, starts, **arguments)


def test_equations_from_time_to_time():
    """GARCH, whose parameters are the factors of sums over all times: those of single trainings, in two precisions."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(COUNT, 2, 12))
    for precision in ("float64", "float32"):
        module = built(GARCH, precision, fit=False)
        starts = (np.array([0.2, 0.1, 0.7]) * rng.uniform(0.9, 1.1, (COUNT, 3))).astype(precision)
        options = {"optimizer": "adam", "epochs": 20, "learning_rate": 1e-3}
        rows = X.astype(precision)
        check(
            module,
            module.train_many(rows, np.log(rows**2), starts, **options),
            rows,
            np.log(rows**2),
            starts,
            **options,
        )


def test_networks_in_equations():
    """With a number of steps, the networks of many pendulums are those of single trainings, from seeds of their own."""
    network = nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(1)], inputs=1)
    model = nn.Dynamics(
        "angle'' = force(angle)",
        {"angle": "released", "angle'": 0},
        inputs="released",
        networks={"force": network},
        times=6,
        steps=2,
        method="rk4",
        name="pendulum_models",
    )
    module, rng = built(model, fit=False), np.random.default_rng(6)
    assert module._model.facts.side_by_side
    X = np.array([np.column_stack([np.tile(np.linspace(0, 2, 6), (2, 1)), rng.uniform(-2, 2, 2)]) for _ in range(11)])
    Y = X[:, :, -1:] * np.cos(X[:, :, :6])
    starts = np.array([module.initial_parameters(seed) for seed in range(11)])
    options = {"optimizer": "adam", "epochs": 8, "learning_rate": 0.01}
    check(module, module.train_many(X, Y, starts, **options), X, Y, starts, **options)


@pytest.mark.parametrize("kind", ["chosen", pytest.param("both", marks=LONG), "rk4"])
def test_bits_do_not_depend_on_other_models(kind):
    """Alone, in another order and lane, among other models, and on two threads, a model has the same bits."""
    module = built(MODELS[kind], fit=False)
    X, Y, starts = data(module)
    options = {"optimizer": "adam", "epochs": 6, "learning_rate": 0.01}
    many = module.train_many(X, Y, starts, **options)
    order = np.random.default_rng(3).permutation(COUNT)
    again = module.train_many(X[order], Y[order], starts[order], threads=2, **options)
    assert np.array_equal(again.parameters, many.parameters[order])
    assert np.array_equal(again.history, many.history[:, order])
    for m in (0, 9, COUNT - 1):
        alone = module.train_many(X[m : m + 1], Y[m : m + 1], starts[m : m + 1], **options)
        assert np.array_equal(alone.parameters[0], many.parameters[m])
        assert alone.loss[0] == many.loss[m]


@pytest.mark.parametrize(
    ("kind", "history"), [("chosen", True), ("chosen", False), ("stiff", True), ("rk4", True), ("rk4", False)]
)
def test_a_model_that_fails_leaves_the_others_alone(kind, history):
    """Two begin where solutions blow up, one gets there by its rate: the others have the bits that they had."""
    module = built(MODELS[kind], fit=False)
    X, Y, starts = data(module)
    rates = np.full(COUNT, 1e-3)
    options = {"optimizer": "adam", "epochs": 8, "history": history}
    before = module.train_many(X, Y, starts, learning_rate=rates, **options)
    starts[2] = starts[18] = TRUTH * [1, -1000, 1, 1, 1, 1]
    rates[11] = 1e9
    with pytest.warns(RuntimeWarning, match="training diverged for 3 of 19 models"):
        many = module.train_many(X, Y, starts, learning_rate=rates, **options)
    failed = [2, 11, 18]
    assert [m for m, status in enumerate(many.status) if status == "diverged"] == failed
    others = np.delete(np.arange(COUNT), failed)
    assert np.array_equal(many.parameters[others], before.parameters[others])
    assert np.array_equal(many.loss[others], before.loss[others])
    assert np.array_equal(many.parameters[[2, 18]], starts[[2, 18]])
    assert np.isfinite(many.parameters).all()
    for m in failed:
        with pytest.warns(RuntimeWarning, match="training diverged"):
            trained = module.train(X[m], Y[m], starts[m], learning_rate=rates[m], **options)
        assert (many.status[m], many.epochs[m]) == (trained.status, trained.epochs)
        np.testing.assert_allclose(many.parameters[m], trained.parameters, rtol=1e-9)


def test_models_that_converge_keep_their_parameters():
    """Those that are done first keep parameters and losses, while the others of their vector go on."""
    module = built(MODELS["chosen"], fit=False)
    X, Y, starts = data(module)
    rates = np.where(np.arange(COUNT) % 3, 1e-6, 1e-14)
    options = {"epochs": 10, "tolerance": 1e-9}
    many = module.train_many(X, Y, starts, learning_rate=rates, **options)
    assert [*many.epochs] == [10 if m % 3 else 1 for m in range(COUNT)]
    assert {*many.status[::3]} == {"converged"}
    check(module, many, X, Y, starts, learning_rate=rates, **options)
    for m in range(COUNT):
        assert many.loss[m] == pytest.approx(module.loss(many.parameters[m], X[m], Y[m]), rel=1e-12)


def test_samples_that_fill_the_lanes_are_trained_one_by_one():
    """From twice as many trajectories as lanes in a batch, each model has the bits of train."""
    module = built(MODELS["chosen"], fit=False)
    lanes = module._model.facts.steps.lanes
    assert lanes == 8
    X, Y, starts = data(module, 2 * lanes, 2)
    options = {"epochs": 2, "learning_rate": 1e-4, "optimizer": "adam"}
    many = module.train_many(X, Y, starts, **options)
    for m in range(2):
        trained = module.train(X[m], Y[m], starts[m], **options)
        assert np.array_equal(many.parameters[m], trained.parameters)


def test_the_loops_compute_the_program():
    """Carried out with NumPy, every statement of a group has the values of the program."""
    rng = np.random.default_rng(5)
    doses = dosing.dosing(name="dosing_carried", steps=2, times=4)
    for model, parameters, X in (
        (lotka_volterra_model("rk4", 2, 4, "prey_carried"), TRUTH, TIMES[:4] * rng.uniform(0.5, 1, (16, 1))),
        (doses, dosing.START, dosing.samples(16, rng, 4)),
        (GARCH, np.array([0.2, 0.1, 0.7]), rng.normal(size=(16, 12))),
    ):
        scheduled = stage(model, "schedule", fit=False)
        assert "models side by side, over time" in scheduled.show()
        Y = rng.normal(size=(16, sum(target.size for target in scheduled.program.targets)))
        assert carried_out(scheduled, parameters, X, Y) is None


def test_a_whole_module_has_the_same_bits():
    """Whether the part of many models is linked or loaded."""
    module = built(MODELS["chosen"], fit=False)
    whole = load(nn.compile_model(MODELS["chosen"], fit=False).built)
    X, Y, starts = data(module)
    options = {"epochs": 3, "learning_rate": 1e-3, "optimizer": "adam"}
    loaded, linked = (each.train_many(X, Y, starts, **options) for each in (module, whole))
    assert np.array_equal(loaded.parameters, linked.parameters)


def test_others_are_trained_one_by_one(monkeypatch):
    """Networks in the equations, and recurrences whose values take more memory than a group may have."""
    network = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], inputs=1)
    model = nn.Dynamics("u' = f(u)", {"u": 1}, networks={"f": network}, times=4, name="learnt_models")
    assert not stage(model, "schedule", fit=False).many
    monkeypatch.setattr("nncodegen.compiler.schedule.side_by_side.BYTES", 1000)
    long = lotka_volterra_model("rk4", 8, 9, "prey_models_long")
    assert not stage(long, "schedule", fit=False).many


def test_many_without_a_solution_are_told_what_to_look_at():
    """The warning names the solver and the outcomes, as that of one training does: no learning rate helps here."""
    module = built(nn.Dynamics("u' = k*u**2", {"u": 1}, {"k": 1}, times=3, name="growing_many"))
    with pytest.warns(RuntimeWarning, match=r"finite at the start; .* \(tsit5, .*look at the model's outcomes"):
        module.train_many([[0, 0.5, 1.5]], [[1, 2, 3]], models=2, epochs=2)
