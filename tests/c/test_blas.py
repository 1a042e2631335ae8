"""Products that are left to BLAS: right at any size, with SciPy and without, and on one thread."""

import ctypes
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.bench.workloads import MODELS
from nncodegen.compiler.building.build import Built, load
from nncodegen.compiler.building.targets import INCLUDE
from nncodegen.compiler.ir import SAMPLE
from nncodegen.compiler.schedule import Shape
from nncodegen.compiler.schedule import blas as choice
from nncodegen.compiler.schedule.tree import Call, Group
from nncodegen.compiler.schedule.tree_walks import walk
from tests.support.compilers import compile_strictly, sanitized
from tests.support.models import check_classifier, classifier, gradient_of

pytestmark = pytest.mark.usefixtures("quick_compiler")

SAMPLES = [1, 2, 3, 63, 65, 129, 1100]
WIDTHS = [33, 100, 5, 31, 17, 3, 1]
BOUNDS = {"float64": 1e-13, "float32": 1e-4}
RNG = np.random.default_rng(0)


def compiled(model, precision="float64", **choices):
    return nn.compile_model(model, precision, choices=choices)


def scheduled(model, precision="float64", **choices):
    return nn.compile_model(model, precision, until="schedule", choices=choices)["schedule"]


def innermost(layout, units):
    """The indices of a layout, as far as a network has them: of its inputs, and of its hidden layers."""
    return [index for index in layout if index in "ijklmopq"[: 1 + len(units)]]


def products(schedule, kernel):
    """The shapes of the products of a kernel, where there is a BLAS."""
    (named_kernel,) = (k for k in schedule.kernels if k.name == kernel)
    groups = [
        s
        for s in walk(named_kernel.trees.tile)
        if isinstance(s, Group) and s.steps[0].target.tensor in schedule.layout.blas
    ]
    return [next(s for s in walk([group]) if isinstance(s, Call)).shape.name for group in groups]


def load_anew(built, folder):
    """The module from a file of its own: a library that is loaded already would keep its routine."""
    path = Path(shutil.copy(built.path, folder / built.path.name))
    return load(Built(built.module, path, True))


def scipy_blas():
    """SciPy's library, whose functions can be looked up, and the prefix of their names."""
    library = pytest.importorskip("scipy.linalg.cython_blas")
    functions = ctypes.CDLL(library.__file__)
    for prefix in ("scipy_openblas_", "openblas_"):
        if hasattr(functions, f"{prefix}set_num_threads") and functions[f"{prefix}get_parallel"]() == 1:
            return functions, prefix
    pytest.skip("SciPy has another BLAS than OpenBLAS with threads of its own")


@pytest.fixture
def three_threads():
    """SciPy's BLAS, set to three threads; gives the function that tells their number."""
    functions, prefix = scipy_blas()
    before = functions[f"{prefix}get_num_threads"]()
    functions[f"{prefix}set_num_threads"](3)
    yield functions[f"{prefix}get_num_threads"]
    functions[f"{prefix}set_num_threads"](before)


# --- results -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "precision"),
    [
        ("", "float64"),
        ("ijklmopq", "float32"),
        pytest.param("jlmp", "float64", marks=pytest.mark.thorough),
        pytest.param("jlmp", "float32", marks=pytest.mark.thorough),
    ],
    ids=["samples-float64", "features-float32", "both-float64", "both-float32"],
)
def test_every_product(layout, precision, tmp_path, monkeypatch):
    """All products of a network of awkward widths agree with the evaluator, by BLAS and without, in any layout."""
    scipy_blas()
    model = classifier(*WIDTHS)
    compiled_module = compiled(model, precision, blas=True, features=innermost(layout, WIDTHS))
    schedule, program, built = compiled_module["schedule"], compiled_module["simplify"], compiled_module.built
    assert products(schedule, "gradient") == ["BLAS"] * (3 * len(WIDTHS) + 2)  # all but that to the inputs
    assert products(schedule, "predict") == ["BLAS"] * (len(WIDTHS) + 1)
    by_blas = load_anew(built, tmp_path)
    assert by_blas.blas.startswith("dgemm of SciPy" if precision == "float64" else "sgemm of SciPy")
    check_classifier(by_blas, program, SAMPLES, BOUNDS[precision])
    monkeypatch.setitem(sys.modules, "scipy", None)
    (tmp_path / "without").mkdir()
    with pytest.warns(RuntimeWarning, match="the choices ask for BLAS, but SciPy is not installed"):
        alone = load_anew(built, tmp_path / "without")
    check_classifier(alone, program, SAMPLES, BOUNDS[precision])


def test_what_was_there_before_does_not_count():
    """A row whose values overflow leaves no trace in the rows after it, which are computed in the same memory."""
    scipy_blas()
    layers = [nn.Dense(40, "relu"), nn.Dense(24, "relu"), nn.Dense(2)]
    module = nn.build(nn.Sequential(layers, 20, name="overflow"), "float32", choices={"blas": True})
    parameters, X = RNG.normal(size=module.parameter_count), RNG.normal(size=(400, 20)).astype("float32")
    expected = module.predict(parameters, X)
    X[[0, 100]] = np.finfo("float32").max
    predicted = module.predict(parameters, X)
    assert not np.isfinite(predicted[[0, 100]]).any()
    others = np.delete(np.arange(400), [0, 100])
    assert np.array_equal(predicted[others], expected[others])


# --- the call ----------------------------------------------------------------------------------------------------


class Poll(ctypes.Structure):
    _fields_ = [
        ("stop", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
        *((name, ctypes.c_double) for name in ("interval", "spent", "asked")),
    ]


def routine_of(precision, calls):
    """A dgemm or sgemm in Python that takes nothing for granted: it checks what BLAS's would, and counts the calls."""
    real = {"float64": ctypes.c_double, "float32": ctypes.c_float}[precision]
    integer, reals = ctypes.POINTER(ctypes.c_int), ctypes.POINTER(real)

    def matrix(pointer, rows, columns, leading):
        assert leading >= max(1, rows)
        memory = np.ctypeslib.as_array(pointer, ((columns - 1) * leading + rows,))  # and nothing after the last value
        strides = (memory.itemsize, leading * memory.itemsize)
        return np.lib.stride_tricks.as_strided(memory, (rows, columns), strides)

    def gemm(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        try:
            m, n, k, lda, ldb, ldc = (pointer[0] for pointer in (m, n, k, lda, ldb, ldc))
            a_as, b_as = transa[0], transb[0]
            left = matrix(a, m, k, lda) if a_as == b"N" else matrix(a, k, m, lda).T
            right = matrix(b, k, n, ldb) if b_as == b"N" else matrix(b, n, k, ldb).T
            assert {a_as, b_as} <= {b"N", b"T"}
            assert alpha[0] == 1
            assert beta[0] in (0, 1)
            assert min(m, n, k) > 0
            out = matrix(c, m, n, ldc)
            product = left.astype(float) @ right.astype(float)
            out[:] = product if beta[0] == 0 else out + product
            calls.append((m, n, k))
        except BaseException as error:  # ctypes would print it and go on
            calls.append(error)

    text = ctypes.POINTER(ctypes.c_char)
    types_of = [text, text, integer, integer, integer, reals, reals, integer, reals, integer, reals, reals, integer]
    return ctypes.CFUNCTYPE(None, *types_of)(gemm)


@pytest.mark.parametrize(
    ("layout", "inputs", "precision"),  # rows of whole vectors are read where they are
    [
        pytest.param(*case, precision, marks=marks, id=f"{kind}-{precision}")
        for kind, case, usual in (
            ("samples", ("", 7), "float64"),
            ("features", ("ijklm", 7), "float32"),
            ("whole-vectors", ("ijklm", 112), "float64"),
        )
        for precision in ("float64", "float32")
        for marks in [[] if precision == usual else [pytest.mark.thorough]]
    ],
)
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_c_alone(layout, inputs, precision, tmp_path):
    """The C runs by itself, with any routine or none; each product is one valid call; memory need not be cleared."""
    units = (5, 1, 17, 33)
    model = classifier(*units, name="alone", inputs=inputs)
    compiled_model = nn.compile_model(
        model, precision, until="emit", choices={"blas": True, "features": innermost(layout, units)}
    )
    program, sources = compiled_model["simplify"], compiled_model["emit"]
    for name in ("alone.c", "alone.h"):
        (tmp_path / name).write_text(sources.files[name])
    command = ["cc", "-std=c11", *INCLUDE, "-Og", "-shared", "-fPIC", "alone.c", "-lm", "-o", "alone.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    library = ctypes.CDLL(tmp_path / "alone.so")
    library.alone_work_size.restype = ctypes.c_size_t
    calls = []
    routine = routine_of(precision, calls)
    parameters = (0.5 * RNG.normal(size=sum(t.size for t in program.parameters))).astype(precision)
    for samples in (1, 3, 65, 129, 300):
        X = RNG.normal(size=(samples, inputs)).astype(precision)
        Y = np.eye(3)[RNG.integers(0, 3, samples)].astype(precision)
        expected = gradient_of(program, parameters.astype(float), X, Y)
        for compiled_model in (routine, None):
            calls.clear()
            library.alone_use_gemm(compiled_model)
            work = np.full(library.alone_work_size(), 255, np.uint8)  # NaN, in either precision
            loss, gradient = ctypes.c_double(), np.full_like(parameters, math.nan)
            arrays = [ctypes.c_void_p(array.ctypes.data) for array in (parameters, X, Y)]
            stopped = library.alone_loss_and_gradient(
                *arrays,
                None,
                ctypes.c_size_t(samples),
                ctypes.c_void_p(work.ctypes.data),
                ctypes.byref(loss),
                ctypes.c_void_p(gradient.ctypes.data),
                ctypes.byref(Poll()),
            )
            assert stopped == 0
            assert not [call for call in calls if isinstance(call, BaseException)]
            assert len(calls) == (0 if compiled_model is None else 14 * -(-samples // choice.LONG_TILE))
            assert np.linalg.norm(gradient - expected) <= BOUNDS[precision] * np.linalg.norm(expected)


def test_no_warnings(tmp_path):
    """Strict C11 finds nothing to complain about in products of samples innermost and of features innermost."""
    choices = {"blas": True, "features": ["k"]}
    sources = nn.compile_model(classifier(6, 5), "float32", until="emit", choices=choices)["emit"]
    assert {"product", "end_rows", "dot_products"} <= set(re.findall(r"\w+", sources.files["classifier.c"]))
    compile_strictly(sources, tmp_path)


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("gcc") is None or sys.platform != "linux", reason="needs GCC's sanitizers")
@pytest.mark.parametrize(
    ("precision", "hidden", "said"),
    [("float64", {"scipy": None}, "not called: SciPy is not installed"), ("float32", {}, "sgemm of SciPy")],
    ids=["without", "with"],
)
def test_sanitizers(precision, hidden, said, tmp_path):
    """AddressSanitizer and UndefinedBehaviorSanitizer find nothing in what is left to BLAS, nor in what stands in."""
    scipy_blas()
    program = f"""
        import sys
        import numpy as np
        import nncodegen as nn
        from tests.support.models import classifier

        sys.modules.update({hidden})
        model, rng = classifier(31, 17), np.random.default_rng(0)
        module = nn.build(model, "{precision}", choices={{"blas": True, "features": ["k"]}})
        for samples in {SAMPLES}:
            X, Y = rng.normal(size=(samples, 7)), rng.integers(0, 3, samples)
            module.predict(module.initial_parameters(), X, threads=2)
            module.loss(module.initial_parameters(), X, Y)
            module.train(X, Y, epochs=2, batch_size=(samples + 1) // 2, threads=2)
        print(module.blas)
        """
    # without optimization: it takes long to compile
    assert sanitized(program, tmp_path, os.environ["CC"]).startswith(said)


# --- threads -----------------------------------------------------------------------------------------------------

X, LABELS = RNG.normal(size=(3000, 20)), RNG.integers(0, 3, 3000)


@pytest.fixture(scope="module")
def module():
    scipy_blas()
    layers = [nn.Dense(70, "tanh"), nn.Dropout(0.1), nn.Dense(90, "tanh"), nn.Dense(3, "softmax")]
    model = nn.Sequential(layers, 20, "categorical_crossentropy", name="threads")
    return nn.build(model, "float32", choices={"blas": True})


def system_threads():
    """The threads of this process, those of libraries included, where the system tells."""
    return len(os.listdir("/proc/self/task")) if sys.platform == "linux" else threading.active_count()


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_change_no_bit(module, threads, three_threads):
    """Trainings and predictions have the same bits with 1, 2, 3 and 8 threads, and no thread is left behind."""
    options = {"epochs": 2, "batch_size": 2700, "optimizer": "adam", "sample_weight": RNG.uniform(size=3000)}
    trained = module.train(X, LABELS, **options)
    before = system_threads()
    many = module.train(X, LABELS, threads=threads, **options)
    assert np.array_equal(trained.parameters, many.parameters)
    assert np.array_equal(trained.history, many.history)
    rows = RNG.normal(size=(9001, 20))
    predicted = module.predict(trained.parameters, rows)
    assert np.array_equal(predicted, module.predict(trained.parameters, rows, threads=threads))
    for _ in range(200):  # one that has ended may be seen for a moment
        if system_threads() == before:
            break
        time.sleep(0.01)
    assert system_threads() == before


def test_blas_has_one_thread_while_it_is_called(module, three_threads):
    """BLAS is held to one thread in a call alone, and has its threads again after it, also after one that fails."""
    seen = []

    def look(progress):
        seen.append(three_threads())
        if len(seen) > 1:
            raise LookupError

    with pytest.raises(LookupError):
        module.train(X, LABELS, epochs=10**6, callback=look, callback_interval=1)
    assert seen == [1, 1]
    assert three_threads() == 3
    module.loss_and_gradient(module.initial_parameters(), X, LABELS)
    module.predict(module.initial_parameters(), X)
    assert three_threads() == 3


@pytest.mark.parametrize("method", ["L-BFGS-B", "Nelder-Mead"])
def test_minimizers_have_one_thread(perceptron, method, three_threads):
    """SciPy's minimizers are held to one thread of its BLAS, which has its threads again after them and errors."""
    seen = []

    def look(*_):
        seen.append(three_threads())
        raise LookupError

    with pytest.raises(LookupError):
        perceptron.minimize([[0.35, 0.9]], [0.7], method=method, callback=look)
    assert seen == [1]
    assert three_threads() == 3
    perceptron.minimize([[0.35, 0.9]], [0.7], method=method, options={"maxiter": 2})
    assert three_threads() == 3


def test_calls_side_by_side(module, three_threads, tmp_path):
    """While a call of either of two modules is under way, BLAS has one thread; after both it has its threads again."""
    other = load_anew(compiled(classifier(9), "float32", blas=True).built, tmp_path)
    seen, started, ended = [], threading.Event(), threading.Event()
    results = []

    def wait(progress):
        started.set()
        if ended.is_set():
            seen.append(three_threads())
        return ended.is_set()

    first = threading.Thread(
        target=lambda: results.append(module.train(X, LABELS, epochs=10**7, callback=wait, callback_interval=1).status)
    )
    first.start()
    started.wait()
    other.train(X[:, :7], LABELS, epochs=3)
    seen.append(three_threads())
    ended.set()
    first.join()
    assert results == ["stopped"]
    assert seen == [1, 1]
    assert three_threads() == 3


# --- the choice --------------------------------------------------------------------------------------------------


def test_large_layers_are_left_to_blas():
    """The products of a layer with very many weights are left to BLAS, those of its neighbour are not; it says why."""
    schedule = scheduled(classifier(1024, inputs=784, classes=10), "float32")
    assert schedule.layout.blas == ("s1", "d_W1")
    assert "s1 (1024 x 784): BLAS, as 802,816 weights are not below 524,288\n" in schedule.show()
    assert "s2 (10 x 1024): blocks of our own, as 10,240 weights are below 524,288\n" in schedule.show()
    assert "tiles of 128 samples, as the weights of the largest layer take 3,211,264 bytes" in schedule.show()
    assert "call one call of BLAS: s1[n, j] = sum(i) " in schedule.show()


def test_what_blas_cannot_count():
    """A size beyond the integers of BLAS keeps a product from it, whatever is asked for."""
    schedule = scheduled(classifier(2**31, inputs=2), blas=True)
    assert not {"s1", "s2", "d_W1", "d_W2"} & set(schedule.layout.blas)
    assert "s1 (2147483648 x 2): blocks of our own, as BLAS counts to 2,147,483,520\n" in schedule.show()


@pytest.mark.parametrize("precision", [pytest.param("float64", marks=pytest.mark.thorough), "float32"])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_small_networks_stay_as_they_are(model, precision):
    """Networks as the benchmarks have them are not left to BLAS, and their kernels know nothing of it."""
    usual, without = (
        nn.compile_model(model, precision, until="emit", choices=choices, fit=False)["emit"].files
        for choices in ({}, {"blas": False})
    )
    assert usual == without
    kernel = [text for file, text in usual.items() if file.endswith((".c", ".h"))]
    assert {"c", "h"} == {file.rpartition(".")[2] for file in usual if file.endswith((".c", ".h"))}
    assert not any("gemm" in text or "HAS_BLAS 1" in text for text in kernel)


def test_choices():
    """All products, none, or those of a list are left to BLAS; a tile that was asked for stays."""
    model = classifier(6, 4)
    every = scheduled(model, blas=True)
    assert len(every.layout.blas) == 8
    assert "s1 (6 x 7): BLAS, as asked for\n" in every.show()
    none = scheduled(model, blas=False, tile=32)
    assert (none.layout.blas, none.tile) == ((), 32)
    assert "s1 (6 x 7): blocks of our own, as asked for\n" in none.show()
    some = scheduled(model, blas=["d_W2", "s1"], tile=512)
    assert (some.layout.blas, some.tile) == (("s1", "d_W2"), 512)
    calls = [s for s in walk(some.kernels[-1].trees.tile) if isinstance(s, Call) and s.shape is Shape.BLAS]
    assert len(calls) == 2
    assert all(SAMPLE in call.steps[0].indices for call in calls)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"blas": 1}, r"blas must be True, False or a list of products, not 1; there are: s1, s2, "),
        ({"blas": "s1"}, r"not 's1'; there are: s1"),
        ({"blas": ["s1", "h1"]}, r"'h1' cannot be left to BLAS; what can: s1, s2, "),
        ({"blas": True, "tile": 48}, r"where BLAS is called, tile must be a power of two up to 4096, not 48"),
        ({"blas": True, "tile": 8192}, r"not 8192"),
    ],
    ids=str,
)
def test_choices_that_cannot_be_meant(choices, message):
    """A choice that does not exist is an error that says what does."""
    with pytest.raises(nn.ModelError, match=message):
        scheduled(classifier(6), **choices)


# --- the search --------------------------------------------------------------------------------------------------


def capsule(signature):
    """A capsule of a C function that says to be of a type."""
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
    signature = ctypes.create_string_buffer(signature.encode())
    KEPT.append(signature)
    return new(1, ctypes.addressof(signature), None)


KEPT = []  # the names of capsules, which these do not copy
LP64, ILP64 = (
    f"void (char *, char *, {integer} *, {integer} *, {integer} *, d *, ...)" for integer in ("int", "int64_t")
)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (ILP64, "not called: the dgemm of SciPy 9.9 takes other integers than those of 32 bits"),
        (LP64, "not called: the BLAS of SciPy 9.9 is not OpenBLAS, whose threads can be held to one"),
        (None, "not called: the BLAS of SciPy cannot be imported (KeyError: 'dgemm')"),
    ],
    ids=["64 bits", "another library", "no routine"],
)
def test_other_libraries(signature, message, tmp_path, monkeypatch):
    """A BLAS that might start threads, or takes other integers, is not called; the module says so, and works."""
    monkeypatch.setattr(choice, "LARGE", 1)  # chosen, not asked for: no warning
    scipy, linalg, library = (types.ModuleType(f"scipy{name}") for name in ("", ".linalg", ".linalg.cython_blas"))
    scipy.__version__ = "9.9"
    library.__file__ = sys.modules["_ctypes"].__file__
    library.__pyx_capi__ = {} if signature is None else {"dgemm": capsule(signature)}
    for fake in (scipy, linalg, library):
        monkeypatch.setitem(sys.modules, fake.__name__, fake)
    compiled_module = compiled(classifier(6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = load_anew(compiled_module.built, tmp_path)
    assert module.blas == message
    check_classifier(module, compiled_module["simplify"], SAMPLES, BOUNDS["float64"])
