"""Certificates: the exact values, the points, what is said of errors, the file, and its verification."""

import json
import shutil
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.certificates import exact
from nncodegen.certificates.description import from_data, to_data
from nncodegen.certificates.examination_points import KINDS, Points
from nncodegen.certificates.independent_model import given
from nncodegen.certificates.precision import settled
from nncodegen.certificates.scheduled import carried_out
from nncodegen.reports.certificate import find_certificate

pytestmark = pytest.mark.usefixtures("quick_compiler")

a, b, c, x, y = sympy.symbols("a b c x y")
NETWORK = nn.Sequential([nn.Dense(3, "relu"), nn.Dense(2, "softmax")], 2, "categorical_crossentropy", name="certified")
LOGISTIC = 1 / (1 + sympy.exp(-(a * x + b)))


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Give these tests a cache of their own: workers that share one write the certificate of the same module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNCODEGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def certificate(own_cache, quick_compiler):
    """That of a small network."""
    return nn.certify(NETWORK, points=1, fit=False)


@pytest.fixture(scope="module")
def module(certificate):
    """The module that has it."""
    return nn.build(NETWORK, fit=False)


# --- exact values ------------------------------------------------------------------------------------------------


def test_exact_derivatives_of_a_program():
    """The reverse sweep over a described program gives what differences of many digits give, for each parameter."""
    reference = nn.compile_model(NETWORK, until="describe")["describe"]
    random = np.random.default_rng(0)
    parameters, X, Y = random.normal(size=17), random.normal(size=(2, 2)), np.array([[1.0, 0.0], [0.3, 0.7]])
    with mpmath.workdps(100):
        values = exact.run(reference, exact.bind(reference, parameters, X, Y))
        derivatives = exact.derivatives(reference, values)
        flat = np.concatenate([np.asarray(derivatives[tensor.name]).reshape(-1) for tensor in reference.parameters])

        def loss(number, k):
            moved = exact.many(parameters).copy()
            moved[k] = number
            return exact.run(reference, exact.bind(reference, moved, X, Y))["loss"].item()

        for k in range(17):
            assert abs(flat[k] - mpmath.diff(lambda t, k=k: loss(t, k), mpmath.mpf(parameters[k]))) < 1e-40


def test_as_many_digits_as_it_takes():
    """Where 120 digits are not enough for log(1 - f), more are taken: the loss is the softplus."""
    model = nn.Model("saturated", x, y, {a: 1, b: 0}, LOGISTIC, -sympy.log(1 - LOGISTIC))
    program = nn.compile_model(model, until="describe")["describe"]
    exact_values = settled(
        given(model, program, None)[0], np.array([700.0, 0.0]), np.array([[1.0], [-1.0]]), np.array([[0.0], [0.0]])
    )
    with mpmath.workdps(60):
        assert abs(exact_values.losses[0] / mpmath.log1p(mpmath.exp(700)) - 1) < mpmath.mpf(10) ** -50
        assert abs(exact_values.losses[1] / mpmath.log1p(mpmath.exp(-700)) - 1) < mpmath.mpf(10) ** -50
    assert exact_values.digits > 300


# --- points ------------------------------------------------------------------------------------------------------


def test_points():
    """Points have numbers of the precision; those at branches have the argument of a relu at 0, or next to it."""
    stages = nn.compile_model(NETWORK, "float32", until="simplify", fit=False)
    draw = Points(stages["describe"], stages["simplify"], rows=3, seed=0)
    for kind in KINDS:
        point = draw.of(kind)
        for part in (point.parameters, point.X, point.Y):
            assert np.array_equal(part, part.astype("float32"))
    nearest = []
    for _ in range(6):
        point = draw.of("at branches")
        values = nn.evaluate(stages["describe"], point.parameters, point.X, point.Y)
        z = np.concatenate([values["z1"][0], [values["z2"][0, 0] - values["z2"][0, 1]]])
        nearest.append(min(abs(z)) < 1e-6)
    assert all(nearest)


# --- what is said ------------------------------------------------------------------------------------------------


def test_a_certificate(certificate, module):
    """It has a figure for each output, the loss and each parameter at each kind of points; and for each step."""
    quantities = {"definitions", "h2", "loss", "d_W1", "d_b1", "d_W2", "d_b2"}
    results = [figure for figure in certificate.figures if not figure.quantity.startswith("update")]
    assert {(figure.quantity, figure.kind) for figure in results} == {
        (quantity, kind) for quantity in quantities for kind in KINDS
    }
    assert certificate.holds
    assert not certificate.faults
    assert all(figure.error <= figure.bound for figure in certificate.figures)
    ordinary = [figure for figure in certificate.figures if figure.kind == "ordinary"]
    assert max(figure.error for figure in ordinary) < 100
    assert certificate.identity == module._model.facts.identity
    assert any(step.step.startswith("d_z1[n, j] = ") for step in certificate.steps)
    assert "certificate of certified, float64: holds" in str(certificate)
    assert "\nnot examined: updates after the first, but for plain gradient descent; penalties" in str(certificate)
    assert "<td>d_W1</td>" in certificate._repr_html_()


def test_derivatives_in_another_order():
    """A derivative whose axes stand in another order than those of its tensor is compared in that order."""
    model = nn.Sequential([nn.Polynomial(2, 2, "tanh"), nn.Dense(1)], 2, name="ordered")
    program = nn.compile_model(model, until="differentiate", fit=False)["differentiate"]
    steps = {step.target.tensor: step.target.indices for step in program.steps}
    pairs = [(indices, steps[f"d_{name}"]) for name, indices in steps.items() if f"d_{name}" in steps]
    assert any(sorted(first) == sorted(second) and first != second for first, second in pairs)
    assert nn.certify(model, points=1, fit=False).holds


def test_single_precision():
    """In single precision, errors are in units of its last place."""
    certified = nn.certify(NETWORK, precision="float32", points=1, fit=False)
    assert certified.holds
    assert certified.precision == "float32"
    assert 0.05 < max(figure.error for figure in certified.figures if figure.kind == "ordinary") < 100


def test_digits_that_a_formula_loses():
    """Where the formula itself loses digits, that is said of the figure, and nothing is called wrong."""
    lost = (a + b) - (a + b) * nn.sigmoid(c * x)
    certified = nn.certify(nn.Model("lost", x, y, {a: 1.25, b: 1.5, c: 1}, lost), points=2, fit=False)
    assert certified.holds
    verdicts = {(figure.quantity, figure.kind): figure.verdict for figure in certified.figures}
    assert verdicts["output", "saturated"] == "digits lost"
    assert verdicts["output", "tiny"] == "holds"


def test_the_schedule_is_carried_out():
    """The loops of right schedules give the values of the program, whatever their plans."""
    random = np.random.default_rng(0)
    for model in (
        nn.Sequential([nn.Dense(32, "tanh"), nn.Dense(10, "softmax")], 64, "categorical_crossentropy"),
        nn.Sequential([nn.WideAndDeep([nn.Dense(3, "gelu")], 2, "sigmoid")], 2, "binary_crossentropy"),
        nn.Model("two", x, y, {a: 1, b: 2}, (a * x, sympy.exp(b) * x), loss=(a * x - y) ** 2 + sympy.exp(b * x)),
    ):
        schedule = nn.compile_model(model, until="schedule", fit=False)["schedule"]
        program = schedule.program
        columns = [sum(tensor.size for tensor in tensors) for tensors in (program.inputs, program.targets)]
        X, Y = (random.uniform(0.1, 0.9, (3, count)) for count in columns)
        assert carried_out(schedule, random.uniform(0.1, 1, program.parameter_count), X, Y) is None


# --- the file ----------------------------------------------------------------------------------------------------


def test_the_module_carries_it(certificate, module, tmp_path):
    """It is read from the file beside the module, as it was; and not where that is the certificate of another file."""
    assert module.certificate == certificate
    assert "certificate" in dir(module)
    with pytest.raises(AttributeError, match="has no attribute 'certificates'"):
        module.certificates  # noqa: B018
    path = Path(module.__file__)
    beside = path.with_name("certified.certificate.json")
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes() + b" ")
    shutil.copy(beside, tmp_path)
    with pytest.raises(nn.ModelError, match="is the certificate of another file"):
        nn.verify(copy)


def test_a_report_looks_in_the_folder_of_the_command(certificate, module, tmp_path, monkeypatch):
    """Where the cache has no module, the certificate in generated/NAME is found, if it is that of the module there."""
    stages = nn.compile_model(NETWORK, until="emit", fit=False)
    folder = tmp_path / "generated" / "certified"
    folder.mkdir(parents=True)
    path = Path(shutil.copy(module.__file__, folder))
    shutil.copy(Path(module.__file__).with_name("certified.certificate.json"), folder)
    monkeypatch.chdir(tmp_path)
    assert find_certificate(stages.sources, stages["describe"]) == certificate
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path / "cache"))
    assert find_certificate(stages.sources, stages["describe"]) == certificate
    path.write_bytes(path.read_bytes() + b" ")
    assert find_certificate(stages.sources, stages["describe"]) is None


def test_verify(certificate, module, tmp_path):
    """A module verifies by its file or its folder; with bounds that are tighter than its errors, it does not hold."""
    path = Path(module.__file__)
    shutil.copy(path, tmp_path)
    with pytest.raises(nn.ModelError, match=r"certified\.certificate\.json is missing"):
        nn.verify(tmp_path)
    written = tmp_path / "certified.certificate.json"
    written.write_text(certificate.to_json())
    again = nn.verify(tmp_path)
    assert again.holds
    kept = [f.error for f in certificate.figures if f.quantity != "definitions"]  # which a program does not know
    assert [f.error for f in again.figures] == kept
    data = json.loads(certificate.to_json())
    for figure in data["figures"]:
        figure["bound"] *= 1e-9
    written.write_text(json.dumps(data))
    assert not nn.verify(tmp_path / path.name).holds
    data["program"]["steps"][1][4] = ["__import__", "os"]
    written.write_text(json.dumps(data))
    with pytest.raises(nn.ProgramError, match="cannot be read"):
        nn.verify(tmp_path)
    data["program"] = certificate.program
    data["identity"] = "0" * 64
    written.write_text(json.dumps(data))
    with pytest.raises(nn.ModelError, match="computes another model"):
        nn.verify(tmp_path)
    written.write_text("{}")
    with pytest.raises(nn.ModelError, match="is no certificate"):
        nn.verify(tmp_path)


def test_what_can_be_certified(module):
    """A module and its model can be certified, or a module that has a certificate; nothing else."""
    assert nn.certify(module, NETWORK, points=1).holds
    assert nn.certify(module, points=1).reference == "the program of the model"
    with pytest.raises(nn.ModelError, match="computes another model"):
        nn.certify(module, nn.Sequential([nn.Dense(2)], 2))
    with pytest.raises(nn.ModelError, match="neither a model nor a module"):
        nn.certify(3)
    with pytest.raises(ValueError, match="points must be a positive integer"):
        nn.certify(NETWORK, points=0)


def test_descriptions():
    """A described program is read back as it was, with every kind of expression, number and initial value."""
    piecewise = sympy.Piecewise((sympy.sin(x) / x, (x > sympy.Float("0.1", 30)) & (x < 3)), (nn.log_cosh(x), True))
    formula = piecewise + sympy.sqrt(2) * sympy.pi * nn.xlogy(x, b) / 3 + sympy.Max(x, a) + sympy.Rational(1, 7) ** b
    models = [
        nn.Model("formula", x, y, {a: 1.5, b: 2}, formula),
        nn.Sequential([nn.Dense(2, lambda z: z * sympy.atan(z)), nn.Dropout(0.5), nn.Dense(1)], 2, "huber"),
        nn.Sequential([nn.Dense(1)], 2, initial={"W1": [[0.1, 0.2]], "b1": [3.0]}),
    ]
    for model in models:
        program = nn.compile_model(model, until="describe")["describe"]
        read = from_data(json.loads(json.dumps(to_data(program))))
        assert (read.steps, read.parameters, read.noise) == (program.steps, program.parameters, program.noise)


def test_noise_that_is_a_formula():
    """A likelihood, and derivatives of outputs by the rows of its fit, which have seeds, are as exact as others."""
    model = nn.Model("noisy", "x", "y", {"A": 1, "k": 1, "s": 0.1}, "A*exp(-k*x)", noise=nn.noise.laplace("s*output"))
    certificate = nn.certify(model, points=1)
    assert {"loss", "d_s", "jacobian", "hessian"} <= {figure.quantity for figure in certificate.figures}
    assert not certificate.faults
    assert not any(figure.verdict == "wrong" for figure in certificate.figures)
