"""What every result answers: status, success, message, predict, summary, plot, save."""

import re

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.runtime.python.ground.endings import ENDINGS, STATUSES, SUCCESSES
from nncodegen.runtime.python.results import many_fits
from nncodegen.runtime.python.results.base import Shown
from nncodegen.runtime.python.results.many import Many
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

X = np.linspace(0, 3, 20)
Y = 2 * np.exp(-0.7 * X) + 0.01 * np.cos(9 * X)

GROUPS = np.repeat(["first", "second"], 10)

CALLS = {
    "train": lambda m: m.train(X, Y, epochs=5),
    "partial_fit": lambda m: m.partial_fit(X, Y),
    "fit": lambda m: m.fit(X, Y),
    "train, lm": lambda m: m.train(X, Y, optimizer="lm"),
    "minimize": lambda m: m.minimize(X, Y),
    "train_many": lambda m: m.train_many(X, Y, models=3, epochs=5, learning_rate=[0.01, 0.05, 0.1]),
    "fit_many": lambda m: m.fit_many(X, [Y, Y + 0.1, 2 * Y], covariance=True),
    "fit, errors in x": lambda m: m.fit(X, Y, sigma=0.01, sigma_x=0.01),
    "fit, groups": lambda m: m.fit(X, Y, groups=GROUPS, own=("a",)),
    "fit, groups, errors in x": lambda m: m.fit(X, Y, groups=GROUPS, own=("a",), sigma=0.01, sigma_x=0.01),
    "fit, one group": lambda m: m.fit(X, Y, groups=GROUPS, own=("a",)).group("first"),
    "fit, one group, errors in x": lambda m: CALLS["fit, groups, errors in x"](m).group("first"),
    "fit_many, errors in x": lambda m: m.fit_many(X, [Y, Y + 0.1, 2 * Y], sigma=0.01, sigma_x=0.01, covariance=True),
}


@pytest.fixture(scope="module")
def decay():
    return nn.build(nn.Model("answering_decay", "x", "y", {"a": 1, "b": 1}, "a*exp(-b*x)"))


@pytest.fixture(params=CALLS)
def result(decay, request):
    if request.param == "minimize":
        pytest.importorskip("scipy")
    return CALLS[request.param](decay)


def test_status(result):
    """A status is a word of the one vocabulary, success follows from it, and the message is a sentence."""
    for status, success, message in zip(
        np.atleast_1d(result.status), np.atleast_1d(result.success), np.atleast_1d(result.message), strict=True
    ):
        assert status in STATUSES
        assert success == (status in SUCCESSES) == (status in ("completed", "converged"))
        assert len(message) > 10


def test_every_class_is_asked(decay):
    """The calls of these tests give every class of results that there is, and each is a public one, or a kind of it."""
    pytest.importorskip("scipy")
    kinds = {type(call(decay)) for call in CALLS.values()}
    subclasses = set(Shown.__subclasses__())
    while more := {kind for subclass in subclasses for kind in subclass.__subclasses__()} - subclasses:
        subclasses |= more
    # profiles are seen of a result, which they have, and answer other questions
    made = {kind for kind in subclasses if kind is not Many and ".profiles." not in kind.__module__}
    assert {kind.__name__ for kind in made} == {kind.__name__ for kind in kinds}
    public = tuple(getattr(nn, name) for name in ("Result", "ManyResult", "FitResult", "ManyFits"))
    assert all(issubclass(kind, public) for kind in made)


def test_predict(decay, result):
    """Predictions are those of the module with the parameters; with an axis of models, one array for each."""
    if isinstance(result, nn.GroupedFit):
        for place, label in enumerate(("first", "second")):
            expected = decay.predict(result.group_parameters[place], X[:, None])
            np.testing.assert_array_equal(result.predict(X[:, None], groups=[label] * len(X)), expected)
        return
    rows = np.atleast_2d(result.parameters)
    expected = np.stack([decay.predict(p, X[:, None]) for p in rows])
    predicted = result.predict(X[:, None])
    np.testing.assert_array_equal(predicted if result.parameters.ndim == 2 else predicted[None], expected)
    if result.parameters.ndim == 2:
        rows_of_each = np.stack([X[:, None], X[:, None] + 1, X[:, None] + 2])
        np.testing.assert_array_equal(
            result.predict(rows_of_each),
            np.stack([decay.predict(p, x) for p, x in zip(rows, rows_of_each, strict=True)]),
        )
        with pytest.raises(ValueError, match="expected a first axis of 3, or none"):
            result.predict(rows_of_each[:2])


def test_summary(result, capsys):
    """The summary prints what print does, line by line."""
    lines = []
    result.summary(lines.append)
    assert "\n".join(lines) == str(result)
    result.summary()
    assert capsys.readouterr().out == f"{result}\n"
    assert "answering_decay" in lines[0]


def test_plot(result):
    """Each draws a picture."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure = result.plot()
    assert figure.axes
    pyplot.close(figure)


def test_save(decay, result, tmp_path):
    """Each can be saved, and load gives the same class with the same content."""
    result.save(tmp_path / "kept.npz")
    again = decay.load(tmp_path / "kept.npz")
    assert type(again) is type(result)
    assert (repr(again), str(again)) == (repr(result), str(result))
    for name in ("parameters", "status", "message", "history", "loss", "covariance", "standard_errors", "epochs"):
        if hasattr(result, name):
            np.testing.assert_array_equal(getattr(again, name), getattr(result, name), err_msg=name)


@pytest.mark.parametrize("kind", ["train_many", "fit_many"])
def test_damaged_files_of_many(decay, kind, tmp_path):
    """A file whose parts do not fit together is refused."""
    CALLS[kind](decay).save(tmp_path / "kept.npz")
    arrays = dict(np.load(tmp_path / "kept.npz"))
    damages = [{"parameters": arrays["parameters"][:2]}, {"unknown": np.zeros(1)}]
    damages += [{"status": np.array(["fine"] * 3)}] if kind == "train_many" else [{"numbers": np.full(3, 99, "u1")}]
    for damage in damages:
        np.savez(tmp_path / "damaged.npz", **{**arrays, **damage})
        with pytest.raises(ValueError, match=r"damaged\.npz is damaged, or no result"):
            decay.load(tmp_path / "damaged.npz")


def test_one_group_is_saved_with_its_errors(decay, tmp_path):
    """The file of one group gives its errors, which the whole fit determines; a group that there is not is refused."""
    group = CALLS["fit, one group"](decay)
    group.save(tmp_path / "kept.npz")
    again = decay.load(tmp_path / "kept.npz")
    assert (again.error_scale, again.degrees_of_freedom) == (group.error_scale, group.degrees_of_freedom)
    np.testing.assert_array_equal(again.residuals, group.residuals)
    with np.load(tmp_path / "kept.npz") as arrays:
        np.savez(tmp_path / "damaged.npz", **{**arrays, "group": np.array(2)})
    with pytest.raises(ValueError, match="it has no group 2"):
        decay.load(tmp_path / "damaged.npz")


def test_one_of_many(decay):
    """An axis of models has results of one model: with its history until its end, and its status."""
    many = CALLS["train_many"](decay)
    assert len(many) == 3
    for m, training in enumerate(many):
        assert isinstance(training, nn.Result)
        np.testing.assert_array_equal(training.parameters, many.parameters[m])
        np.testing.assert_array_equal(training.history, many.history[:, m])
        np.testing.assert_array_equal(training.learning_rate, many.learning_rate[:, m])
        assert (training.loss, training.status, training.success) == (many.loss[m], many.status[m], many.success[m])
    assert many[-1].loss == many.loss[2]
    with pytest.raises(IndexError, match="there is no model 3"):
        many[3]
    with pytest.raises(ValueError, match=r"give parameters=result\.parameters"):
        decay.train(X, Y, resume=many[0])


def test_one_vocabulary():
    """The endings of fits, and the statuses of many fits, are words of the one vocabulary, which the table lists."""
    assert {ending.status for ending in ENDINGS.values()} <= set(STATUSES)
    assert set(many_fits.STATUS) <= set(STATUSES)
    text = (ROOT / "docs" / "reference" / "names.md").read_text().split("## How it ended")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `") and "`success`" not in line]
    listed = {word: success.strip() for words, success in rows for word in re.findall(r"`(\w+)`", words)}
    assert listed == {word: str(word in SUCCESSES) for word in STATUSES}


def test_stopped_is_the_callback(decay):
    """A search that its callback ends is stopped; one that cannot go on is stalled, with a warning."""
    pytest.importorskip("scipy")

    def stops(*arguments):
        raise StopIteration

    assert decay.minimize(X, Y, callback=stops).status == "stopped"
    trust = decay.minimize(X, Y, method="trust-constr", callback=lambda x, state: True)
    assert (trust.status, trust.success) == ("stopped", False)
    assert decay.train(X, Y, callback=lambda progress: True).status == "stopped"
    assert decay.fit(X, Y, callback=lambda progress: True).status == "stopped"
    few = decay.minimize(X, Y, options={"maxiter": 1})
    assert (few.status, few.success) == ("max_iterations", False)


def test_messages_tell_the_status(decay):
    """A message tells what the word of the status does: data that are too few, and how solutions of equations ended."""
    with pytest.warns(RuntimeWarning, match="has too few data"):
        few = decay.fit(X[:1], Y[:1])
    assert (few.status, few.success, few.converged) == ("too_few_data", False, True)
    assert few.message.endswith("but there are fewer data, 1, than free parameters, 2")
    growing = nn.Dynamics("u' = a*u**2", {"u": 1}, {"a": 1.0}, times=2, max_steps=90, name="answering_growth")
    ended = growing.outcomes([1.0], [[0, 0.5], [0, 2]])
    assert ended.status.tolist() == ["solved", "max_steps"]
    assert ended.message[0] == STATUSES["solved"]
    assert ended.message[1] == STATUSES["max_steps"] + ended[1].removeprefix("too many steps")


def test_converged_is_a_test_of_convergence():
    """A fit whose data do not determine all parameters has converged, without success, alone and as one of many."""
    module = nn.build(nn.Model("answering_sum", "x", "y", {"a": 1, "b": 1}, "(a + b)*x"))
    fitted = module.fit(X, Y)
    with pytest.warns(RuntimeWarning, match="2 singular"):
        many = module.fit_many(X, [Y, Y])
    for fit in (fitted, many[0]):
        assert (fit.status, fit.converged, fit.success) == ("singular", True, False)
    assert not many.success.any()


def test_a_diverged_training_is_drawn(decay):
    """Losses near the largest number are left out of a picture, which could not be drawn with them."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    line = nn.build(nn.Model("answering_line", "x", "y", {"a": 0, "b": 0}, "a + b*x"))
    with pytest.warns(RuntimeWarning, match="diverged"):
        alone = line.train(X, Y, epochs=300, learning_rate=1e9)
    with pytest.warns(RuntimeWarning, match="diverged"):
        many = line.train_many(X, Y, models=2, epochs=300, learning_rate=[0.01, 1e9])
    for training in (alone, many):
        assert np.nanmax(training.history) > 1e290
        figure = training.plot()
        figure.canvas.draw()
        pyplot.close(figure)


@pytest.mark.parametrize("method", ["BFGS", "CG"])
def test_a_search_in_exact_data_has_converged(decay, method):
    """Where the outputs are the targets up to rounding, no loss is lower; elsewhere, a search may stall."""
    pytest.importorskip("scipy")
    exact = decay.predict([1.9, 0.7], X)[:, 0] * (1 + 2.0**-52 * (-1) ** np.arange(len(X)))
    minimized = decay.minimize(X, exact, [1.5, 1], method=method, options={"gtol": 1e-30})
    np.testing.assert_allclose(minimized.parameters, [1.9, 0.7], rtol=1e-13)
    assert (minimized.status, minimized.success) == ("converged", True)
    for others in ({"l2": 1e-3}, {"Y": Y}):
        targets = {"Y": exact, **others}
        with pytest.warns(RuntimeWarning, match=f"SciPy's {method} stalled"):
            stalled = decay.minimize(X, parameters=[1.5, 1], method=method, options={"gtol": 1e-30}, **targets)
        assert (stalled.status, stalled.success) == ("stalled", False)


def test_missing_packages(decay, monkeypatch):
    """A package that is not installed is one error, with one wording."""
    import sys

    cases = {
        "scipy": (lambda: decay.minimize(X, Y), "minimize needs SciPy", "scipy"),
        "scipy.stats": (lambda: decay.fit(X, Y, bounds=(0, 9), n_starts=2), "n_starts needs SciPy", "scipy"),
        "pandas": (lambda: decay.fit(X, Y).to_frame(), "to_frame needs pandas", "pandas"),
        "matplotlib": (lambda: decay.train(X, Y, epochs=2).plot(), "plot needs matplotlib", "matplotlib"),
        "onnx": (lambda: nn.from_onnx("none.onnx"), "from_onnx needs onnx", r"'nncodegen\[onnx\]'"),
        "safetensors.numpy": (
            lambda: nn.load_safetensors("none", decay),
            "load_safetensors needs safetensors",
            r"'nncodegen\[safetensors\]'",
        ),
    }
    for name, (call, what, install) in cases.items():
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(
                nn.MissingDependencyError, match=f"^{what}, which is not installed: python -m pip install {install}$"
            ):
                call()
    assert issubclass(nn.MissingDependencyError, ImportError)


def test_all_errors_are_exported():
    """All errors of nncodegen are names of nncodegen.errors and of nncodegen."""
    import nncodegen.errors

    names = {name for name, value in vars(nncodegen.errors).items() if isinstance(value, type)}
    assert names <= set(nn.__all__)
    for name in names:
        assert getattr(nn, name) is getattr(nncodegen.errors, name)
        assert issubclass(getattr(nn, name), nn.NncodegenError)
