"""Names that have changed: the old ones work in this version, and warn; nothing else of the project uses them."""

import ast
import inspect
import pickle
import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import nncodegen as nn
from nncodegen.runtime.python.ground.renamed import renamed
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("quick_compiler")

X = np.linspace(0, 3, 20)
Y = 2 * np.exp(-0.7 * X) + 0.01 * np.cos(9 * X)
NETWORK = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1)], 1, name="renamed_network")


@pytest.fixture(scope="module")
def decay():
    return nn.build(nn.Model("renamed_decay", "x", "y", {"a": 1, "b": 1}, "a*exp(-b*x)"))


@pytest.fixture(scope="module")
def network():
    return nn.build(NETWORK, fit=False)


def parameters_of(result):
    return result[0] if isinstance(result, tuple) else result.parameters


FITS = {
    "fit, p0": (lambda m: m.fit, {"parameters": [2, 1]}, {"p0": [2, 1]}),
    "fit, loss": (
        lambda m: m.fit,
        {"robust": "huber", "robust_scale": 0.01},
        {"loss": "huber", "f_scale": 0.01},
    ),
    "fit, no robust loss": (lambda m: m.fit, {"robust": None}, {}),
    "fit, n_starts": (
        lambda m: m.fit,
        {"starts": 2, "bounds": (0, 4)},
        {"n_starts": 2, "bounds": (0, 4)},
    ),
    "fit_many": (lambda m: m.fit_many, {"parameters": [2, 1]}, {"p0": [2, 1]}),
    "curve_fit": (lambda m: partial(nn.curve_fit, "a*exp(-b*x)"), {"robust": "cauchy"}, {"loss": "cauchy"}),
}


@pytest.mark.parametrize("case", FITS)
def test_fits(decay, case):
    """An old name of an argument of a fit does what the new one does, and the warning is told where it is written."""
    function, old, new = FITS[case]
    with pytest.warns(DeprecationWarning, match=r"is named \w+ now: the old name goes in version 0\.3\.0") as caught:
        value = function(decay)(X, Y, **old)
    assert {warning.filename for warning in caught} == {__file__}
    np.testing.assert_array_equal(parameters_of(value), parameters_of(function(decay)(X, Y, **new)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"validation_fraction": 0.2}, {"validation_split": 0.2}),
        ({"restore_best": False, "patience": 2}, {"restore_best_weights": False, "patience": 2}),
        ({"clip_norm": 0.1, "clip_value": 0.05}, {"clipnorm": 0.1, "clipvalue": 0.05}),
        ({"optimizer": "adam", "beta1": 0.5, "beta2": 0.9}, {"optimizer": "adam", "beta_1": 0.5, "beta_2": 0.9}),
    ],
    ids=["validation", "best", "clips", "betas"],
)
def test_trainings(network, old, new):
    """So do the old names of train."""
    with pytest.warns(DeprecationWarning, match="is named") as caught:
        trained = network.train(X, Y, epochs=5, learning_rate=0.1, **old)
    assert {warning.filename for warning in caught} == {__file__}
    expected = network.train(X, Y, epochs=5, learning_rate=0.1, **new)
    np.testing.assert_array_equal(trained.parameters, expected.parameters)
    with pytest.raises(TypeError, match="are the same argument, which is named"):
        network.train(X, Y, **{**new, **old})
    if "clip_norm" in old:
        with pytest.warns(DeprecationWarning, match="clip") as caught:
            network.partial_fit(X, Y, **old)
        assert {warning.filename for warning in caught} == {__file__}


def test_layers_and_networks():
    """Layers and networks take old names, and their attributes can be read by them."""
    with pytest.warns(DeprecationWarning, match="is named (use_bias|kernel_initializer) now"):
        layer = nn.Dense(3, "tanh", initializer="he_normal", bias=False)
    assert layer == nn.Dense(3, "tanh", kernel_initializer="he_normal", use_bias=False)
    with pytest.warns(DeprecationWarning, match="the attribute bias of Dense is named use_bias now"):
        assert layer.bias is False
    with pytest.warns(DeprecationWarning, match="is named"):
        assert nn.Conv1D(2, 3, bias=False) == nn.Conv1D(2, 3, use_bias=False)
    with pytest.warns(DeprecationWarning, match="is named"):
        assert nn.LSTM(2, bias=False) == nn.LSTM(2, use_bias=False)
    with pytest.warns(DeprecationWarning, match="is named"):
        assert nn.Embedding(3, 2, initializer="ones") == nn.Embedding(3, 2, embeddings_initializer="ones")
    with pytest.warns(DeprecationWarning, match="is named"):
        assert nn.Polynomial(2, initializer="ones") == nn.Polynomial(2, kernel_initializer="ones")
    for kind in (nn.AveragePooling1D, nn.AveragePooling2D):
        with pytest.warns(DeprecationWarning, match="is named"):
            assert kind(padding=1, count_padding=True) == kind(padding=1, count_include_pad=True)
    node = nn.Input(2)
    outputs = {"one": nn.Dense(1)(node), "two": nn.Dense(1)(node)}
    with pytest.warns(DeprecationWarning, match="loss_weights"):
        graph = nn.Network(node, outputs, weights=[1, 3])
    with pytest.warns(DeprecationWarning, match="loss_weights"):
        assert graph.weights == graph.loss_weights == [1, 3]


def test_build_and_results(decay):
    """So do build and results; a value by both names is refused."""
    model = nn.Model("renamed_decay", "x", "y", {"a": 1, "b": 1}, "a*exp(-b*x)")
    with pytest.warns(DeprecationWarning, match="the argument schedule is named choices now"):
        nn.build(model, schedule={"blas": False})
    with pytest.raises(TypeError, match="schedule and choices are the same argument"):
        nn.build(model, schedule={}, choices={})
    with pytest.raises(TypeError, match="parameters and p0 are the same argument"):
        decay.fit(X, Y, [1, 1], parameters=[1, 1])
    with pytest.raises(TypeError, match=r"fit\(\) got an unexpected keyword argument 'sigmas'"):
        decay.fit(X, Y, sigmas=1)
    with pytest.warns(DeprecationWarning, match="the argument starts is named n_starts now") as caught:
        old = decay.fit(X, Y, sigma=0.1, bounds=(0, 5), starts=2, seed=3)
    assert {warning.filename for warning in caught} == {__file__}
    new = decay.fit(X, Y, sigma=0.1, bounds=(0, 5), n_starts=2, seed=3)
    np.testing.assert_array_equal(old.parameters, new.parameters)
    assert "old" not in inspect.signature(decay.fit).parameters
    result = decay.fit(X, Y)
    with pytest.warns(DeprecationWarning, match="the attribute start of FitResult is named p0 now"):
        np.testing.assert_array_equal(result.start, result.p0)
    with pytest.warns(DeprecationWarning, match="the attribute robust_scale of FitResult is named f_scale now"):
        assert result.robust_scale == result.f_scale
    with pytest.warns(DeprecationWarning, match="the attribute start of FitResult is named p0 now"):
        result.start = result.parameters
    np.testing.assert_array_equal(result.p0, result.parameters)
    assert not hasattr(pickle.loads(pickle.dumps(result)), "no_such_name")
    with pytest.warns(RuntimeWarning, match="1 no_data"):
        many = decay.fit_many(X, [Y, np.full(20, np.nan)])
    with pytest.warns(DeprecationWarning, match="the attribute converged of ManyFits is named success now"):
        assert many.converged.tolist() == many.success.tolist() == [True, False]


def test_estimators():
    """Estimators take old names, clone and pickle as before, and list the new ones alone."""
    base = pytest.importorskip("sklearn.base")
    from nncodegen.estimators import DynamicsRegressor, FormulaRegressor, NNRegressor

    with pytest.warns(DeprecationWarning, match="is named") as caught:
        old = FormulaRegressor("a*exp(-b*x)", start={"a": 2}, robust="huber", robust_scale=0.01)
    assert {warning.filename for warning in caught} == {__file__}
    new = FormulaRegressor("a*exp(-b*x)", p0={"a": 2}, loss="huber", f_scale=0.01)
    assert old.get_params() == new.get_params() == base.clone(old).get_params()
    assert "start" not in new.get_params()
    motion = nn.Dynamics("u' = k*u", {"u": 1}, {"k": 1}, times=3, name="renamed_motion")
    for kind, model in ((FormulaRegressor, "a*exp(-b*x)"), (DynamicsRegressor, motion)):
        with pytest.warns(DeprecationWarning, match="is named") as caught:
            old = kind(model, tolerance=1e-3, max_iterations=7)
        assert {warning.filename for warning in caught} == {__file__}
        assert (old.tol, old.max_iter) == (1e-3, 7)
        assert {"tol", "max_iter"} <= old.get_params().keys()
        with pytest.warns(DeprecationWarning, match="the argument max_iterations is named max_iter now") as caught:
            old.set_params(max_iterations=9, tol=1e-4)
        assert {warning.filename for warning in caught} == {__file__}
        assert (old.tol, old.max_iter) == (1e-4, 9)
        with pytest.warns(DeprecationWarning, match="the attribute tolerance"):
            old.tolerance = 1e-5
        assert old.get_params()["tol"] == 1e-5
    with pytest.warns(DeprecationWarning, match="is named"):
        assert new.set_params(robust=None, starts=2) is new
    assert (new.loss, new.n_starts, new.f_scale) == ("linear", 2, 0.01)
    with pytest.raises(ValueError, match="Invalid parameter 'starting'"):
        new.set_params(starting=2)
    options = {"max_iter": 3, "random_state": 0, "hidden_layer_sizes": (2,), "solver": "adam", "tol": 0.0}
    clipped = NNRegressor(**options, train_options={"clip_norm": 0.1})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clipped.fit(X[:, None], Y)
        alike = NNRegressor(**options, train_options={"clipnorm": 0.1}).fit(X[:, None], Y)
    deprecated = [warning for warning in caught if warning.category is DeprecationWarning]
    assert [warning.filename for warning in deprecated] == [__file__]
    np.testing.assert_array_equal(clipped.predict(X[:, None]), alike.predict(X[:, None]))


def test_models_of_tables(tmp_path):
    """They are saved by a name that has changed."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("scipy")
    from nncodegen.table import Settings, fit, load_model

    table = pd.DataFrame({"x": X, "y": Y})
    fitted = fit(table, "y", settings=Settings(layers=()))
    for number, saved in enumerate((fitted, fitted.model)):
        with pytest.warns(DeprecationWarning, match="the attribute write of (Fitted|TableModel) is named save now"):
            saved.write(tmp_path / f"old{number}")
        saved.save(tmp_path / f"new{number}")
        old, new = (load_model(tmp_path / f"{word}{number}").predict(table[["x"]]) for word in ("old", "new"))
        pd.testing.assert_frame_equal(old, new)


def test_command(tmp_path):
    """The command curve takes old options, with a warning."""
    pytest.importorskip("pandas")
    pytest.importorskip("scipy")
    from nncodegen.cli.commands import command

    (tmp_path / "data.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in zip(X, Y, strict=True)))
    call = ["curve", str(tmp_path / "data.csv"), "y = a*exp(-b*x)"]
    old = CliRunner().invoke(command, [*call, "--start", "a=2", "--robust=huber", "--robust-scale", "0.01"])
    new = CliRunner().invoke(command, [*call, "--p0", "a=2", "--loss", "huber", "--f-scale", "0.01"])
    bounded = [*call, "--bounds", "a=0:4,b=0:4"]
    drawn = [CliRunner().invoke(command, [*bounded, name, "2"]) for name in ("--starts", "--n-starts")]
    assert "warning: --starts is named --n-starts now" in drawn[0].output
    assert drawn[0].output.splitlines()[1:] == drawn[1].output.splitlines()
    assert [done.exit_code for done in (old, new, *drawn)] == [0] * 4
    assert "warning: --robust is named --loss now: the old name goes in version 0.3.0" in old.output
    assert [line for line in old.output.splitlines() if not line.startswith("warning")] == new.output.splitlines()


def changes():
    """The changed names in the code: (file, version in which the old name goes, old name, new name) of each."""
    renamings = []
    for path in sorted((ROOT / "nncodegen").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("renamed", "renamed_attributes"):
                names = {each.arg: each.value.value for each in node.keywords if each.arg}
                version = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "RENAMED":
                version, names = ast.literal_eval(node.value)
            else:
                continue
            renamings += [(path.name, version, old, new) for old, new in names.items()]
    return renamings


def test_old_names_go_in_time():
    """No old name is left whose version has come: @renamed and what it takes go then."""

    def parts(version):
        return [int(part) for part in version.split("+")[0].split("rc")[0].split(".")]

    renamings = changes()
    assert {"fitting.py", "fit_result.py", "calls.py", "commands.py"} <= {path for path, *_ in renamings}
    for path, version, old, _ in renamings:
        assert parts(version) > parts(nn.__version__), (path, old)


def test_old_names_are_listed():
    """The table of changed names has every one, with its new name; this file uses each."""
    text = (ROOT / "docs" / "reference" / "names.md").read_text().split("## Names that have changed")[1]
    listed = set()
    for line in text.splitlines():
        _, *cells, _ = line.split("|") if line.startswith("|") else ("", "")
        if cells:
            old, new = (re.findall(r"`([^`]+)`", cell) for cell in cells[1:])
            listed |= set(zip(old, new, strict=False))
    source = Path(__file__).read_text(encoding="utf-8")
    for path, _, old, new in changes():
        assert (old, new) in listed, path
        assert re.search(rf"{re.escape(old)}\b", source), old


def test_mechanism():
    """An argument, and an attribute of its name, are renamed by one decorator; None stood for a default."""

    @renamed("9.0", old="new")
    class Thing:
        def __init__(self, new=3):
            self.new = new

    with pytest.warns(DeprecationWarning, match="the argument old is named new now: the old name goes in version 9.0"):
        assert Thing(old=4).new == 4
    with pytest.warns(DeprecationWarning, match="is named"):
        assert Thing(old=None).new == 3
    with pytest.warns(DeprecationWarning, match="the attribute old of Thing is named new now"):
        assert Thing().old == 3
