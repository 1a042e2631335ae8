"""Fits that are watched: a callback, a time limit, a bar; and what a fit says that did not come to its end."""

import gc
import time

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.building import parts
from nncodegen.runtime.python.ground.clock import Clock, clock

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("ignore:for a test. NumPy evaluates the model:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:the fit of (decay|layers) did not converge:RuntimeWarning"),
]

a, b, c, x, y = sympy.symbols("a b c x y")
DECAY = nn.Model("decay", x, y, {a: 1.0, b: 1.0, c: 1.0}, a * sympy.exp(-b * x) + c)
X = np.linspace(0, 4, 30)
Y = 2.5 * np.exp(-1.3 * X) + 0.5 + 0.05 * np.random.default_rng(1).normal(size=30)


@pytest.fixture(scope="module")
def decay(quick_compiler):
    return nn.build(DECAY)


@pytest.fixture(scope="module")
def layers(quick_compiler):
    """A network whose fit takes some milliseconds for each iteration."""
    return nn.build(nn.Sequential([nn.Dense(12, "tanh"), nn.Dense(1)], 2, "mse", name="layers"), fit=True)


def test_callback(decay):
    """The callback is called after each iteration, with the best parameters and their cost, and changes no bit."""
    seen = []
    fitted = decay.fit(X, Y, callback=seen.append)
    np.testing.assert_array_equal(fitted.parameters, decay.fit(X, Y).parameters)
    assert [progress.iterations for progress in seen] == list(range(1, fitted.iterations + 1))
    for progress in seen:
        residuals = decay.predict(progress.parameters, X[:, None])[:, 0] - Y
        assert progress.cost == pytest.approx(residuals @ residuals / 2, rel=1e-12)
    costs = [progress.cost for progress in seen]
    assert costs == sorted(costs, reverse=True)
    assert 0 < seen[0].seconds <= seen[-1].seconds


def test_a_callback_ends_the_fit(decay):
    """A fit that its callback ends has the best parameters until then, and does not warn."""
    seen = []

    def ends(progress):
        seen.append(progress)
        return progress.iterations == 3

    fitted = decay.fit(X, Y, callback=ends)
    assert (fitted.status, fitted.iterations, fitted.converged) == ("stopped", 3, False)
    assert fitted.message == "the callback ended the fit"
    np.testing.assert_array_equal(fitted.parameters, seen[-1].parameters)
    assert fitted.cost == seen[-1].cost
    assert np.isfinite(fitted.covariance).all()


def test_an_error_of_a_callback(decay):
    """An error of the callback ends the fit, and is what is raised, also after the last iteration."""
    last = decay.fit(X, Y).iterations
    for when in (1, last):

        def fails(progress, when=when):
            if progress.iterations == when:
                raise ZeroDivisionError("of the callback")

        with pytest.raises(ZeroDivisionError, match="of the callback"):
            decay.fit(X, Y, callback=fails)


def test_training(decay):
    """train(optimizer="lm") is fit: the same bits, callback and status."""
    seen = []
    trained = decay.train(X, Y, optimizer="lm", callback=lambda p: seen.append((p.iterations, p.cost)))
    alike = decay.fit(X, Y)
    np.testing.assert_array_equal(trained.parameters, alike.parameters)
    np.testing.assert_array_equal(trained.covariance, alike.covariance)
    assert [iterations for iterations, _ in seen] == list(range(1, trained.iterations + 1))
    np.testing.assert_allclose([cost / trained.cost * trained.loss for _, cost in seen], trained.history, rtol=1e-9)
    ended = decay.train(X, Y, optimizer="lm", callback=lambda progress: progress.iterations == 2)
    assert (ended.status, ended.success, ended.iterations) == ("stopped", False, 2)


def test_memory_is_free_at_once(decay):
    """Nothing that watches a fit or a training is left to the garbage collector, with the memory that it holds."""
    watched = {"callback": lambda progress: None, "time_limit": 1000.0}
    calls = [
        lambda: decay.fit(X, Y, **watched),
        lambda: decay.fit_many(X, Y[None], time_limit=1000.0),
        lambda: decay.train(X, Y, optimizer="lm", epochs=5, **watched),
        lambda: decay.train(X, Y, epochs=2, l2=0.1),
        lambda: decay.train(X, Y, epochs=2, **watched),
    ]
    for call in calls:
        call()
        gc.freeze()  # what there was before is not looked through, which takes seconds after many other tests
        call()
        assert gc.collect() == 0


def slow_data():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(20_000, 2))
    return inputs, np.sin(3 * inputs[:, :1]) * inputs[:, 1:] + generator.normal(size=(20_000, 1))


def test_time_limit(layers):
    """A fit ends after its time, with the best parameters so far; so do a training and one from many starts."""
    inputs, targets = slow_data()
    begun = time.perf_counter()
    fitted = layers.fit(inputs, targets, tolerance=0.0, time_limit=0.1)
    assert time.perf_counter() - begun < 30
    assert fitted.status == "time_limit"
    assert fitted.message.startswith("the time limit was reached; ")
    assert layers.loss(fitted.parameters, inputs, targets) <= layers.loss(fitted.p0, inputs, targets)
    at_once = layers.fit(inputs, targets, sigma=1.0, absolute_sigma=True, time_limit=1e-9)
    assert at_once.status == "time_limit"
    if not at_once.iterations and np.isnan(at_once.cost):  # within its first evaluation, which tells nothing
        np.testing.assert_array_equal(at_once.parameters, at_once.p0)
        assert np.isinf(at_once.standard_errors).all()
    trained = layers.train(inputs, targets, optimizer="lm", epochs=10_000, tolerance=1e-300, time_limit=0.1)
    assert trained.status == "time_limit"
    count = layers.parameter_count
    many = layers.fit(inputs, targets, bounds=(-3, 3), n_starts=2**12, time_limit=0.1)
    assert many.status == "time_limit"
    assert many.parameters.shape == (count,)
    assert np.isfinite(many.cost)


@pytest.mark.parametrize("threads", [1, 2])
def test_time_limit_of_many(decay, layers, threads):
    """Fits that have not ended when the time is over keep their starts, and say so; the others are as ever."""
    inputs, targets = slow_data()
    sets = np.repeat(targets[None, :, 0], 40, axis=0)
    start = layers.initial_parameters(1)
    with pytest.warns(RuntimeWarning, match="time_limit"):
        fits = layers.fit_many(inputs, sets, start, covariance=True, time_limit=0.05, threads=threads)
    left = fits.status == "time_limit"
    assert left.any()
    np.testing.assert_array_equal(fits.parameters[left], np.tile(start, (left.sum(), 1)))
    assert np.isnan(fits.chi2[left]).all()
    assert np.isinf(fits.standard_errors[left]).all()
    done = decay.fit_many(X, np.stack([Y, Y + 1]), time_limit=1000.0, threads=threads)
    assert done.counts == {"converged": 2}  # where there is time enough, nothing is left


DOORS = {
    "fit": lambda module, **limit: module.fit(X, Y, **limit).status,
    "with errors in x": lambda module, **limit: module.fit(X, Y, sigma=0.05, sigma_x=0.001, **limit).status,
    "without a start": lambda module, **limit: module.fit(X, Y, p0="auto", **limit).status,
    "a training": lambda module, **limit: module.train(X, Y, optimizer="lm", epochs=100, **limit).status,
    "groups": lambda module, **limit: module.fit(X, Y, groups=np.arange(len(X)) % 2, own=["a"], **limit).status,
    "many": lambda module, **limit: module.fit_many(X, Y[None], **limit).status[0],
}


@pytest.mark.parametrize("door", DOORS)
def test_time_limits_do_not_count_compilation(door, monkeypatch):
    """The time in which a part of a module is compiled is none of the fit: here, a clock shows an hour for each."""
    seconds, compiled = [0.0], parts.compile_part

    def slowly(*arguments):
        seconds[0] += 3600
        return compiled(*arguments)

    monkeypatch.setattr(parts, "compile_part", slowly)
    monkeypatch.setattr(clock, "_timer", lambda: seconds[0])
    module = nn.build(nn.Model(f"hurried_{[*DOORS].index(door)}", x, y, DECAY.parameters, DECAY.outputs[0]))
    assert DOORS[door](module, time_limit=60.0) == "converged"
    assert seconds[0] >= 3600


def test_a_clock_that_stands_still():
    """While something is compiled, a clock stands still, also where two threads compile; before and after, it runs."""
    seconds = [5.0]
    timer = Clock(lambda: seconds[0])
    assert timer.now() == 5
    with timer.standing():
        seconds[0] += 10
        with timer.standing():
            seconds[0] += 20
        assert timer.now() == 5
    seconds[0] += 2
    assert timer.now() == 7


def test_a_bar(decay, capsys):
    """The progress of a fit, of a training and of many fits is told on the standard error."""
    decay.fit(X, Y, progress=True)
    assert "iteration" in capsys.readouterr().err
    decay.train(X, Y, optimizer="lm", epochs=20, progress=True)
    assert "/20" in capsys.readouterr().err
    decay.fit_many(X, np.stack([Y, Y + 1]), progress=True)
    assert "fit 2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time_limit": 0}, "time_limit must be a number above 0"),
        ({"progress": 1}, "progress must be True or False"),
        ({"callback": 3}, "callback must be a function of one argument"),
    ],
)
def test_what_cannot_be_meant(decay, arguments, message):
    """The arguments are checked as those of train."""
    with pytest.raises(ValueError, match=message):
        decay.fit(X, Y, **arguments)
    if "callback" not in arguments:
        with pytest.raises(ValueError, match=message):
            decay.fit_many(X, Y[None], **arguments)


# --- what to do ----------------------------------------------------------------------------------------------------


def test_advice_where_the_cost_still_falls(decay):
    """Where the cost still falls, more iterations are advised, and the message says how much it fell."""
    fitted = decay.fit(X, Y, max_iterations=3)
    assert fitted.status == "max_iterations"
    assert "over the last 2 iterations the cost fell by" in fitted.message
    assert fitted.message.endswith("so it still falls: raise max_iterations")


def nearly_stopped(result):
    """The same result as if its iterations had been used up while its cost hardly fell."""
    result._ending, result._costs = "max_iterations", np.array([1.0, 1 - 2e-6])
    assert "so more of them gain little: " in result.message
    return result.message


def test_advice_where_parameters_are_alike(decay):
    """Where the data hardly tell parameters from each other, the message says so, and what to do about it."""
    fitted = decay.fit(X / 1e3, Y, max_iterations=0)
    assert fitted.condition > 1e5
    assert "the data hardly tell some parameters from each other (condition number" in nearly_stopped(fitted)


def test_advice_where_parameters_are_not_determined(decay):
    """Where some change of parameters changes no output, the message names these."""
    fitted = decay.fit(X, Y, {"b": 0}, fixed={"b": 0.0})
    assert "the data do not determine a, c: some change of them changes no output here" in nearly_stopped(fitted)


def test_advice_where_there_are_too_few_data(layers):
    """More parameters than data are named as such."""
    generator = np.random.default_rng(0)
    fitted = layers.fit(generator.normal(size=(9, 2)), generator.normal(size=9), max_iterations=3)
    assert "49 free parameters are more than the 9 values can tell" in nearly_stopped(fitted)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([8.0, 4.0, 2.0], "over the last 2 iterations the cost fell by 75 %, so it still falls: raise max_iterations"),
        ([8.0, 7.0], "in the last iteration the cost fell by 12 %, so it still falls: raise max_iterations"),
        (
            [1.0, 1 - 2e-6, 1 - 4e-6],
            "over the last 2 iterations the cost fell by 0.0004 % alone, so more of them gain "
            "little: accept this one, which tolerance=1e-05 would have ended",
        ),
        ([1.0, 1.0], "in the last iteration the cost did not fall, so more of them gain little: begin elsewhere"),
        ([1.0], "raise max_iterations"),
        (None, "raise max_iterations"),
    ],
)
def test_advice(decay, costs, expected):
    """The advice follows from the costs after the last iterations."""
    fitted = decay.fit(X, Y)
    fitted._ending, fitted._costs = "max_iterations", None if costs is None else np.array(costs)
    assert fitted.message.startswith(f"the iterations that were allowed are used up; {expected}")
