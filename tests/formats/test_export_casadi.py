"""Exports for CasADi: it finds exact derivatives by itself, IPOPT solves with them, and acados can call them."""

import ctypes
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.check import random_data
from nncodegen.compiler.describe import describe
from nncodegen.compiler.ir import evaluate
from nncodegen.formats.export.initial_parameters import start_of
from nncodegen.formats.export.programs import of_outputs
from tests.support import SUPPORT
from tests.support.casadi import ExternalFunction, compiled
from tests.support.compilers import WARNINGS

x1, x2, x3, y1, y2, a, b = sympy.symbols("x1 x2 x3 y1 y2 a b")
FORMULA = nn.Model("formula", [x1, x2, x3], [y1, y2], {a: 0.5, b: 2}, [sympy.exp(-a * x1) * sympy.sin(b * x2), b * x3])
CLASSES = nn.Sequential(
    [nn.Dense(4, "tanh"), nn.Dropout(0.5), nn.Dense(3, "softmax")], 2, loss="categorical_crossentropy", name="classes"
)
CURVE = nn.Sequential([nn.Dense(8, "tanh"), nn.Dense(8, "softplus"), nn.Dense(1)], 2, loss="mse", name="curve")
LINEAR = nn.Sequential([nn.Dense(2)], inputs=3, loss="mse", name="linear")
TINY = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(2, "softmax")], 1, loss="categorical_crossentropy", name="tiny")
RELU = nn.Sequential([nn.Dense(2, "relu"), nn.Dense(1)], inputs=1, loss="mse", name="relu")
NORMALIZED = [nn.Dense(2), nn.BatchNormalization(), nn.BatchNormalization(frozen=True), nn.Dense(1)]
AT_REST = nn.Sequential(NORMALIZED, 1, loss="mse", name="at_rest")
"""Its parameters are also moving statistics, which training does not change by their derivatives."""
MODELS = {
    "relu": RELU,
    "formula": FORMULA,
    "classes": CLASSES,
    "curve": CURVE,
    "linear": LINEAR,
    "tiny": TINY,
    "at_rest": AT_REST,
}
NAMES = ["formula", "formula_trained", "classes_trained", "curve_trained", "linear", "tiny", "relu", "at_rest"]
FUNCTIONS = ("{}", "jac_{}", "adj1_{}", "jac_adj1_{}", "jac_jac_{}")
DIGITS, STEP = 50, mpmath.mpf("1e-16")


def start(model):
    """Parameters none of which is 0."""
    return start_of(describe(model)) + 0.25


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """The paths of all libraries, by the name of the function in it."""
    paths = {}
    for name in NAMES:
        model = MODELS[name.removesuffix("_trained")]
        parameters = start(model) if name.endswith("_trained") else None
        paths[name] = compiled(model, tmp_path_factory.mktemp(name), name, parameters)
    return paths


@pytest.fixture(scope="module")
def casadi():
    return pytest.importorskip("casadi")


@pytest.fixture(scope="module")
def external(libraries, casadi):
    """Functions of CasADi by their names."""
    return {name: casadi.external(name, str(path)) for name, path in libraries.items()}


def arguments(name):
    """The model, and exact arguments: inputs and, where they are not constants, parameters."""
    model = MODELS[name.removesuffix("_trained")]
    x = np.round(random_data(describe(model), 1)[0][0] * 64) / 64
    return model, [x] if name.endswith("_trained") else [x, start(model)]


def formulas(name):
    """A function of all arguments in one array: the outputs of the described formulas, with 50 digits."""
    model, vectors = arguments(name)
    program = of_outputs(describe(model))

    def outputs(z):
        parameters = z[len(vectors[0]) :] if len(vectors) == 2 else start(model)
        values = evaluate(program, parameters, [z[: len(vectors[0])]], digits=DIGITS)
        return np.concatenate([np.ravel(values[element.tensor]) for element in program.outputs])

    return outputs, np.array([mpmath.mpf(value) for value in np.concatenate(vectors)], object)


@cache
def derivatives(name):
    """The outputs (O,) of the described formulas, their Jacobian (O, A) and Hessians (O, A, A) by all arguments.

    They are differences with 50 digits.
    """
    outputs, z = formulas(name)
    with mpmath.workdps(DIGITS):
        steps = np.diag([STEP] * len(z))
        slopes = [(outputs(z + e) - outputs(z - e)) / (2 * STEP) for e in steps]
        curvature = [
            [
                (outputs(z + e + f) - outputs(z + e - f) - outputs(z - e + f) + outputs(z - e - f)) / (4 * STEP**2)
                for f in steps
            ]
            for e in steps
        ]
        return outputs(z).astype(float), np.array(slopes, float).T, np.array(curvature, float).transpose(2, 0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives_are_those_of_the_formulas(name, external):
    """CasADi's values, Jacobian and Hessians are those of the described formulas, as differences with 50 digits."""
    function, (_, vectors) = external[name], arguments(name)
    expected, slopes, curvature = derivatives(name)
    np.testing.assert_allclose(function(*vectors).full().ravel(), expected, rtol=1e-13, atol=1e-14)
    jacobian = function.jacobian()
    matrix = np.hstack([each.full() for each in jacobian.call([*vectors, 0])])
    np.testing.assert_allclose(matrix, slopes, rtol=1e-11, atol=1e-12)
    second = jacobian.jacobian()
    results = [each.full() for each in second.call([*vectors, *[0] * (1 + len(vectors))])]
    rows = [np.hstack(results[k : k + len(vectors)]) for k in range(0, len(results), len(vectors) + 1)]
    by_columns = curvature.transpose(1, 0, 2).reshape(-1, curvature.shape[2])
    np.testing.assert_allclose(np.vstack(rows), by_columns, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_hessians_of_expressions_are_exact(name, external, casadi):
    """The Hessian of the sum of the sines of the outputs, by all arguments, is that of the chain rule."""
    function, (_, vectors) = external[name], arguments(name)
    sizes = [len(argument) for argument in vectors]
    v = casadi.MX.sym("v", sum(sizes))
    parts = casadi.vertsplit(v, [0, *np.cumsum(sizes).tolist()])
    hessian = casadi.Function("hessian", [v], [casadi.hessian(casadi.sum1(casadi.sin(function(*parts))), v)[0]])
    values, slopes, curvature = derivatives(name)
    expected = np.tensordot(np.cos(values), curvature, 1) - slopes.T @ (np.sin(values)[:, None] * slopes)
    np.testing.assert_allclose(hessian(np.concatenate(vectors)).full(), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_its_own_derivatives_are_used(name, external):
    """CasADi finds the derivatives in the library, under the names and shapes that it would generate itself."""
    function = external[name]
    adjoint, jacobian = function.reverse(1), function.jacobian()
    derived = [jacobian, adjoint, adjoint.jacobian(), jacobian.jacobian()]
    assert [each.name() for each in derived] == [text.format(name) for text in FUNCTIONS[1:]]
    for each in (function, *derived):
        assert each.class_name() == "External"
    variables = [("x", function.size1_in(0)), *([("p", function.size1_in(1))] if function.n_in() == 2 else [])]
    rows = [(f"adj_{name}", size) for name, size in variables]
    known = [("out_y", function.size1_out(0)), ("adj_y", function.size1_out(0))]
    names = [f"jac_{row}_{column}" for row, _ in rows for column, _ in (*variables, *known)]
    assert derived[2].name_out() == names
    assert [derived[2].size_out(k) for k in range(len(names))] == [
        (size, other) for _, size in rows for _, other in (*variables, *known)
    ]


def test_formulas_have_exact_patterns(external):
    """Of formulas, entries that are 0 are not stored; Hessians have symmetric patterns."""
    jacobian = external["formula_trained"].jacobian()
    assert jacobian.sparsity_out(0).nnz() == 3
    hessian = external["formula"].reverse(1).jacobian()
    patterns = {name: hessian.sparsity_out(k) for k, name in enumerate(hessian.name_out())}
    assert patterns["jac_adj_x_x"].nnz() == 4
    assert patterns["jac_adj_x_x"].is_symmetric()
    assert patterns["jac_adj_p_x"] == patterns["jac_adj_x_p"].T
    assert patterns["jac_adj_x_out_y"].nnz() == 0


def test_ipopt_solves_with_a_network_as_constraint(external, casadi, capfd):
    """IPOPT finds the nearest point of a level line of a network; its own checks find no wrong derivative."""
    network, x = external["curve_trained"], casadi.MX.sym("x", 2)
    level = float(network([0.5, -0.75]))
    problem = {"x": x, "f": casadi.sumsqr(x - casadi.DM([0.25, 0.5])), "g": network(x)}
    options = {"ipopt.derivative_test": "second-order", "print_time": False}
    solver = casadi.nlpsol("solver", "ipopt", problem, options)
    optimum = solver(x0=[0.1, 0.2], lbg=level, ubg=level)
    assert solver.stats()["return_status"] == "Solve_Succeeded"
    assert solver.stats()["iter_count"] < 15
    assert "No errors detected by derivative checker" in capfd.readouterr().out
    solution, multiplier = optimum["x"].full().ravel(), float(optimum["lam_g"])
    outputs, _ = formulas("curve_trained")
    steps = np.diag([1e-20] * 2)
    with mpmath.workdps(DIGITS):
        point = np.array([mpmath.mpf(value) for value in solution], object)
        slope = [(outputs(point + e) - outputs(point - e))[0] / 2e-20 for e in steps]
        assert abs(float(outputs(point)[0]) - level) < 1e-7
    np.testing.assert_allclose(2 * (solution - [0.25, 0.5]) + multiplier * np.array(slope, float), 0, atol=1e-6)


def test_parameters_may_be_variables(external, casadi):
    """With parameters as an argument, IPOPT fits a formula to points that lie on it."""
    function = external["formula"]
    x = np.random.default_rng(0).uniform(0.5, 1.5, (3, 12))
    p = casadi.MX.sym("p", 2)
    residuals = [function(x[:, k], p) - function(x[:, k], [0.75, 1.5]) for k in range(12)]
    problem = {"x": p, "f": casadi.sumsqr(casadi.vertcat(*residuals))}
    options = {"ipopt.print_level": 0, "print_time": False, "ipopt.sb": "yes"}
    solver = casadi.nlpsol("solver", "ipopt", problem, options)
    solution = solver(x0=[0.5, 2])
    assert solver.stats()["success"]
    np.testing.assert_allclose(solution["x"].full().ravel(), [0.75, 1.5], rtol=1e-6)


def test_integrators_have_sensitivities(external, casadi):
    """CVODES integrates a network as right-hand side; the sensitivities to the start are those of differences."""
    network, x = external["classes_trained"], casadi.MX.sym("x", 2)
    options = {"abstol": 1e-11, "reltol": 1e-11}
    flow = casadi.integrator("flow", "cvodes", {"x": x, "ode": network(x)[:2]}, 0, 1, options)
    ends = lambda x: flow(x0=x)["xf"].full().ravel()  # noqa: E731
    sensitivities = flow.factory("sensitivities", ["x0"], ["jac:xf:x0"])([1, -0.5]).full()
    step = 2.0**-12
    expected = [(ends([1 + a, b - 0.5]) - ends([1 - a, -b - 0.5])) / (2 * step) for a, b in [(step, 0), (0, step)]]
    np.testing.assert_allclose(sensitivities, np.array(expected).T, rtol=1e-5, atol=1e-6)


def test_c_that_casadi_generates_calls_it(external, libraries, casadi, tmp_path, monkeypatch):
    """The C of expressions that acados makes of an explicit model with the function links the library, and is right.

    Those are the right-hand side, its derivatives in many directions at once and its adjoint, and products of the
    derivatives of the adjoint (acados_template, casadi_function_generation.py).
    """
    network, x, u = external["curve_trained"], casadi.MX.sym("x", 2), casadi.MX.sym("u", 2)
    seeds, directions = casadi.MX.sym("lam", 2), casadi.MX.sym("S", 2, 3)
    ode = network(x) * x - u
    adjoint = casadi.jtimes(ode, x, seeds, True)
    hessian = directions.T @ casadi.jtimes(adjoint, x, directions)
    expressions = {
        "expl_ode_fun": ([x, u], [ode]),
        "expl_vde_forw": ([x, directions, u], [ode, casadi.jtimes(ode, x, directions)]),
        "expl_vde_adj": ([x, seeds, u], [adjoint]),
        "expl_ode_hess": ([x, directions, seeds, u], [adjoint, hessian]),
    }
    functions = [casadi.Function(name, *sides) for name, sides in expressions.items()]
    monkeypatch.chdir(tmp_path)
    generator = casadi.CodeGenerator("expression.c", {"casadi_int": "int"})
    for function in functions:
        generator.add(function)
    generator.generate()
    folder = libraries["curve_trained"].parent
    link = [f"-L{folder}", f"-Wl,-rpath,{folder}", "-lcurve_trained", "-lm"]
    subprocess.run(["gcc", "-shared", "-fPIC", "expression.c", "-o", "expression.so", *link], check=True)
    library = ctypes.CDLL("./expression.so")
    generator = np.random.default_rng(0)
    for function in functions:
        vectors = [generator.normal(size=function.size_in(k)) for k in range(function.n_in())]
        results = ExternalFunction(library, function.name())(*vectors)
        for each, expected in zip(results, function.call([casadi.DM(a.tolist()) for a in vectors]), strict=True):
            np.testing.assert_allclose(each, expected.full(), rtol=1e-13, atol=1e-14)


# --- without CasADi ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """The functions of two models as acados knows them, with ``int`` for casadi_int."""
    by_model = {}
    for name in ("formula", "curve_trained"):
        model = MODELS[name.removesuffix("_trained")]
        parameters = start(model) if name.endswith("_trained") else None
        path = compiled(model, tmp_path_factory.mktemp("acados"), name, parameters, ["-Dcasadi_int=int"])
        library = ctypes.CDLL(str(path))
        by_model[name] = [ExternalFunction(library, text.format(name)) for text in FUNCTIONS]
    return by_model


@pytest.mark.parametrize("name", ["formula", "curve_trained"])
def test_acados_finds_what_it_asks_for(name, functions):
    """With what acados asks for it can call all functions: results agree with each other, and memory with its size."""
    values, jacobian, adjoint, hessian, _ = functions[name]
    _, vectors = arguments(name)
    outputs, z = formulas(name)
    (y,) = values(*vectors)
    np.testing.assert_allclose(y.ravel(), outputs(z).astype(float), rtol=1e-13)
    seeds = np.linspace(-1, 2, len(y))
    slopes = np.hstack(jacobian(*vectors, y))
    np.testing.assert_allclose(np.vstack(adjoint(*vectors, y, seeds)).ravel(), slopes.T @ seeds, rtol=1e-12, atol=1e-14)
    blocks = hessian(*vectors, y, seeds, *map(np.zeros_like, vectors))
    width = len(vectors) + 2
    curvature = np.block([blocks[k : k + len(vectors)] for k in range(0, len(blocks), width)])
    np.testing.assert_allclose(curvature, curvature.T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.vstack(blocks[width - 1 :: width]), slopes.T, rtol=1e-14)
    changed = np.concatenate(vectors)
    changed[0] += 2.0**-20
    after = adjoint(*np.split(changed, [len(vectors[0])])[: len(vectors)], y, seeds)
    difference = (np.vstack(after) - np.vstack(adjoint(*vectors, y, seeds))).ravel() * 2.0**20
    np.testing.assert_allclose(difference, curvature[0], rtol=1e-4, atol=1e-5)


def test_arguments_and_results_may_be_null(functions):
    """An argument that is NULL is zeros; a result that is NULL is not computed, and the others are the same."""
    values, jacobian, _, hessian, _ = functions["formula"]
    x = [0.5, 0.25, -1.0]
    np.testing.assert_array_equal(values(None, [0.5, 2.0])[0], values(np.zeros(3), [0.5, 2.0])[0])
    everything = jacobian(x, [0.5, 2.0], None)
    assert jacobian(x, [0.5, 2.0], None, wanted=[1])[0] is None
    np.testing.assert_array_equal(jacobian(x, [0.5, 2.0], None, wanted=[1])[1], everything[1])
    assert not np.any(hessian(x, [0.5, 2.0], None, None, None, None, wanted=[0])[0])


def test_threads_may_call_it_at_the_same_time(functions):
    """Calls in four threads, each with work memory of its own, give the same bits as one after the other."""
    hessian = functions["curve_trained"][3]
    points = np.random.default_rng(0).normal(size=(200, 2))
    call = lambda x: hessian(x, None, [1.0], None)[0]  # noqa: E731
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(call, points))
    np.testing.assert_array_equal(together, [call(x) for x in points])


def test_the_makefile_builds_it(tmp_path):
    """``make`` gives NAME.so, and ``make libNAME.so`` the same for a linker."""
    if not shutil.which("make"):
        pytest.skip("needs make")
    exported = nn.export(FORMULA, "casadi", tmp_path)
    assert "formula.so" in exported.report
    subprocess.run(["make", "formula.so", "libformula.so"], cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "formula.so").read_bytes()[:4] == (tmp_path / "libformula.so").read_bytes()[:4]


def test_clang_has_no_complaint(tmp_path):
    """The C is C99 for Clang, too, and so is the header for C++."""
    if not shutil.which("clang"):
        pytest.skip("needs clang")
    nn.export(FORMULA, "casadi", tmp_path)
    nn.export(CLASSES, "casadi", tmp_path / "classes", parameters=start(CLASSES))
    strict = [*WARNINGS, "-fsyntax-only"]
    subprocess.run(["clang", "-std=c99", "-Wconversion", *strict, "formula.c"], cwd=tmp_path, check=True)
    subprocess.run(["clang", "-std=c99", "-Wconversion", *strict, "classes/classes.c"], cwd=tmp_path, check=True)
    subprocess.run(["clang", "-x", "c++", *strict, "formula.h"], cwd=tmp_path, check=True)


@pytest.mark.parametrize("name", ["formula", "classes_trained", "tiny"])
def test_sanitizers_have_no_complaint(name, libraries, tmp_path):
    """With arguments, results and work memory of just the right size, nothing beside them is read or written."""
    folder = libraries[name].parent
    options = ["-std=c99", "-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover", f"-I{folder}"]
    defined = [f"-DMODEL={name}", f'-DMODEL_H="{name}.h"']
    sources = [SUPPORT / "casadi_run.c", folder / f"{name}.c"]
    subprocess.run(["gcc", *options, *defined, *sources, "-lm", "-o", "run"], cwd=tmp_path, check=True)
    done = subprocess.run(["./run"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_single_precision_becomes_double(tmp_path):
    """A model in float32 is exported with the same parameters in double, and that is said."""
    parameters = start(CURVE).astype("float32")
    exported = nn.export(CURVE, "casadi", tmp_path, parameters=parameters, precision="float32")
    assert "float64" in exported.report
    assert f"{float(parameters[0])!r}, {float(parameters[1])!r}" in exported.files["curve.c"].decode()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": True}, "no --train"),
        ({"vectors": True}, "no --vectors"),
        ({"libm": False}, "no --no-libm"),
        ({"cross": "aarch64-linux-gnu"}, "no --cross"),
        ({"name": "exp"}, "another name"),
        ({"name": "main"}, "another name"),
    ],
)
def test_what_it_cannot_do_is_refused(options, message, tmp_path):
    """Options that mean nothing here, and names that C or its library has, are refused before anything is written."""
    with pytest.raises(nn.ModelError, match=message):
        nn.export(FORMULA, "casadi", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
