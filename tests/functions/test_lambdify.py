"""Functions of SymPy's expressions: values, shapes, derivatives, and what is refused."""

import copy
import ctypes
import pickle
import platform
import pydoc
import subprocess
import warnings

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, given
from hypothesis import strategies as st
from sympy.physics.mechanics import dynamicsymbols

import nncodegen as nn
from nncodegen.compiler.building import compiler as compilers
from nncodegen.compiler.building import values as building
from nncodegen.errors import BuildError, CompilerNotFoundError, ModelError
from nncodegen.functions import interface as door
from nncodegen.functions.function import EvaluatedFunction

RNG = np.random.default_rng(58)

x, y, z = sp.symbols("x y z")
t = sp.Symbol("t")
q1, q2 = dynamicsymbols("q1 q2")


@pytest.fixture(scope="module")
def wave():
    """A function of two numbers, with what NumPy computes."""
    formula = sp.sin(x) * sp.exp(-y) + sp.sqrt(x**2 + 1)
    return nn.lambdify((x, y), formula), sp.lambdify((x, y), formula, "numpy")


@pytest.fixture(scope="module")
def product():
    """The product of two numbers plus one."""
    return nn.lambdify((x, y), x * y + 1)


@pytest.fixture
def without_compiler(monkeypatch):
    """A machine without a C compiler, and a cache that holds nothing of the test."""

    def missing(*_):
        raise CompilerNotFoundError("no C compiler was found")

    monkeypatch.setattr(building, "find_compiler", missing)
    monkeypatch.setattr(compilers, "find_compiler", missing)
    monkeypatch.setattr(door, "kept_function", lambda key: None)


# --- calls -------------------------------------------------------------------------------------------------------


def test_numbers_give_a_number(wave):
    """Floats, integers, bools and NumPy's scalars are numbers, and the result is a float."""
    f, expected = wave
    for arguments in ((0.3, 0.7), (2, 1), (True, 0), (np.float32(0.5), np.int64(3)), (np.array(0.3), 1)):
        value = f(*arguments)
        assert type(value) is float
        assert value == pytest.approx(float(expected(*map(float, arguments))), rel=1e-15)


@pytest.mark.parametrize(
    "shapes",
    [
        ((5,), ()),
        ((1000,), (1000,)),
        ((3, 1), (4,)),
        ((2, 3, 4), (3, 1)),
        ((0,), ()),
        ((1,), (1,)),
        ((7, 1, 600), (5, 1)),
    ],
)
def test_arrays_are_broadcast(wave, shapes):
    """Arrays of any shapes give what NumPy's functions give for them."""
    f, expected = wave
    a, b = (RNG.normal(size=shape) for shape in shapes)
    np.testing.assert_allclose(f(a, b), expected(a, b), rtol=1e-14, atol=1e-14)


def test_strides_do_not_matter(wave):
    """Arrays of any strides, unaligned ones and other types give the values of contiguous ones."""
    f, _ = wave
    a, b = RNG.normal(size=(2, 60, 70))
    whole = f(a, b)
    assert np.array_equal(f(a[::2, ::-3], b[::2, ::-3]), whole[::2, ::-3])
    assert np.array_equal(f(a.T, b.T), whole.T)
    assert f(a.T, b.T).flags.f_contiguous
    unaligned = np.frombuffer(b"0" + a.tobytes(), np.uint8)[1:].view(np.float64).reshape(a.shape)
    assert np.array_equal(f(unaligned, b), whole)
    whole_numbers = np.arange(-5, 5)
    assert np.array_equal(f(whole_numbers, whole_numbers), f(whole_numbers * 1.0, whole_numbers * 1.0))
    assert np.array_equal(f(a.astype(">f8"), b), whole)


def test_short_arrays_give_what_long_ones_give():
    """Short arrays, whose calls stay in C, give the bits of long ones, in any nesting and with any strides."""
    times, places = RNG.normal(size=9000), RNG.normal(size=(9000, 4))[:, ::2].T
    f = nn.lambdify([t, [q1, q2], [x]], [q1 * x + t, (sp.sin(q2) - x,), {"a": sp.Matrix([[x, 2], [q1, 4]])}])
    long = f(times, places, [4.0])
    short = f(times[:77], places[:, :77], (4,))
    assert np.array_equal(short[0], long[0][:77])
    assert np.array_equal(short[1][0], long[1][0][:77])
    assert np.array_equal(short[2]["a"], long[2]["a"][:77])
    assert short[2]["a"].shape == (77, 2, 2)


def test_a_point_does_not_depend_on_its_neighbours(wave):
    """The value at a point has the same bits wherever it lies in an array."""
    f, _ = wave
    a, b = RNG.normal(size=(2, 1031))
    whole = f(a, b)
    for begin, end in ((0, 1), (3, 10), (1024, 1031), (500, 1031)):
        assert np.array_equal(f(a[begin:end], b[begin:end]), whole[begin:end])


def test_out_is_written(product):
    """Results are written to out, which may be an argument, and which is returned."""
    out = np.empty((3, 4))
    assert product(np.ones((3, 4)), 2.0, out=out) is out
    assert (out == 3).all()
    values = np.arange(6.0)
    product(values[:-1], 2.0, out=values[1:])
    assert values.tolist() == [0, 1, 3, 5, 7, 9]
    strided = np.zeros((4, 6))
    product(np.arange(4.0), 1.0, out=strided[:, 2])
    assert strided[:, 2].tolist() == [1, 2, 3, 4]
    assert strided.sum() == 10


@pytest.mark.parametrize(
    "out",
    [np.empty(3, np.float32), np.empty(4), [1.0, 2.0, 3.0], np.broadcast_to(np.empty(1), (3,))],
)
def test_a_wrong_out_is_refused(product, out):
    """An out of another type or shape, or one that cannot be written, is an error."""
    with pytest.raises((TypeError, ValueError), match="out"):
        product(np.ones(3), 2.0, out=out)


def test_arguments_by_name(wave):
    """Arguments may be given by name, in any order."""
    f, _ = wave
    assert f(0.3, y=0.7) == f(y=0.7, x=0.3) == f(0.3, 0.7)


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ((1,), {}, "argument y is missing"),
        ((1, 2, 3), {}, "3 arguments are given"),
        (("a", 1), {}, "argument x is no real number"),
        ((1, 2j), {}, "argument y is complex"),
        ((1,), {"w": 2}, "no argument w"),
        ((1, 2), {"x": 2}, "argument x is given twice"),
        ((np.ones(2), np.ones(3)), {}, r"x \(2,\), y \(3,\)"),
        ((None, 1), {}, "argument x is no real number"),
        (([[1], [1, 2]], 1), {}, "argument x is no array"),
        ((np.ma.masked_array([1.0, 2.0], [0, 1]), 1), {}, "argument x is a masked array"),
        ((np.array(["1"]), 1), {}, "argument x is no real number"),
    ],
)
def test_wrong_arguments_are_named(wave, arguments, named, message):
    """An error of a call names the argument that is wrong."""
    with pytest.raises((TypeError, ValueError), match=message):
        wave[0](*arguments, **named)


# --- arguments and results in any nesting ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nested():
    """A function whose arguments and results are nested."""
    expression = [q1 * x + t, (q2 - x,), {"a": sp.Matrix([[x, 2], [q1, 4]])}, x > 1]
    return nn.lambdify([t, [q1, q2], [x]], expression)


def test_results_have_the_nesting_of_the_expression(nested):
    """Lists, tuples, dictionaries, matrices and conditions give the same of numbers."""
    first, (second,), further, holds = nested(1.0, [2.0, 3.0], (4,))
    assert (first, second, holds) == (9.0, -1.0, True)
    assert further["a"].tolist() == [[4, 2], [2, 4]]
    again = nested(1.0, np.array([2.0, 3.0]), np.array([4.0]))
    assert again[:2] == [first, (second,)]


def test_nested_arguments_are_unpacked_along_their_first_axis(nested):
    """Arrays in place of nested arguments have the points along further axes; matrices have them first."""
    y0 = RNG.normal(size=(2, 5))
    first, (second,), further, holds = nested(np.arange(5.0), y0, [4.0])
    np.testing.assert_allclose(first, y0[0] * 4 + np.arange(5))
    np.testing.assert_allclose(second, y0[1] - 4)
    assert further["a"].shape == (5, 2, 2)
    assert holds.dtype == bool
    assert holds.all()
    with pytest.raises(ValueError, match=r"argument2 has 2 parts, and 3 are given"):
        nested(0.0, np.ones(3), [1.0])
    with pytest.raises(TypeError, match=r"argument2 is a sequence of 2, and a number is given"):
        nested(0.0, 1.0, [1.0])


def test_arguments_of_every_kind():
    """Functions of time, their derivatives, elements of matrices and arrays, dummies and words of Python."""
    speed, other, word = q1.diff(t), sp.Dummy("x"), sp.Symbol("lambda")
    w, A, b = sp.IndexedBase("w"), sp.MatrixSymbol("A", 2, 2), sp.MatrixSymbol("b", 2, 1)
    arguments = [q1, speed, [x, other, word], w[0], A, b]
    outputs = [speed * q1, x + other - word, w[0] ** 2, A * b, sp.Trace(A) + A[0, 1], sp.Array([[[x, 1]]])]
    f = nn.lambdify(arguments, outputs)
    values = f(2, 3, [4, 5, 6], 7, np.array([[1.0, 2], [3, 4]]), [1, 1])
    assert values[:3] == [6, 3, 49]
    assert values[3].tolist() == [[3], [7]]
    assert values[4] == 7
    assert values[5].tolist() == [[[4, 1]]]
    many = f(2, 3, [4, 5, 6], 7, np.ones((2, 2, 9)), np.ones((2, 1, 9)))
    assert many[3].shape == (9, 2, 1)
    assert many[0].shape == (9,)
    assert many[5].shape == (9, 1, 1, 2)


def test_a_piecewise_has_holes_without_a_warning():
    """Where no piece holds, the value is NaN, for numbers and arrays, and nothing warns."""
    f = nn.lambdify(x, sp.Piecewise((1 / x, x > 0), (sp.log(-x), x < -1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f(2.0) == 0.5
        assert np.isnan(f(-0.5))
        np.testing.assert_allclose(f(np.array([2, -0.5, -np.e])), [0.5, np.nan, 1])


def test_texts_and_formulas_of_functions():
    """Expressions may be texts, and undefined functions have formulas in modules."""
    f = nn.lambdify("x y", ["sin(x) + y", sp.Function("g")(x) * y], [{"g": lambda v: v**3}, "numpy"])
    assert f(2, 3) == pytest.approx([np.sin(2) + 3, 24])


def test_constants_and_arguments_are_outputs():
    """A number and a symbol alone have the shape of the arguments."""
    f = nn.lambdify((x, y), [3, x, x, sp.pi])
    assert f(1.5, 2) == [3, 1.5, 1.5, np.pi]
    assert [each.shape for each in f(np.ones(4), 1)] == [(4,)] * 4
    assert nn.lambdify((), sp.Integer(3))() == 3


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expression", "options", "message"),
    [
        (x, x + y, {}, "contains y, which is no argument"),
        (x, sp.Function("g")(x), {}, r"undefined function g\(x\)"),
        (x, sp.I * x, {}, "complex"),
        (x, sp.sqrt(-1 - x**2), {}, "complex"),
        (x, sp.Integral(sp.exp(sp.sin(x)), x), {}, "Integral"),
        ((q1, t), q1.diff(t), {}, r"Derivative\(q1\(t\), t\), which is no argument"),
        (x, sp.gamma(x), {}, "gamma"),
        (x, sp.zoo, {}, "zoo"),
        ((x, x), x, {}, "x is given twice"),
        (3, x, {}, "no symbol"),
        (x, None, {}, "not an expression"),
        (x, sp.Symbol("x", positive=True), {}, "second symbol named x"),
        (sp.MatrixSymbol("A", sp.Symbol("n"), 2), 1, {}, "shape in numbers"),
        (x, x, {"printer": object}, "no printer"),
        (x, x, {"use_imps": True}, "use_imps"),
        (x, x, {"modules": "mpmath"}, "mpmath"),
        (x, sp.Function("g")(x), {"modules": {"g": lambda v: "a"}}, "g of modules returns"),
        (x, x, {"threads": 0}, "threads"),
        (x, x, {"precision": "half"}, "precision"),
        (x, x, {"march": "old"}, "march"),
        (x, x, {"bits": "few"}, "bits"),
        (x, x, {"jacobian": y}, "jacobian is by y"),
        ((x, y), [x, y], {"hessian": [x, y]}, "hessian is for a number"),
        (x, {"a": x}, {"jacobian": x}, "jacobian is for a number"),
        ((x, y), x, {"jacobian": x, "hessian": y}, "different symbols"),
        ((x, sp.Symbol("direction")), x, {"jvp": x}, "called direction"),
    ],
)
def test_what_cannot_be_computed_is_refused(arguments, expression, options, message):
    """The function is refused when it is made, and the error names the culprit."""
    with pytest.raises(ModelError, match=message):
        nn.lambdify(arguments, expression, **options)


# --- derivatives -------------------------------------------------------------------------------------------------


def test_the_jacobian_and_the_hessian_of_a_number():
    """Derivatives are those of SymPy, at one point and at many."""
    formula = sp.sin(x * y) ** 2 + sp.exp(-x / z)
    f = nn.lambdify((x, [y, z]), formula, jacobian=[z, x, y], hessian=[z, x, y])
    by = [z, x, y]
    expected = [sp.lambdify((x, y, z), each) for each in (sp.Matrix([formula]).jacobian(by), sp.hessian(formula, by))]
    value, gradient, hessian = f(0.3, [0.4, 1.5])
    assert value == pytest.approx(float(formula.subs({x: 0.3, y: 0.4, z: 1.5})))
    np.testing.assert_allclose(gradient, expected[0](0.3, 0.4, 1.5)[0], rtol=1e-13)
    np.testing.assert_allclose(hessian, expected[1](0.3, 0.4, 1.5), rtol=1e-12)
    _, gradient, hessian = f(np.full((2, 3), 0.3), [0.4, np.full(3, 1.5)])
    assert gradient.shape == (2, 3, 3)
    assert hessian.shape == (2, 3, 3, 3)
    np.testing.assert_allclose(hessian[1, 2], expected[1](0.3, 0.4, 1.5), rtol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_jacobians_of_lists_and_matrices(count):
    """A list of m numbers has the Jacobian (m, n), a matrix (rows, columns, n), by forward and by reverse sweeps."""
    by = sp.symbols(f"v:{count}")
    outputs = [sp.sin(by[0]), sp.prod(by) + by[0] ** 3, sp.Integer(7)]
    f = nn.lambdify([by, x], outputs, jacobian="argument1")
    g = nn.lambdify([by, x], sp.Matrix([outputs]) * x, jacobian=by)
    point = RNG.normal(size=count)
    exact = np.array(sp.Matrix(outputs).jacobian(by).subs(dict(zip(by, point, strict=True))), float)
    values, jacobian = f(point, 2.0)
    assert isinstance(values, list)
    assert jacobian.shape == (3, count)
    np.testing.assert_allclose(jacobian, exact, rtol=1e-13)
    matrix, jacobian = g(point, 2.0)
    assert matrix.shape == (1, 3)
    np.testing.assert_allclose(jacobian, 2 * exact[None], rtol=1e-13)


def test_products_with_the_jacobian():
    """jvp and vjp are the Jacobian times a direction, and times factors of the outputs."""
    outputs = [x * y, sp.sin(x), y**2]
    jacobian = nn.lambdify((x, y), outputs, jacobian=[x, y])(0.5, 2.0)[1]
    forward = nn.lambdify((x, y), outputs, jvp=[x, y])
    backward = nn.lambdify((x, y), outputs, vjp=[x, y])
    direction, factors = [1.5, -2.0], np.array([1.0, 3.0, -0.5])
    np.testing.assert_allclose(forward(0.5, 2.0, direction)[1], jacobian @ direction, rtol=1e-14)
    np.testing.assert_allclose(backward(0.5, 2.0, factors=factors)[1], factors @ jacobian, rtol=1e-14)
    assert forward(np.ones(4), 2.0, direction)[1].shape == (4, 3)


# --- elsewhere ---------------------------------------------------------------------------------------------------


def test_precision_bits_march_and_threads():
    """Options change the type of arrays and the last digits, and nothing else."""
    formula = sp.sin(x) + sp.sqrt(y) / 3
    points = np.linspace(0.1, 1, 40_000)
    exact = np.sin(points) + np.sqrt(2.0) / 3
    for options, rtol in (
        ({"precision": "float32"}, 1e-6),
        ({"bits": "portable"}, 1e-14),
        ({"march": "portable", "threads": 2}, 1e-14),
    ):
        f = nn.lambdify((x, y), formula, **options)
        values = f(points, 2.0)
        assert values.dtype == options.get("precision", "float64")
        np.testing.assert_allclose(values, exact, rtol=rtol)
        assert f(0.1, 2.0) == pytest.approx(exact[0], rel=rtol)


def test_a_portable_function_has_kernels_for_several_cpus():
    """It takes the fastest that this CPU can run; each of them computes the same, of one point and of many."""
    f = nn.lambdify((x, y), sp.tanh(x) * y + sp.sin(x), march="portable")
    kernels = building.Kernels(f._library, f._facts.program)
    assert kernels.variants[-1] == "plain" or platform.machine() not in ("x86_64", "AMD64")
    points = RNG.uniform(-2, 2, (200, 2))
    expected = f(*points.T)
    np.testing.assert_allclose(
        expected, np.tanh(points[:, 0]) * points[:, 1] + np.sin(points[:, 0]), rtol=1e-14, atol=1e-14
    )
    for each in kernels.each:
        np.testing.assert_allclose(each.predict(None, points)[:, 0], expected, rtol=1e-14, atol=1e-14)
        assert each.predict(None, points[:1])[0, 0] == pytest.approx(expected[0], abs=1e-14)
    with pytest.raises(BuildError, match="no kernel of_tomorrow that this CPU can run"):
        building.load_function(f._library, "of_tomorrow")


def test_functions_are_pickled_copied_and_shown(product):
    """A pickle makes the same function again; a copy is itself; help shows formula, arguments and shapes."""
    again = pickle.loads(pickle.dumps(product))
    assert again(2.0, 3.0) == 7
    assert again.c == product.c
    assert copy.copy(product) is product
    assert copy.deepcopy(product) is product
    shown = pydoc.render_doc(product)
    assert "f(x, y) = x*y + 1" in shown
    assert "x: a number" in shown
    assert 'digits="off"' in shown
    assert "values_tile" in product.c
    assert product.variant == "c"


def test_scipy_calls_functions_in_c():
    """LowLevelCallables serve quad, nquad and the filters of ndimage."""
    integrate, ndimage = pytest.importorskip("scipy.integrate"), pytest.importorskip("scipy.ndimage")
    bell, product = nn.lambdify(x, sp.exp(-(x**2))), nn.lambdify((x, y), x * y)
    assert integrate.quad(bell.low_level_callable(), -9, 9)[0] == pytest.approx(np.sqrt(np.pi))
    assert integrate.nquad(product.low_level_callable(), [[0, 1], [0, 2]])[0] == pytest.approx(1)
    largest = nn.lambdify((x, y, z), sp.Max(x, y, z))
    filtered = ndimage.generic_filter(np.arange(5.0), largest.low_level_callable("filter"), size=3)
    assert filtered.tolist() == [1, 2, 3, 4, 4]
    turned = nn.lambdify((x, y), [y, x])
    image = np.eye(3) + np.arange(3)
    moved = ndimage.geometric_transform(image, turned.low_level_callable("geometric_transform"), order=1)
    np.testing.assert_allclose(moved, image.T)
    with pytest.raises(ModelError, match="one number as result"):
        turned.low_level_callable()


def test_the_cache_has_the_function_again(monkeypatch, product):
    """A function that was made before is found by its arguments, expression and options: no stage runs."""

    def runs(*_):
        raise AssertionError("a stage runs")

    monkeypatch.setattr(door._Request, "compiled", runs)
    assert nn.lambdify((x, y), x * y + 1)(2.0, 5.0) == 11
    assert nn.lambdify((x, y), y * x + 1, threads=2).c == product.c
    for arguments, expression, options in (
        ((x, y), x * y + 2, {}),
        ((x, y, z), x * y + 1, {}),
        ((x, y), x * y + 1, {"precision": "float32"}),
        ((x, y), x * y + 1, {"jacobian": x}),
        ((x, y), [x * y + 1], {"vjp": x}),
    ):
        with pytest.raises(AssertionError, match="a stage runs"):
            nn.lambdify(arguments, expression, **options)


def test_numpy_stands_in_for_a_compiler(without_compiler):
    """Without a C compiler, NumPy evaluates the function, and a warning says so."""
    with pytest.warns(RuntimeWarning, match="NumPy evaluates the function"):
        f = nn.lambdify((x, [y, z]), [x * y, sp.Matrix([z, x])], jacobian=None)
    assert isinstance(f, EvaluatedFunction)
    assert f.variant == "numpy"
    assert f(2.0, [3.0, 4.0])[0] == 6
    assert f(np.ones(5), [3.0, 4.0])[1].shape == (5, 2, 1)
    with pytest.raises(TypeError, match="argument x is complex"):
        f(1j, [1, 2])


def test_functions_are_exported(tmp_path):
    """As plain C, a function has its value and its derivatives; a package of one is refused in words."""
    f = nn.lambdify((x, [y]), sp.sin(x) * sp.exp(-y), jacobian=[x, y])
    nn.export(f, "c", tmp_path / "c", name="wave")
    command = [*compilers.find_compiler().command, "-shared", "-fPIC", "wave.c", "-lm", "-o", "wave.so"]
    subprocess.run(command, cwd=tmp_path / "c", check=True)
    values = np.empty(3)
    numbers = [ctypes.c_void_p(array.ctypes.data) for array in (np.array([0.3, 0.7]), values)]
    ctypes.CDLL(str(tmp_path / "c" / "wave.so")).wave_predict(None, *numbers, None)
    value, jacobian = f(0.3, [0.7])
    np.testing.assert_allclose(values, [value, *jacobian], rtol=1e-14)
    assert nn.export(f, "onnx", tmp_path / "onnx").paths
    for target, options in (("wheel", {}), ("c", {"vectors": True})):
        with pytest.raises(ModelError, match="a function has no loss"):
            nn.export(f, target, tmp_path / "refused", **options)


# --- random expressions ------------------------------------------------------------------------------------------

LEAVES = st.sampled_from([x, y, sp.Integer(2), sp.Rational(1, 3), sp.Float(0.7)])
UNARY = st.sampled_from(
    [sp.sin, sp.cos, sp.exp, sp.tanh, sp.atan, lambda a: sp.log(1 + a**2), lambda a: sp.sqrt(a**2 + 1)]
)


def combined(parts):
    """Sums, products, powers, functions and choices of expressions."""
    return st.one_of(
        st.builds(lambda f, a: f(a), UNARY, parts),
        st.builds(lambda a, b: a + b, parts, parts),
        st.builds(lambda a, b: a * b, parts, parts),
        st.builds(lambda a, b: a / (2 + b**2), parts, parts),
        st.builds(lambda a, b: sp.Piecewise((a, x > y), (b, True)), parts, parts),
    )


EXPRESSIONS = st.recursive(LEAVES, combined, max_leaves=8)


@given(st.lists(EXPRESSIONS, min_size=1, max_size=3), st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_random_expressions_have_the_values_of_mpmath(expressions, a, b):
    """What the stages make of random expressions has their values in 30 digits."""
    request = door._Request(*_read((x, y), expressions), {})
    program = request.compiled({"precision": "float64", "bits": "native", "digits": "off"})["simplify"]
    values = nn.evaluate(program, np.empty(0), np.array([[a, b]]))
    exact = sp.lambdify((x, y), expressions, "mpmath")
    with mpmath.workdps(30):
        for value, output in zip(exact(mpmath.mpf(a), mpmath.mpf(b)), program.outputs, strict=True):
            ours = np.broadcast_to(values[output.tensor], (1,))[0]
            assert ours == pytest.approx(float(value), rel=1e-9, abs=1e-9)


@given(st.lists(EXPRESSIONS, min_size=1, max_size=2), st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_random_expressions_have_the_derivatives_of_sympy(expressions, a, b):
    """Jacobians, products with them and the Hessian of random expressions are SymPy's derivatives in 30 digits."""
    factors, direction = [0.75, -1.25][: len(expressions)], [1.5, -0.5]
    asked = {"jacobian": [x, y], "jvp": [x, y], "vjp": [x, y]}
    asked |= {"hessian": [x, y]} if len(expressions) == 1 else {}
    arguments, result, outputs = _read((x, y), expressions)
    request = door._Request(arguments, result.parts[0] if len(outputs) == 1 else result, outputs, asked)
    program = request.compiled({"precision": "float64", "bits": "native", "digits": "off"})["simplify"]
    values = nn.evaluate(program, np.empty(0), np.array([[a, b, *direction, *factors]]))
    ours = [np.broadcast_to(values[output.tensor], (1,))[0] for output in program.outputs]

    formulas, matrix = sp.Matrix(expressions), sp.Matrix(expressions).jacobian([x, y])
    expected = [*formulas, *matrix]
    if "hessian" in asked:
        expected += [*matrix.jacobian([x, y])]
    expected += [*matrix * sp.Matrix(direction), *matrix.T * sp.Matrix(factors)]
    with mpmath.workdps(30):
        exact = [float(value) for value in sp.lambdify((x, y), expected, "mpmath")(mpmath.mpf(a), mpmath.mpf(b))]
    assume(np.isfinite(exact).all())
    np.testing.assert_allclose(ours, exact, rtol=1e-8, atol=1e-9 * max(1, *map(abs, exact)))


def _read(arguments, expressions):
    read = door.read_arguments(arguments)
    return read, *door.read_results(list(expressions), {})


def test_many_expressions_in_one_function():
    """A compiled function of many expressions has SymPy's values, for numbers and for arrays."""
    formulas = [
        sp.sinh(x) - sp.cosh(y), sp.asin(x / 2) + sp.acos(y / 2), sp.atan2(x, y), sp.Max(x, y, 0) - sp.Min(x, y),
        sp.Abs(x) ** sp.Rational(3, 2), x**7 - y**-3, sp.erf(x) + sp.erfc(y), sp.sign(x) * sp.Heaviside(y, 0.5),
        sp.tan(x) + sp.sec(y), sp.log(2 + x) / sp.log(10), sp.exp(x) ** y, sp.asinh(x) + sp.atanh(y / 2), (2 + x) ** y,
    ]  # fmt: skip
    f, expected = nn.lambdify((x, y), formulas), sp.lambdify((x, y), formulas, ["scipy", "numpy"])
    points = RNG.uniform(-1.9, 1.9, size=(2, 200))
    for ours, theirs in zip(f(*points), expected(*points), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(f(*points[:, 7]), [each[7] for each in expected(*points)], rtol=1e-12, atol=1e-14)
