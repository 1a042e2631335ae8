"""The choice ``digits`` wherever a model goes: exports, certificates, the evaluator, and the command line."""

import mpmath
import numpy as np
import pytest
import sympy
from click.testing import CliRunner

import nncodegen as nn
from nncodegen.cli.commands import command
from nncodegen.compiler.pipeline import evaluated_module
from nncodegen.errors import ModelError
from tests.support.plain import loaded

t, target, k = sympy.symbols("t target k")
ROOTS = sympy.sqrt(k * t + 1) - sympy.sqrt(k * t)
T = np.array([[2.0**exponent] for exponent in range(-20, 60, 7)])


def model(name="roots", loss=ROOTS):
    return nn.Model(name, t, target, {k: 1}, ROOTS, loss)


@pytest.fixture(scope="module")
def exact():
    with mpmath.workdps(60):
        return np.array([[float(mpmath.sqrt(mpmath.mpf(float(p)) + 1) - mpmath.sqrt(float(p)))] for p in T[:, 0]])


def test_plain_c(tmp_path, exact):
    """Plain C has the chosen form for the outputs, the loss, and the gradient of the loss."""
    options = {"train": True, "digits": "best"}
    models = {"kept": (model(), options), "lost": (model(), {"train": True, "digits": "off"})}
    kept, lost = (loaded(tmp_path, models)[name] for name in models)
    ones, targets = np.ones(1), np.zeros((len(T), 1))
    assert np.allclose(kept.predict(ones, T), exact, rtol=1e-15, atol=0)
    assert not np.allclose(lost.predict(ones, T), exact, rtol=1e-3, atol=0)
    assert np.allclose(kept.loss(ones, T, targets), exact[:, 0], rtol=1e-15, atol=0)
    for row, value in zip(T[3:], exact[3:, 0], strict=True):  # the derivative by k is -t*value/(2*sqrt(t)*sqrt(t + 1))
        _, gradient = kept.loss_and_gradient(ones, row[None], targets[:1])
        with mpmath.workdps(60):
            point = mpmath.mpf(float(row[0]))
            expected = point / 2 * (1 / mpmath.sqrt(point + 1) - 1 / mpmath.sqrt(point))
        assert np.isclose(gradient[0], float(expected), rtol=4e-15, atol=0), value


def test_onnx(tmp_path, exact):
    """ONNX has the chosen form."""
    runtime = pytest.importorskip("onnxruntime")
    nn.export(model(), "onnx", tmp_path, digits="best")
    session = runtime.InferenceSession(str(tmp_path / "roots.onnx"))
    (outcome,) = session.run(None, {session.get_inputs()[0].name: T})
    assert np.allclose(outcome, exact, rtol=1e-15, atol=0)


def test_without_a_compiler(exact):
    """The evaluator, which predicts where there is no compiler, has the chosen form."""
    with pytest.warns(RuntimeWarning, match="for a test of forms"):  # told once in a process for each reason
        module = evaluated_module(model("evaluated_roots"), reason="for a test of forms", choices={"digits": "best"})
    assert np.allclose(module.predict(np.ones(1), T), exact, rtol=1e-15, atol=0)


@pytest.mark.thorough
def test_certificates():
    """A module with chosen forms has a certificate that holds, and holds again when it is verified."""
    squares = nn.Model("certified_roots", t, target, {k: 1}, ROOTS)
    certificate = nn.certify(squares, digits="best")
    assert certificate.holds
    module = nn.build(squares, choices={"digits": "best"})
    assert nn.verify(module).holds
    assert certificate.program["digits"] == "best"
    assert certificate.kept[0].startswith("output: difference of roots; at")
    assert "forms of output: difference of roots" in str(certificate)


def test_refused_choices():
    """Exports and certificates refuse other texts, as builds do."""
    for call in (lambda: nn.export(model(), "c", digits="much"), lambda: nn.certify(model(), digits="much")):
        with pytest.raises(ModelError, match="digits must be one of 'off', 'fast', 'best', not 'much'"):
            call()


def test_show(tmp_path):
    """``show --digits`` prints what the search has done, with the operations before and after."""
    file = tmp_path / "roots.py"
    file.write_text(
        "import nncodegen as nn\nfrom sympy import sqrt, symbols\nt, y, k = symbols('t y k')\n"
        "model = nn.Model('roots', t, y, {k: 1}, sqrt(k*t + 1) - sqrt(k*t))\n",
        encoding="utf-8",
    )
    shown = CliRunner().invoke(command, ["show", str(file), "--digits", "best", "--stage", "stabilize"])
    assert shown.exit_code == 0
    assert "output: difference of roots; at" in shown.output
    assert "operations instead of" in shown.output
