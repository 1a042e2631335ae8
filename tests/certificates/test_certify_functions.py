"""Certificates of functions of lambdify: values and derivatives against exact ones, and the faults that they find."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy as sp

import nncodegen as nn
from nncodegen.certificates import exact
from nncodegen.certificates.values import with_derivatives
from nncodegen.compiler import trial
from nncodegen.compiler.describe import values as describing
from nncodegen.compiler.describe.values import Values
from nncodegen.compiler.ir import functions
from nncodegen.compiler.passes.by_inputs import ByInputs
from nncodegen.errors import ModelError
from nncodegen.functions import interface as door
from nncodegen.functions.function import EvaluatedFunction
from nncodegen.runtime.python.ground.certificate import WRONG

pytestmark = pytest.mark.usefixtures("quick_compiler")

x, y = sp.symbols("x y")
WAVES = [sp.tanh(x * y) * sp.exp(-y), sp.Piecewise((x**2, x < y), (y * x, True))]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Give each test a cache of its own: a function with a fault has the key of the right one."""
    monkeypatch.setenv("NNCODEGEN_CACHE", str(tmp_path / "cache"))


def test_exact_derivatives_by_inputs():
    """First and second derivatives of a program by its inputs are those of mpmath to fifty digits."""
    asked = ByInputs(("x", "y"), jacobian=True, hessian=True)
    formula = sp.exp(x * y) / (x + y**2)
    program = with_derivatives(Values("formula", (x, y), (formula,)).describe(), asked)
    point = np.array([[0.5, 0.25], [2.0, -0.75]])
    with mpmath.workdps(100):
        values = exact.run(program, exact.bind(program, np.empty(0), point, np.empty((2, 0))))
        numbers = sp.lambdify((x, y), formula, "mpmath")
        orders = {"jacobian 1": (1, 0), "jacobian 2": (0, 1)}
        orders |= {"hessian 1": (2, 0), "hessian 2": (1, 1), "hessian 3": (1, 1), "hessian 4": (0, 2)}
        for name, order in orders.items():
            for found, at in zip(values[name], point, strict=True):
                with mpmath.workdps(150):
                    expected = mpmath.diff(numbers, tuple(map(mpmath.mpf, at)), order)
                assert abs(found / expected - 1) < mpmath.mpf(10) ** -50


@pytest.mark.parametrize(
    ("options", "quantities"),
    [
        ({}, ["output1", "output2"]),
        ({"jacobian": [x, y], "precision": "float32"}, ["output1", "output2", "jacobian"]),
        ({"jvp": [x, y], "vjp": [x, y]}, ["output1", "output2", "jvp", "vjp"]),
    ],
)
def test_a_function_is_certified(options, quantities):
    """Values and derivatives hold, the certificate stays with the function, and its library is verified later."""
    function = nn.lambdify((x, y), WAVES, **options)
    assert function.certificate is None
    certificate = nn.certify(function, points=1)
    assert certificate.holds
    assert list(dict.fromkeys(figure.quantity for figure in certificate.figures)) == quantities
    assert certificate.reference == "the formulas of the model"
    assert {figure.kind for figure in certificate.figures} == set(certificate.points)
    assert function.certificate == certificate
    assert nn.verify(function).holds
    assert nn.verify(function.__file__).figures == certificate.figures


def test_hessians_are_certified():
    """The Hessian of a number holds; at branches, where it may jump, it is left out, and the certificate says so."""
    function = nn.lambdify((x, y), sp.sin(x * y) ** 2 + abs(x), jacobian=[x, y], hessian=[x, y])
    certificate = nn.certify(function, points=1)
    assert certificate.holds
    kinds = {figure.kind for figure in certificate.figures if figure.quantity == "hessian"}
    assert kinds == set(certificate.points) - {"at branches"}
    assert "the Hessian at branches" in certificate.left_out[0]
    assert "hessian" in str(certificate)


def test_a_wrong_derivative_is_a_fault_of_differentiate(monkeypatch, forget_derivatives):
    """A wrong rule for the derivative of tanh is found, though the function agrees with the stages."""
    monkeypatch.setattr(trial, "check_function", lambda *_: None)  # which finds it as well
    monkeypatch.setattr(functions.tanh, "fdiff", lambda self, argindex=1: 1.001 * functions.sech2(self.args[0]))
    forget_derivatives()
    certificate = nn.certify(nn.lambdify((x, y), WAVES, jacobian=[x, y]), points=1)
    assert not certificate.holds
    assert certificate.faults[0].stage == "differentiate"
    assert {figure.quantity for figure in certificate.figures if figure.verdict == WRONG} == {"jacobian"}


def test_a_wrong_description_is_a_fault_of_describe(monkeypatch):
    """The formulas as they were given judge what the first stage makes of them."""
    right = describing.check_expression
    monkeypatch.setattr(describing, "check_expression", lambda formula, *others: right(formula, *others) + x * 0 + 1)
    certificate = nn.certify(nn.lambdify((x, y), WAVES), points=1)
    assert certificate.faults[0].stage == "describe"


@pytest.mark.parametrize("kernel", ["values_of_point", "values_tile"])
def test_wrong_machine_code_is_a_fault_of_the_build(kernel, monkeypatch):
    """A library whose C is not that of the stages is found, in the kernel of a point as in that of many."""

    compile_it = door.build_function

    def spoiled(sources, key, march):
        (name,) = sources.files
        before, kernel_name, rest = sources.files[name].partition(kernel)
        assert "t1*y" in rest
        return compile_it(
            replace(sources, files={name: before + kernel_name + rest.replace("t1*y", "t1*y*2", 1)}), key, march
        )

    monkeypatch.setattr(door, "build_function", spoiled)
    certificate = nn.certify(nn.lambdify((x, y), sp.exp(x) * y), points=1)
    assert certificate.faults[0].stage == "build"


def test_what_cannot_be_certified_is_refused(monkeypatch):
    """A function without arguments, one that NumPy evaluates, and options of models are refused in words."""
    constant = nn.lambdify([], [sp.pi])
    with pytest.raises(ModelError, match="no arguments"):
        nn.certify(constant)
    with pytest.raises(ModelError, match="NumPy evaluates the function"):
        nn.certify(EvaluatedFunction(constant._facts))
    with pytest.raises(ModelError, match="certified as it was made"):
        nn.certify(constant, precision="float32")


def test_a_library_without_a_certificate_is_named():
    """A function that nobody certified cannot be verified."""
    function = nn.lambdify(x, sp.sin(x))
    with pytest.raises(ModelError, match="has no certificate"):
        nn.verify(function)
