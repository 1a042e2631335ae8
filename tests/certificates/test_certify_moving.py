"""Certificates of windows, gathered rows, recurrences, and derivatives by inputs."""

import json
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.certificates import exact, updates_and_hessians
from nncodegen.certificates.description import from_data, to_data
from nncodegen.certificates.differences import without_derivatives
from nncodegen.certificates.examination_points import KINDS, Points
from nncodegen.certificates.precision import settled
from nncodegen.certificates.results import Examined, Programs
from nncodegen.certificates.scheduled import carried_out
from nncodegen.certificates.steps import Watch, columns_of, compare_steps, watched
from nncodegen.certificates.ulps import precision_of
from nncodegen.compiler.ir import evaluate, functions
from nncodegen.compiler.passes.tangent import tangent
from tests.support.models import check_derivatives

pytestmark = pytest.mark.usefixtures("quick_compiler")

x, t, y = sympy.symbols("x t y")
u = sympy.Function("u")(x, t)


def heat():
    """A network whose loss holds derivatives by its inputs."""
    return nn.Sequential(
        [nn.Dense(2, "tanh"), nn.Dense(1)],
        inputs=(x, t),
        outputs=u,
        name="heat",
        losses={"equation": u.diff(t) - u.diff(x, 2) / 10, "data": u - y},
    )


def gathered():
    """Rows of a table, a window, a pool, and a step after the other."""
    layers = [nn.Embedding(4, 1), nn.Conv1D(2, 2, activation="relu"), nn.MaxPooling1D(2, strides=1), nn.SimpleRNN(1)]
    return nn.Sequential([*layers, nn.Dense(1)], 5, name="gathered")


def images():
    """Windows with strides, padding and holes, and both pools."""
    first, second = nn.Conv2D(2, 3, strides=2, padding="same"), nn.Conv2DTranspose(1, 2, dilation_rate=2)
    layers = [first, nn.AveragePooling2D(2), second, nn.GlobalMaxPooling2D(), nn.Dense(1)]
    return nn.Sequential(layers, (5, 5, 1), name="images")


def sequences():
    """Both directions, an initial state, lengths, and steps that are left out."""
    sequence, length = nn.Input((3, 1)), nn.Input(1, name="steps")
    h, c = nn.Input(1, name="h"), nn.Input(1, name="c")
    both = nn.Bidirectional(nn.GRU(1, return_sequences=True, mask_value=0.5))(sequence)
    back = nn.LSTM(1, lengths=True, return_sequences=True, go_backwards=True)(both, h, c, length)
    return nn.Network([sequence, h, c, length], nn.SimpleRNN(1)(back), name="sequences")


def described(model):
    return nn.compile_model(model, until="describe")["describe"]


def point_of(program, rows=2):
    """An ordinary point of a program."""
    return Points(program, program, rows, seed=3).of("ordinary")


@pytest.mark.parametrize("model", [gathered, images])
def test_exact_values_and_derivatives(model):
    """Values are those of the evaluator in many digits, derivatives those that differences give, for each parameter."""
    program = described(model())
    point = point_of(program, 1)
    values = check_derivatives(program, point.parameters, point.X, point.Y)
    with mpmath.workdps(60):
        expected = evaluate(program, exact.many(point.parameters), exact.many(point.X), exact.many(point.Y), digits=60)
        for step in program.steps:
            computed, known = (np.asarray(each[step.target.tensor]) for each in (values, expected))
            assert np.max(abs(computed - known)) < mpmath.mpf(10) ** -50, step


def test_steps_of_all_stages():
    """What the compiler makes of recurrences in both directions has the same values in many digits."""
    layers = [nn.Bidirectional(nn.GRU(1)), nn.Dense(1)]
    stages = nn.compile_model(nn.Sequential(layers, (2, 1), name="both"), until="simplify", fit=False)
    program, simplified = stages["describe"], stages["simplify"]
    point = point_of(program)
    with mpmath.workdps(60):
        values = exact.run(program, exact.bind(program, point.parameters, point.X, point.Y))
        received = exact.derivatives(program, values)
        outcome = exact.run(simplified, exact.bind(simplified, point.parameters, point.X, point.Y))
        for element, tensor in zip(simplified.gradient, simplified.parameters, strict=True):
            assert np.max(abs(outcome[element.tensor] - received[tensor.name])) < mpmath.mpf(10) ** -50


def test_derivatives_by_inputs():
    """Differences in the place of derivatives by inputs give what SymPy derives of the formula, to fifty digits."""
    program = described(heat())
    plain = without_derivatives(program)
    point = point_of(program, 1)
    W_x, W_t, b, W = (sympy.symbols(f"{name}0:2") for name in ("p", "q", "r", "s"))
    c = sympy.Symbol("c")
    formula = sum(W[j] * sympy.tanh(W_x[j] * x + W_t[j] * t + b[j]) for j in range(2)) + c
    with mpmath.workdps(400):
        values = exact.run(plain, exact.bind(plain, point.parameters, point.X, point.Y))
        numbers = [mpmath.mpf(float(number)) for number in (*point.parameters, *point.X[0])]
        for name, expression in (("u_t", formula.diff(t)), ("u_xx", formula.diff(x, 2))):
            expected = sympy.lambdify((*W_x, *W_t, *b, *W, c, x, t), expression, "mpmath")(*numbers)
            assert abs(values[name][0] / expected - 1) < mpmath.mpf(10) ** -50


def test_small_derivatives_by_inputs():
    """Where a derivative is next to 0, as of a saturated tanh, results are computed until it has fifty digits, too."""
    program = without_derivatives(described(heat()))
    parameters = np.array([310.0, 310.0, 0.5, 0.25, 0.0, 0.0, 1.0, 2.0, 0.1])
    X, Y = np.array([[1.0, 0.5]]), np.array([[1.0, 1.0, 0.3]])
    settled_there = settled(program, parameters, X, Y)
    with mpmath.workdps(settled_there.digits):
        outcome = exact.run(program, exact.bind(program, parameters, X, Y))["u_xx"][0]
        squares = [(w, mpmath.tanh(310 + v * mpmath.mpf(0.5))) for w, v in ((1, 0.5), (2, 0.25))]
        expected = sum(w * 310**2 * -2 * h * (1 - h**2) for w, h in squares)
        assert 0 < abs(expected) < mpmath.mpf(10) ** -260
        assert abs(outcome / expected - 1) < mpmath.mpf(10) ** -45


def test_derivatives_through_a_recurrence():
    """The steps of a recurrence stand there as a whole for inputs that are moved: differences are what steps derive."""
    layers = [nn.Dense(4), nn.Reshape((2, 2)), nn.GRU(1)]
    model = nn.Sequential(layers, inputs=(x, t), outputs=u, losses={"one": u.diff(x, t)}, name="steps")
    program = described(model)
    plain, written, point = without_derivatives(program), tangent(program), point_of(program, 1)
    with mpmath.workdps(200):
        derivative = exact.run(plain, exact.bind(plain, point.parameters, point.X, point.Y))["u_xt"].item()
        values = exact.run(written, exact.bind(written, point.parameters, point.X, point.Y))
        assert abs(derivative / values["u_xt"].item() - 1) < mpmath.mpf(10) ** -50


def test_points_number_something():
    """Inputs that are positions are whole numbers in their range, at points of every kind."""
    stages = nn.compile_model(gathered(), until="simplify", fit=False)
    draw = Points(stages["describe"], stages["simplify"], rows=3, seed=0)
    for kind in KINDS:
        assert set(draw.of(kind).X.flat) <= {0, 1, 2, 3}


def test_programs_are_read_back():
    """Equations, recurrences and derivatives by inputs go through the file of a certificate, and keep their hash."""
    for model in (gathered(), heat(), images(), batches()):
        program = described(model)
        read = from_data(json.loads(json.dumps(to_data(program))))
        assert (read.steps, read.sizes, read.statistics) == (program.steps, program.sizes, program.statistics)


def test_the_certificate_of_a_window_and_a_recurrence():
    """A network that gathers rows, with windows and a loop over time, has a certificate."""
    certificate = nn.certify(gathered(), points=1, fit=False)
    assert certificate.holds
    assert all(certificate.points.values())
    assert any("before(" in step.step or "max(" in step.step for step in certificate.steps)
    assert certificate.compared.endswith("the loops of the schedule were carried out")


def batches():
    """Windows with padding, statistics of a batch, and noise."""
    layers = [nn.Conv2D(2, 3, padding="same"), nn.BatchNormalization(), nn.MaxPooling2D(2, strides=1), nn.Dropout(0.5)]
    return nn.Sequential([*layers, nn.Flatten(), nn.Dense(2)], (3, 3, 1), name="batches")


@pytest.mark.parametrize("model", [gathered, images, pytest.param(sequences, marks=pytest.mark.thorough), batches])
def test_the_schedule_of_what_moves_is_carried_out(model):
    """The loops of right schedules give the values of the program: lists of places, gathered rows, phases, and time."""
    stages = nn.compile_model(model(), until="schedule", fit=False)
    point = point_of(stages["describe"])
    assert carried_out(stages["schedule"], point.parameters, point.X, point.Y) is None


def after_others(*layers, shape):
    """Layers after another one, so that the derivatives by their inputs are scheduled as well."""
    return nn.Sequential([nn.Dense(2, "tanh"), *layers, nn.Dense(1)], shape, name="after")


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([nn.Conv1D(1, 4, strides=2, padding="same")], (1, 3)),
        ([nn.Conv1D(2, 5, padding=2), nn.AveragePooling1D(2, strides=1, padding=1)], (1, 2)),
        ([nn.Conv1D(1, 3, dilation_rate=2, padding="causal"), nn.MaxPooling1D(3, padding="same")], (2, 1)),
        ([nn.Conv1DTranspose(2, 3, strides=2, padding="same"), nn.GRU(1)], (3, 1)),
        ([nn.Conv2D(2, (3, 2), strides=(1, 2), padding="same"), nn.Conv2DTranspose(1, 3, padding=1)], (2, 3, 1)),
        ([nn.Permute((2, 1)), nn.Conv1D(1, 3, padding="same", groups=1)], (4, 1)),
        ([nn.Conv2D(2, 2, padding=1, groups=2, dilation_rate=2)], (1, 2, 1)),
    ],
)
def test_windows_after_other_layers(layers, shape):
    """Loops of padded windows are right after other layers as well, where what they scatter begins with its array."""
    stages = nn.compile_model(after_others(*layers, shape=shape), until="schedule", fit=False)
    point = point_of(stages["describe"])
    assert carried_out(stages["schedule"], point.parameters, point.X, point.Y) is None


@pytest.mark.thorough
@pytest.mark.parametrize("model", [images, sequences, heat])
def test_certificates(model):
    """So have images, sequences with all that there is, and equations with terms that have samples of their own."""
    certificate = nn.certify(model(), points=1, fit=False)
    assert certificate.holds
    assert nn.verify(nn.build(model(), fit=False)).holds
    assert {figure.kind for figure in certificate.figures} >= {"ordinary", "saturated", "huge", "tiny"}


class Machine:
    """A module of steps that NumPy evaluates, which may get one of them wrong by a millionth of a millionth."""

    dtype = np.dtype("float64")

    def __init__(self, program, wrong=""):
        self.program, self.wrong = program, wrong

    def predict(self, parameters, X):
        values = evaluate(self.program, parameters, X)
        parts = []
        for element in self.program.outputs:
            part = np.moveaxis(np.asarray(values[element.tensor]), element.indices.index("n"), 0)
            parts.append(part.reshape(len(X), -1) * (1 + 1e-12 * (element.tensor == self.wrong)))
        return np.hstack(parts)


def test_values_of_large_programs_are_drawn():
    """Of each step of a large program some values are compared, at which a wrong step is found as it is elsewhere."""
    stages = nn.compile_model(images(), until="simplify", fit=False)
    simplified, point = stages["simplify"], point_of(stages["describe"])
    program, precision = watched(simplified), precision_of("float64")
    for wrong in ("", "s1", "t8"):
        watch = Watch(simplified, Machine(program, wrong), columns_of(program), drawn=True)
        verdicts = {step.target.tensor: figure.verdict for step, figure in compare_steps(watch, point, precision)}
        assert len(verdicts) >= 20
        assert [name for name, verdict in verdicts.items() if verdict != "holds"][:1] == [wrong] * bool(wrong)


@pytest.mark.thorough
def test_a_fault_within_a_loop_over_time(monkeypatch, forget_derivatives):
    """A wrong rule is named by its stage and step within a loop over time, too."""
    monkeypatch.setattr(functions.tanh, "fdiff", lambda self, argindex=1: functions.sech(self.args[0]))
    forget_derivatives()
    certificate = nn.certify(gathered(), points=1, fit=False)
    assert not certificate.holds
    assert certificate.faults[0].stage == "differentiate"


class Fields:
    """The output of a network, its derivatives by inputs, and an equation in these, as NumPy computes them."""

    dtype = np.float64
    _model = SimpleNamespace(facts=SimpleNamespace(samples=SimpleNamespace(terms=1)))

    def __init__(self, companions, factor=1.0):
        self._program = next(each.program for each in companions if each.name == "fields")
        self._factor = factor

    def derivatives(self, parameters, X):
        columns = sum(tensor.size for tensor in self._program.targets)
        values = evaluate(self._program, parameters, X, np.ones((len(X), columns)))
        names = [element.tensor for element in self._program.outputs if element.tensor != "data"]
        return {name: self._factor * np.ravel(values[name]) for name in names}


def test_derivatives_by_inputs_whose_digits_a_precision_loses():
    """Where rounding the steps explains an error, as that of far saturated layers, the result is not called wrong."""
    both = nn.Input((x, t))
    h = nn.Dense(3, "tanh")(both)
    losses = {"equation": u.diff(t) + u * u.diff(x) - u.diff(x, 2), "data": u - y}
    network = nn.Network(both, {u: nn.Dense(1)(h * nn.Dense(3, "tanh")(h))}, losses=losses)
    stages = nn.compile_model(network, until="simplify", fit=False)
    program, simplified = without_derivatives(stages["describe"]), stages["simplify"]
    companions = stages.findings.companions.simplified
    programs = Programs(program, program, simplified, (), companions=companions)

    def verdicts(kind, number, factor=1.0):
        """The verdicts at a point, where the machine is off by a factor."""
        draw = Points(program, simplified, 3, KINDS.index(kind))
        point = [draw.of(kind) for _ in range(number)][-1]
        results = settled(program, point.parameters, point.X, point.Y)
        examined = Examined(programs, point, results, precision_of("float64"), number - 1, 2)
        with mpmath.workdps(results.digits), np.errstate(all="ignore"):
            fields = updates_and_hessians._Others(examined).fields(Fields(companions, factor))
            return {result.figure.quantity: result.figure.verdict for result in fields}

    assert verdicts("huge", 3)["derivatives: equation"] in ("digits lost", "out of range")
    assert {*verdicts("ordinary", 1).values()} == {"holds"}
    assert {*verdicts("ordinary", 1, 1 + 1e-12).values()} == {"wrong"}
