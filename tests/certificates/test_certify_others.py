"""Certificates of what a module has besides outputs and gradient: updates, Jacobians, Hessians."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.certificates import origins, updates_and_hessians
from nncodegen.certificates.exact import many
from nncodegen.certificates.examination_points import Points
from nncodegen.certificates.origins import origin_of
from nncodegen.certificates.precision import settled
from nncodegen.certificates.results import Examined, Found, Programs
from nncodegen.certificates.scope import left_out
from nncodegen.certificates.ulps import precision_of
from nncodegen.certificates.updates import defined_update, updated
from nncodegen.certificates.updates_and_hessians import compare_all
from nncodegen.compiler.describe.optimizers import OPTIMIZERS, describe_update
from nncodegen.runtime.python.ground.certificate import Figure
from nncodegen.runtime.python.ground.rules import RULES
from tests.support.built import built

pytestmark = pytest.mark.usefixtures("quick_compiler")

x, y, V, K = sympy.symbols("x y V K")
ENZYME = nn.Model("enzyme", x, y, {V: 2, K: 1}, V * x / (K + x))


@pytest.fixture(scope="module")
def examined():
    """An ordinary point of a small formula, with its exact results."""
    stages = nn.compile_model(ENZYME, until="simplify")
    program, simplified = stages["describe"], stages["simplify"]
    point = Points(program, simplified, rows=2, seed=1).of("ordinary")
    exact = settled(program, point.parameters, point.X, point.Y)
    companions = stages.findings.companions.simplified
    programs = Programs(program, program, simplified, program.updates, companions=companions)
    return Examined(programs, point, exact, precision_of("float64"), 0, 1)


def test_everything_of_a_module_is_examined(examined, quick_compiler):
    """A formula has figures of every optimizer, of one sample, of models side by side, of Jacobian and Hessian."""
    figures = {result.figure.quantity: result.figure for result in compare_all(built(ENZYME), examined)}
    usual = {
        "updates one after the other",
        "update of one sample",
        "updates of models side by side",
        "jacobian",
        "hessian",
        "hessian times a vector",
    }
    assert usual | {f"update of {name}" for name in OPTIMIZERS} <= set(figures)
    assert all(figure.verdict == "holds" for figure in figures.values())


def test_rows_of_a_large_hessian_are_drawn(examined, monkeypatch, quick_compiler):
    """Of a Hessian of many parameters some rows are compared, and what is left out says so."""
    monkeypatch.setattr(updates_and_hessians, "WHOLE", 1)
    figures = {result.figure.quantity: result.figure for result in compare_all(built(ENZYME), examined)}
    assert figures["hessian"].verdict == "holds"
    wrong = {result.figure.quantity: result.figure for result in compare_all(Wrong(built(ENZYME)), examined)}
    assert wrong["hessian"].verdict == "wrong"
    network = nn.Sequential([nn.Dense(30, "tanh"), nn.Dense(1)], 10)
    stages = nn.compile_model(network, until="simplify", fit=True)
    assert "other rows of the Hessian than 200, which are drawn" in left_out(
        stages["describe"], stages.findings.companions.derived, True
    )


class Wrong:
    """A module whose further results are off by a millionth of a millionth."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        attribute = getattr(self._module, name)
        if name in ("jacobian", "hessian", "hessian_product"):
            return lambda *arguments: attribute(*arguments) * (1 + 1e-12)
        return attribute

    def train(self, *arguments, **options):
        class Result:
            parameters = self._module.train(*arguments, **options).parameters * (1 + 1e-12)

        return Result


def test_what_is_a_little_off_is_wrong(examined, quick_compiler):
    """An error of a few thousand units in any of them is called wrong."""
    verdicts = {result.figure.quantity: result.figure.verdict for result in compare_all(Wrong(built(ENZYME)), examined)}
    wrong = {name for name, verdict in verdicts.items() if verdict == "wrong"}
    expected = {"updates one after the other", "update of one sample", "jacobian", "hessian", "hessian times a vector"}
    assert wrong == expected | {f"update of {name}" for name in OPTIMIZERS}


def test_what_leaves_the_range_of_the_numbers(examined, quick_compiler):
    """A training that ends as its loss overflows, and second derivatives of that, are out of range, and not wrong."""
    programs, parameters = examined.programs, np.array([1e160, 1.0])
    point = replace(examined.point, parameters=parameters)
    exact = settled(programs.given, parameters, point.X, point.Y)
    at = Examined(programs, point, exact, precision_of("float64"), 0, 1)
    verdicts = {result.figure.quantity: result.figure.verdict for result in compare_all(built(ENZYME), at)}
    assert "wrong" not in verdicts.values()
    assert {verdicts[name] for name in ("loss", "update of sgd", "updates one after the other")} == {"out of range"}
    assert verdicts["output"] == verdicts["jacobian"] == "holds"


def test_an_update_that_leaves_next_to_nothing(examined, quick_compiler):
    """Where an update takes nearly all of the parameters away, what it leaves has as many digits as there can be."""
    programs, parameters = examined.programs, np.array([1.000001, 1.000002])
    point = replace(examined.point, parameters=parameters, X=np.array([[-3.0], [-2.5]]), Y=np.zeros((2, 1)))
    exact = settled(programs.given, parameters, point.X, point.Y)
    at = Examined(programs, point, exact, precision_of("float64"), 0, 1)
    figures = {result.figure.quantity: result.figure for result in compare_all(built(ENZYME), at)}
    assert figures["update of adam"].error > 16
    assert {figure.verdict for figure in figures.values()} == {"holds"}


def test_exact_second_derivatives(examined, quick_compiler):
    """They are those that SymPy derives from the formula."""
    figures = {result.figure.quantity: result.figure for result in compare_all(built(ENZYME), examined)}
    point = examined.point
    loss = (V * x / (K + x) - y) ** 2
    hessian = np.zeros((2, 2))
    for row, target in zip(point.X[:, 0], point.Y[:, 0], strict=True):
        values = {V: point.parameters[0], K: point.parameters[1], x: row, y: target}
        hessian += np.array(sympy.hessian(loss, (V, K)).subs(values), float) / len(point.X)
    np.testing.assert_allclose(built(ENZYME).hessian(point.parameters, point.X, point.Y), hessian, rtol=1e-12)
    assert figures["hessian"].error < 10


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_exact_updates(name):
    """The rule of each optimizer has the first update of its definition, for gradients of both signs, and 0."""
    before, gradient = many(np.array([1.0, -2.0, 0.5])), many(np.array([0.25, -3.0, 0.0]))
    numbers = {each.name: each.default for each in RULES[name].hyperparameters} | {"learning_rate": 0.5}
    with mpmath.workdps(60):
        computed = updated(describe_update(name), before, gradient, numbers)
        defined = defined_update(describe_update(name), before, gradient, numbers)
        assert all(
            abs(value - definition) < mpmath.mpf(10) ** -50 for value, definition in zip(computed, defined, strict=True)
        )


def wrong_adam(parameter, gradient, m, v, t, learning_rate, beta_1, beta_2, epsilon):
    """Adam without the correction of the bias of its second moment."""
    m, v = beta_1 * m + (1 - beta_1) * gradient, beta_2 * v + (1 - beta_2) * gradient**2
    return parameter - learning_rate / (1 - beta_1**t) * m / (sympy.sqrt(v) + epsilon), m, v


def wrong(quantity, examined):
    """A figure that is wrong."""
    return Found(Figure(quantity, "ordinary", 1e9, 1.0, 10.0, "wrong"), examined)


def test_stages_of_wrong_updates(examined, monkeypatch):
    """A wrong formula of an optimizer is a fault of describe, a wrong simplified one of simplify."""
    fault = wrong("update of adam", examined)
    assert origin_of(fault, {}) is None
    rule = nn.Optimizer("adam", wrong_adam, *OPTIMIZERS["adam"][1:]).update
    with monkeypatch.context() as patch:
        patch.setattr(origins, "simplify_update", lambda update: rule)
        assert origin_of(fault, {}).stage == "simplify"
    changed = replace(examined, programs=replace(examined.programs, updates=(rule,)))
    origin = origin_of(wrong("update of adam", changed), {})
    assert origin.stage == "describe"
    assert origin.step.startswith("next_parameter[p] = ")


@pytest.mark.parametrize(("quantity", "name"), [("jacobian", "fitting"), ("hessian", "hessian")])
def test_stages_of_wrong_companions(quantity, name, examined):
    """A wrong Jacobian or Hessian is a fault of the stage whose program has another value than the exact one."""
    stages = nn.compile_model(ENZYME, until="simplify")
    companions = stages.findings.companions
    derived, simplified = (
        next(companion for companion in each if companion.name == name)
        for each in (companions.derived, companions.simplified)
    )
    fault = wrong(quantity, examined)
    assert origin_of(fault, {name: (derived, simplified)}) is None

    def doubled(companion):
        program = companion.program
        last = (program.gradient or program.outputs)[-1]
        steps = (replace(s, expression=2 * s.expression) if s.target == last else s for s in program.steps)
        return replace(companion, program=replace(program, steps=tuple(steps)))

    assert origin_of(fault, {name: (doubled(derived), simplified)}).stage == "differentiate"
    assert origin_of(fault, {name: (derived, doubled(simplified))}).stage == "simplify"


def test_a_model_without_inputs(quick_compiler):
    """All samples of it are alike: its Jacobian has those of one, with which it is compared, and it holds."""
    recurrence = nn.Dynamics(
        ["u = before(u)/2 + before(v)", "v = p*before(v) + before(u)"],
        {"u": 0.8, "v": -0.6},
        {"p": 0.5},
        times=3,
        observed={"o": "u"},
        name="alone",
    )
    certificate = nn.certify(recurrence, points=1)
    assert certificate.holds
    assert "jacobian" in {figure.quantity for figure in certificate.figures}
