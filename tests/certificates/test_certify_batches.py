"""Certificates of models that train with the statistics of a batch, and of a user's own optimizers."""

import json

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.certificates.algebra import algebra_of, first_fault
from nncodegen.certificates.batches import halves
from nncodegen.certificates.description import from_data, to_data
from nncodegen.certificates.examination_points import Points
from nncodegen.certificates.precision import settled
from nncodegen.certificates.results import Examined, Programs
from nncodegen.certificates.ulps import precision_of
from nncodegen.certificates.updates_and_hessians import compare_all
from nncodegen.compiler.passes import derivatives
from tests.support.models import check_derivatives

pytestmark = pytest.mark.usefixtures("quick_compiler")

a, x, y = sympy.symbols("a x y")


def steady(parameter, gradient, m, t, learning_rate, decay):
    """An optimizer of one's own."""
    m = decay * m + (1 - decay) * sympy.Abs(gradient)
    return parameter - learning_rate * gradient / (m / (1 - decay**t) + sympy.Rational(1, 10**6)), m


STEADY = nn.Optimizer("steady", steady, state=["m"], hyperparameters=[nn.Hyperparameter("decay", 0.9, low=0, high=1)])
LAYERS = [nn.Dense(1, use_bias=False), nn.BatchNormalization(momentum=0.75), nn.Dense(1, use_bias=False)]
MODEL = nn.Sequential(LAYERS, 2, name="normalized", optimizers=[STEADY])
"""A layer whose values are normalized by the statistics of a batch, and an optimizer of one's own."""


def described(model):
    return nn.compile_model(model, until="describe")["describe"]


def examined(model):
    """Both parts of a model at an ordinary point: at rest, and in training."""
    stages = nn.compile_model(model, until="simplify", fit=False)
    described = stages["describe"]
    parts = halves(Programs(described, described, stages["simplify"], described.updates))
    point = Points(described.at_rest, described.at_rest, 4, seed=1).of("ordinary")
    for part in parts:
        results = settled(part.given, point.parameters, point.X, point.Y)
        yield Examined(part, point, results, precision_of("float64"), 0, 1)


class Wrong:
    """A module whose derivatives and updates are off by a millionth of a millionth."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        return getattr(self._module, name)

    def loss_and_gradient(self, *arguments):
        loss, gradient = self._module.loss_and_gradient(*arguments)
        return loss, gradient * (1 + 1e-12)

    def train(self, *arguments, **options):
        class Result:
            parameters = self._module.train(*arguments, **options).parameters * (1 + 1e-12)

        return Result


def test_a_model_with_statistics_is_examined(quick_compiler):
    """At rest, outputs and loss are compared; in training the loss, derivatives and updates, those of its user too."""
    module = nn.build(MODEL, fit=False)
    verdicts, wrong = (
        {
            result.figure.quantity: result.figure.verdict
            for part in examined(MODEL)
            for result in compare_all(each, part)
        }
        for each in (module, Wrong(module))
    )
    assert set(verdicts.values()) <= {"holds", "digits lost"}
    derivatives = {f"d_{name}" for name in ("W1", "gamma2", "beta2", "moving_mean2", "moving_variance2", "W3")}
    updates = {f"update of {update.name}" for update in described(MODEL).updates}
    assert set(verdicts) == {"h3", "loss at rest", "loss in training"} | derivatives | updates
    assert verdicts["d_gamma2"] == verdicts["update of sgd"] == verdicts["update of steady"] == "holds"
    assert wrong["d_gamma2"] == wrong["update of sgd"] == wrong["update of steady"] == "wrong"


@pytest.mark.thorough
def test_certify_and_verify():
    """It has a certificate, which carries the statistics and the rules of its user, and verifies by these."""
    certificate = nn.certify(MODEL, points=1, fit=False)
    assert certificate.holds
    assert certificate.rows == 4
    assert certificate.left_out[0] == "one by one, the steps that need the statistics of a batch"
    assert "but for what needs the statistics of a batch" in certificate.compared
    module = nn.build(MODEL, fit=False)
    errors = {(figure.quantity, figure.kind): figure.error for figure in certificate.figures}
    assert ("update of steady", "ordinary") in errors
    errors = {place: error for place, error in errors.items() if place[0] != "definitions"}  # a program has no layers
    for again in (nn.verify(module), nn.certify(module, points=1), nn.verify(module)):
        assert again.holds
        assert {(figure.quantity, figure.kind): figure.error for figure in again.figures} == errors


def test_rules_are_read_back():
    """A user's own optimizer goes through the file as it is; those of nncodegen are left out."""
    program = described(MODEL)
    read = from_data(json.loads(json.dumps(to_data(program))))
    assert read.updates == program.updates[-1:]


def test_exact_derivatives_through_statistics():
    """Derivatives of the loss of a batch are those that differences of many digits give, for each parameter."""
    program = described(MODEL)
    random = np.random.default_rng(0)
    parameters, X, Y = random.normal(size=program.parameter_count), *random.normal(size=(2, 4, 2))
    check_derivatives(program, parameters, X, Y[:, :1])


def test_a_wrong_derivative_through_statistics_is_named(monkeypatch, forget_derivatives):
    """Where a rule is wrong, the stage and the step of the sweep through the statistics are named."""

    def fault():
        stages = nn.compile_model(MODEL, until="simplify", fit=False)
        program = stages["describe"]
        algebra = algebra_of(program, program, stages["stabilize"], stages["differentiate"])
        _, training = examined(MODEL)
        return first_fault(algebra, training)

    assert fault() is None
    power = derivatives.PARTIALS[sympy.Pow]
    monkeypatch.setitem(derivatives.PARTIALS, sympy.Pow, lambda node, k: 2 * power(node, k))
    forget_derivatives()
    named = fault()
    assert named.stage == "differentiate"
    assert named.step.startswith("d_")
