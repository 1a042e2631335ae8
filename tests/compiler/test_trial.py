"""A module that has just been compiled is tried: wrong derivatives are refused, and right ones never are."""

from importlib import import_module

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler import pipeline, trial
from nncodegen.compiler.ir import functions
from nncodegen.compiler.trial import check_built
from nncodegen.errors import CheckError

pytestmark = pytest.mark.usefixtures("quick_compiler")

HESSIAN, JACOBIAN = (import_module(f"nncodegen.compiler.passes.{name}") for name in ("hessian", "fitting.jacobian"))
"""By their names: a function of each has the same one."""


def network(name):
    return nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(2, "softmax")], 2, "categorical_crossentropy", name=name)


def decay(name):
    return nn.Model(name, "x", "y", {"a": 1.0, "b": 0.5}, "a*exp(-b*x)")


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_wrong_gradient_is_refused(precision, monkeypatch, forget_derivatives):
    """It names the model and asks for a report, each time; the module is not in the cache when the fault is mended."""
    model = network(f"refused_{precision}")
    with monkeypatch.context() as patch:
        patch.setattr(functions.tanh, "fdiff", lambda self, argindex=1: 2 * functions.sech2(self.args[0]))
        forget_derivatives()
        for _ in range(2):
            with pytest.raises(CheckError, match=f"the gradient of {model.name} is wrong.*please report this model"):
                nn.build(model, precision, force=True)
    forget_derivatives()
    nn.build(model, precision)


def test_what_comes_from_the_cache_is_not_tried(monkeypatch):
    """A module is tried when it is compiled, and never again; it is tried before it is written to a folder."""
    tried = []
    monkeypatch.setattr(pipeline, "check_built", lambda module, described, part="": tried.append(part))
    for force in (True, False):
        nn.build(decay("tried"), force=force)
    assert tried == [""]


def test_a_folder_gets_no_wrong_module(tmp_path, monkeypatch, forget_derivatives):
    """What is refused is not written; a whole module is tried with all of its parts."""
    with monkeypatch.context() as patch:
        patch.setattr(HESSIAN, "forward_sweep", doubled(HESSIAN.forward_sweep))
        with pytest.raises(CheckError, match="the Hessian of folded is wrong"):
            nn.build(decay("folded"), out=tmp_path / "folded", force=True)
    assert not (tmp_path / "folded").exists()


def doubled(sweep):
    """A sweep whose last derivative is twice as large as it should be."""

    def wrong(*arguments, **named):
        *derivatives, last = sweep(*arguments, **named)
        (numbering,) = (argument for argument in arguments if hasattr(argument, "define"))
        return (*derivatives, numbering.define(2 * last, None, last.indices))

    return wrong


PARTS = {
    "Jacobian": (JACOBIAN, "reverse_sweep", lambda module: module.jacobian([1.0, 0.5], [[0.3]])),
    "Hessian": (HESSIAN, "forward_sweep", lambda module: module.hessian([1.0, 0.5], [[0.3]], [[0.2]])),
}
"""For each part that is compiled later: where a fault is planted, and the call that needs it."""


@pytest.mark.parametrize("what", PARTS)
def test_parts_are_tried_when_they_are_compiled(what, monkeypatch):
    """The first call that needs a wrong part is refused, and so is the next one; what else the module has goes on."""
    file, name, call = PARTS[what]
    module = nn.build(decay(f"part_{what}"), force=True)
    with monkeypatch.context() as patch:
        patch.setattr(file, name, doubled(getattr(file, name)))
        for _ in range(2):
            with pytest.raises(CheckError, match=f"the {what} of part_{what} is wrong"):
                call(module)
    assert module.loss([1.0, 0.5], [[0.3]], [[0.2]]) > 0


a, b, x, y = sympy.symbols("a b x y")

CORNERS = {
    "equal": nn.Model("equal", [x], [y], {a: 1.0, b: 1.0}, sympy.Max(a, b) * x),
    "zero": nn.Model("zero", [x], [y], {a: 0.0, b: 0.0}, sympy.Max(0, a * x) + sympy.Abs(b)),
    "steps": nn.Model("steps", [x], [y], {a: 1.5, b: 0.5}, sympy.Heaviside(a * x - 0.7) + sympy.sign(b - x)),
    "poles": nn.Model("poles", [x], [y], {a: 0.5, b: 1.0}, b / (x - a)),
    "not finite": nn.Model("not_finite", [x], [y], {a: -1.0, b: 1.0}, sympy.log(a * x) + b),
    "far": nn.Model("far", [x], [y], {a: 1.0, b: 1e9}, a * x + b),
    "constants": nn.Model("constants", [x], [y], {a: 1e13, b: 0.5}, a * sympy.exp(-b / x)),
    "fast": nn.Model("fast", [x], [y], {a: 1.0, b: 0.5}, sympy.sin(10**7 * a * x) + b),
    "batch": nn.Sequential(
        [nn.Dense(3, "relu"), nn.BatchNormalization(), nn.Dropout(0.5), nn.Dense(1)], 2, name="batch"
    ),
    "tokens": nn.Sequential([nn.Embedding(5, 3), nn.GRU(2), nn.Dense(1)], (4,), name="tokens"),
    "pool": nn.Sequential(
        [nn.Conv1D(2, 3, activation="relu"), nn.GlobalMaxPooling1D(), nn.Dense(1)], (6, 1), name="pool"
    ),
}
"""Models at corners and steps, near poles, out of range, of very different sizes, with layers that choose and draw."""


@pytest.mark.filterwarnings("ignore:not compiled:RuntimeWarning")
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", CORNERS)
def test_no_right_derivative_is_refused(name, precision):
    """Whatever a model does at the point where it is tried, nothing is said of derivatives that are right."""
    model = CORNERS[name]
    module = pipeline.evaluated_module(model, precision, fit=True if name in ("equal", "zero", "poles") else None)
    for part in ("", "fitting", "hessian"):
        check_built(module, nn.compile_model(model, precision, until="describe")["describe"], part)


def test_every_derivative_counts():
    """A gradient that lacks one of its terms, or has one that is a hundredth off, is found in float64."""
    model = decay("counts")
    described = nn.compile_model(model, until="describe")["describe"]
    right = nn.build(model)

    class Wrong:
        """The module with a gradient that is changed."""

        def __init__(self, factors):
            self._factors = np.array(factors)

        def __getattr__(self, name):
            return getattr(right, name)

        def loss_and_gradient(self, *arguments):
            loss, gradient = right.loss_and_gradient(*arguments)
            return loss, gradient * self._factors

    check_built(Wrong([1, 1]), described)
    for factors in ([0, 1], [1, 0], [1, 1.01], [-1, 1], [0, 0]):
        with pytest.raises(CheckError):
            check_built(Wrong(factors), described)


# --- functions ---------------------------------------------------------------------------------------------------

X, Y = sympy.symbols("X Y")

DERIVATIVES = {
    "jacobian": "Jacobian",
    "hessian": "Hessian",
    "jvp": "derivative along a direction",
    "vjp": "weighted sum of derivatives",
}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("asked", "kind"), DERIVATIVES.items())
def test_wrong_derivatives_of_a_function_are_refused(asked, kind, precision, monkeypatch, tmp_path, forget_derivatives):
    """Each kind of them is tried when a function is compiled, which is not kept in the cache."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path / "wrong"))

    def make():
        return nn.lambdify((X, Y), sympy.tanh(X * Y) * Y, precision=precision, **{asked: [X, Y]})

    with monkeypatch.context() as patch:
        patch.setattr(functions.tanh, "fdiff", lambda self, argindex=1: 2 * functions.sech2(self.args[0]))
        forget_derivatives()
        for _ in range(2):
            with pytest.raises(CheckError, match=f"the {kind} of the function is wrong.*please report"):
                make()
    assert not [*tmp_path.glob("**/function_*.so")]
    forget_derivatives()
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path / "right"))  # a library that was loaded stays loaded
    make()
    assert [*tmp_path.glob("**/function_*.so")]


def test_a_function_in_the_cache_is_not_tried(monkeypatch, tmp_path):
    """A function is tried when it is compiled, and never again; without derivatives, not at all."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path))
    tried = []
    monkeypatch.setattr(trial, "check_function", lambda *_: tried.append(1))
    for _ in range(2):
        nn.lambdify(X, sympy.sin(X), jacobian=X)
    nn.lambdify(X, sympy.sin(X))
    assert tried == [1]


@pytest.mark.parametrize(
    "formula",
    [
        abs(X - Y) + sympy.Max(X, Y, 0),
        sympy.log(X - 3) * Y,
        sympy.sqrt(-X) + Y**2,
        sympy.log(-X - Y),
        sympy.Piecewise((X**2, X < Y), (Y, True)),
        sympy.exp(1000 * X * Y),
        sympy.sin(1e9 * X) * Y,
        1 + 1e-18 * X * Y,
        X * 0 + Y**3,
    ],
    ids=str,
)
def test_right_derivatives_of_a_function_are_not_refused(formula, monkeypatch, tmp_path):
    """Corners, branches, values that are not defined or overflow, and what changes fast or little, cause no alarm."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path))
    nn.lambdify((X, Y), formula, jacobian=[X, Y], hessian=[X, Y])
