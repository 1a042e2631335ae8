"""Exported C computes what the formulas say, whatever they are, and compilers and sanitizers find nothing in it."""

import ctypes
import random
import subprocess

import mpmath
import numpy as np
import pytest
import sympy
from scipy import special

import nncodegen as nn
from nncodegen.compiler.describe.optimizers import OPTIMIZERS, describe_update
from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.ir import Element, evaluate
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.schedule.plain import plan_gradient, plan_outputs
from nncodegen.formats.c.kernels import PlainEmitter
from tests.support.exports import EXPORTS, FORMULAS, MINE, NOISY, RULES, RULES_OF_ONES_OWN, deep, formula
from tests.support.loops import random_program, results_of, values_of
from tests.support.models import gradient_of, parameter_count
from tests.support.plain import COMPILERS, REALS, compiled, loaded
from tests.support.runtime import HEADERS

A, B = sympy.symbols("a b")
SAMPLES = 5
BOUNDS = {"float64": 1e-13, "float32": 2e-5}
"""How far results may be from those of the evaluator, relative to the largest of them or to 1."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("plain")


def program_of(model):
    return nn.compile_model(model, until="differentiate")["differentiate"]


OWN = list(RULES_OF_ONES_OWN.values())
RULE_EXPORTS = {
    "rules64": (formula("rules", [], [], A * B, A, optimizers=OWN), {"optimizers": (*RULES, "nadam")}),
    "rules32": (formula("rules", [], [], A * B, A, optimizers=OWN), {**MINE, "optimizers": RULES}),
    "root32": (formula("root", [], [], A * B, A, optimizers=OWN), {**MINE, "optimizers": ["halving"]}),
    "libm32": (formula("libm", [], [], A * B, A, optimizers=OWN), {"precision": "float32", "optimizers": ["halving"]}),
    "trained": (deep("trained"), {"parameters": np.linspace(-0.5, 0.5, parameter_count(program_of(deep("trained"))))}),
}
"""Besides: a model of two parameters with all update rules, and one with trained parameters."""


@pytest.fixture(scope="module")
def functions(folder):
    """All exports, compiled in one go by GCC or Clang without a warning: name -> functions."""
    exports = {name: (model, {"train": True, **options}) for name, (model, options) in (EXPORTS | RULE_EXPORTS).items()}
    return loaded(folder, exports, COMPILERS[0], ("-Og",), tested=exports)


def data(program, precision, seed=0):
    """Random parameters, inputs and targets, which a precision has."""
    rng = np.random.default_rng(seed)
    inputs, targets = (sum(t.size for t in tensors) for tensors in (program.inputs, program.targets))
    X, Y = rng.uniform(0.1, 0.9, (SAMPLES, inputs)), rng.uniform(0.1, 0.9, (SAMPLES, targets))
    if targets:
        Y /= Y.sum(axis=1, keepdims=True)
    parameters = rng.uniform(0.2, 0.8, parameter_count(program)) * rng.choice([-1, 1], parameter_count(program))
    if not any(tensor.shape for tensor in program.parameters):  # a formula, which may have roots
        parameters = abs(parameters)
    rounded = (each.astype(precision) for each in (parameters, X, Y))
    parameters, X, Y = rounded
    return parameters, X if inputs else None, Y if targets else None


def near(computed, expected, precision):
    """Whether values are within the bound."""
    expected = np.asarray(expected, float)
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    return np.shape(computed) == expected.shape and np.all(np.abs(computed - expected) <= BOUNDS[precision] * scale)


def flat(program, values, samples):
    """The outputs of samples, side by side."""
    columns = []
    for element in program.outputs:
        value, width = np.asarray(values[element.tensor], float), program.count(element.indices)
        rows = (*value.shape[:1], width) if "n" in element.indices else (1, width)
        columns.append(np.broadcast_to(value.reshape(rows), (samples, width)))
    return np.concatenate(columns, axis=1)


@pytest.mark.parametrize("name", EXPORTS)
def test_values(name, functions):
    """Outputs, losses and gradients, with and without weights of samples, are those that NumPy evaluates."""
    c, program = functions[name], program_of(EXPORTS[name][0])
    parameters, X, Y = data(program, c.precision)
    values = evaluate(program, parameters, X, Y)
    predicted = c.predict(parameters, X, None if X is not None else SAMPLES)
    assert near(predicted, flat(program, values, SAMPLES), c.precision)
    weights = np.linspace(0.5, 2, SAMPLES)
    samples_one_by_one = [None if each is None else each[k : k + 1] for k in range(SAMPLES) for each in (X, Y)]
    losses = [
        evaluate(program, parameters, *samples_one_by_one[2 * k : 2 * k + 2])[program.loss.tensor]
        for k in range(SAMPLES)
    ]
    nothing = [None] * SAMPLES
    each = c.loss(parameters, nothing if X is None else X, nothing if Y is None else Y)
    assert near(each, np.ravel(losses), c.precision)
    if program.noise:
        return
    loss, gradient = c.loss_and_gradient(parameters, X, Y, samples=SAMPLES)
    assert near(loss, np.mean(losses), c.precision)
    assert near(gradient, gradient_of(program, parameters, X, Y), c.precision)
    loss, gradient = c.loss_and_gradient(parameters, X, Y, weights, samples=SAMPLES)
    share = weights / weights.sum()
    assert near(loss, np.ravel(losses) @ share, c.precision)
    if X is not None or Y is not None:
        assert near(gradient, gradient_of(program, parameters, X, Y, share), c.precision)


def test_trained_parameters(functions):
    """NULL stands for trained parameters; others may still be given."""
    c, (model, options) = functions["trained"], RULE_EXPORTS["trained"]
    program = program_of(model)
    parameters, X, Y = data(program, "float64")
    assert list(c.parameters) == list(options["parameters"])
    assert np.array_equal(c.predict(None, X), c.predict(options["parameters"], X))
    assert not np.array_equal(c.predict(None, X), c.predict(parameters, X))
    assert np.array_equal(c.loss_and_gradient(None, X, Y)[1], c.loss_and_gradient(options["parameters"], X, Y)[1])


def test_gradient_with_fifty_digits(functions):
    """Loss and gradient of the perceptron are those of the formula as it is written, to the last digits."""
    c, model = functions["double"], FORMULAS["double"]
    with mpmath.workdps(50):
        a, b, x, y = map(mpmath.mpf, (0.7, 0.4, 0.3, 0.6))

        def loss(a, b):
            return ((mpmath.sin(a * x) / (a * x) + x**a * mpmath.atan2(b, x)) * b - y) ** 2

        expected = [mpmath.diff(loss, (a, b), order) for order in ((0, 0), (1, 0), (0, 1))]
    assert model.name == "double"
    loss_and_slope = c.loss_and_gradient([0.7, 0.4], [[0.3]], [[0.6]])
    assert [loss_and_slope[0], *loss_and_slope[1]] == pytest.approx([float(value) for value in expected], rel=1e-14)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.usefixtures("quick_compiler")
def test_difference_from_modules(precision, chain, tmp_path):
    """Results differ from those of a compiled module by rounding: 64 units in the last place of the largest value."""
    model = nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(3, "softmax")], 4, "categorical_crossentropy", name="chain")
    module = chain if precision == "float64" else nn.build(model, precision, march="native")
    options = {"train": True, "precision": precision}
    c = loaded(tmp_path, {"chain": (model, options), "own_chain": (model, {**options, "libm": False})})
    rng, bound = np.random.default_rng(0), 64 * np.finfo(precision).eps
    for each in c.values():
        for seed in range(10):
            arrays = (module.initial_parameters(seed=seed), rng.normal(size=(9, 4)), rng.uniform(size=(9, 3)))
            parameters, X, Y = (np.asarray(values, precision) for values in arrays)
            loss, expected = module.loss_and_gradient(parameters, X, Y)
            found_loss, gradient = each.loss_and_gradient(parameters, X, Y)
            pairs = [
                (gradient, expected),
                (found_loss, loss),
                (each.predict(parameters, X), module.predict(parameters, X)),
            ]
            for computed, known in pairs:
                assert np.max(np.abs(np.asarray(computed, float) - known)) <= bound * np.max(np.abs(known))


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_functions_that_no_library_has(precision, tmp_path):
    """With a C library and without one, plain C has the Faddeeva function, besides tanh, in either precision."""
    formula = "tanh(a*x) + faddeeva_real(x, a) + faddeeva_imag(x, b)"
    model = nn.Model("own", "x", "y", {"a": 0.7, "b": 0.2}, formula)
    options = {"train": True, "precision": precision}
    c = loaded(tmp_path, {"own": (model, options), "own_without": (model, {**options, "libm": False})})
    X, Y = np.linspace(-3, 20, 24)[:, None], np.zeros((24, 1))
    z, w = special.wofz(X + 0.7j), special.wofz(X + 0.2j)
    expected = np.tanh(0.7 * X) + z.real + w.imag
    slope = X / np.cosh(0.7 * X) ** 2 - (2j / np.sqrt(np.pi) - 2 * (X + 0.7j) * z).imag
    other = (2j / np.sqrt(np.pi) - 2 * (X + 0.2j) * w).real
    gradient = [(2 * expected * s).mean() for s in (slope, other)]
    for each in c.values():
        assert near(each.predict([0.7, 0.2], X), expected, precision)
        assert near(each.loss_and_gradient([0.7, 0.2], X, Y)[1], gradient, precision)


@pytest.fixture(scope="module")
def random_functions(folder):
    """Random programs as C, in one library: for each, its outputs, and its gradient with the loss."""
    lines, programs = Lines(), [random_program(random.Random(seed)) for seed in range(20)]
    lines.add("#include <math.h>", "#include <stddef.h>", "typedef double real;")
    lines.include((HEADERS / "plain" / "maximum.h").read_text())
    arguments = "const real *parameters, real weight, real *outputs, real *gradient, real *work"
    for number, program in enumerate(programs):
        for kind, kernel in (("outputs", plan_outputs(program)), ("gradient", plan_gradient(program))):
            with lines.function(f"real {kind}{number}({arguments})"):
                lines.add("(void) parameters, (void) weight, (void) outputs, (void) gradient, (void) work;")
                emitter = PlainEmitter(kernel, True, {}, lines)
                emitter.emit()
                lines.add(f"return {emitter.name(program.loss) if kind == 'gradient' else 0};")
    lines.add("real unused(real a) { return maximum(a, a); }")
    (folder / "random.c").write_text(str(lines))
    return programs, ctypes.CDLL(str(compiled([folder / "random.c"], folder / "random.so", COMPILERS[0])))


@pytest.mark.parametrize("seed", range(20))
def test_random_programs(seed, random_functions):
    """Programs of random steps over many indices are printed as they are planned."""
    programs, library = random_functions
    program = programs[seed]
    parameters = np.random.default_rng(seed).uniform(-1, 1, program.parameter_count)
    values = values_of(program, parameters, 0.75)
    expected = results_of(program, values)
    work = np.full(1 + max(plan_outputs(program).work, plan_gradient(program).work), np.nan)
    outputs, derivatives = np.full(len(expected), np.nan), np.full(len(expected), 2.0)
    for kind in ("outputs", "gradient"):
        function = getattr(library, f"{kind}{seed}")
        function.restype = ctypes.c_double
        arrays = [ctypes.c_void_p(array.ctypes.data) for array in (outputs, derivatives, work)]
        value = function(ctypes.c_void_p(parameters.ctypes.data), ctypes.c_double(0.75), *arrays)
    assert value == pytest.approx(values["loss"], rel=1e-12, abs=1e-12)
    assert outputs == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert derivatives - 2 == pytest.approx(expected, rel=1e-11, abs=1e-11)


# --- update rules ------------------------------------------------------------------------------------------------


def stepped(update, precision, updates=3):
    """Parameters after a few updates with gradients, by the formula as it is written, in float64."""
    hyper = {h.name: h.default for h in update.hyperparameters} | {"learning_rate": 0.05}
    parameters = np.array([0.3, -0.7])
    state = [np.full(2, hyper[first] if isinstance(first, str) else first) for first in update.initial]
    for t in range(1, updates + 1):
        tensors = {"parameter": parameters, "gradient": gradient(t), **dict(zip(update.state, state, strict=True))}
        values = {Element(name, ("p",)): value for name, value in tensors.items()}
        values |= {Element("t"): t, **{Element(name): value for name, value in hyper.items()}}
        for step in update.steps:
            values[step.target] = interpret(step.expression, values, exact=False)
        parameters, *state = (np.broadcast_to(values[result], 2) for result in update.results)
    return parameters, state


def gradient(t):
    return np.array([0.4 - 0.2 * t, 0.3 * t])


@pytest.mark.parametrize("name", [*OPTIMIZERS, *RULES_OF_ONES_OWN])
@pytest.mark.parametrize("export", ["rules64", "rules32"])
def test_rules(name, export, functions):
    """After a few updates, parameters and state are what the formula of the rule gives."""
    if export == "rules32" and name not in RULES:
        pytest.skip("needs a function of the C library")
    c = functions[export]
    update = RULES_OF_ONES_OWN[name].update if name in RULES_OF_ONES_OWN else describe_update(name)
    expected, expected_state = stepped(update, c.precision)
    parameters = c.array([0.3, -0.7])
    rate = c.real(0.05)
    first = {h.name: h.default for h in update.hyperparameters} | {"learning_rate": 0.05}
    state = c.array([[first.get(each, each)] * 2 for each in update.initial])
    read = {operand.tensor for step in update.steps for operand in step.operands}
    numbers = [REALS["float64"](h.default) for h in update.hyperparameters if h.name in read][1:]
    for t in range(1, 4):
        count = [t] if "t" in read else []
        c.call(name, parameters, c.array(gradient(t)), *([state] if update.state else []), *count, rate, *numbers)
    assert near(parameters, expected, c.precision)
    assert near(state, np.reshape(expected_state, state.shape), c.precision)


def test_roots_that_all_parameters_share(functions):
    """In single precision without the C library, too, the numbers that all parameters share are double, also roots."""
    for t in range(1, 40):
        updated = []
        for name in ("root32", "libm32"):
            c = functions[name]
            parameters, state = c.array([0.3, -0.7]), c.array([0.1, 0.2])
            c.call("halving", parameters, c.array([0.25, 0.5]), state, t, c.real(0.05), REALS["float64"](0.93))
            updated.append(parameters)
        assert np.array_equal(*updated)


# --- random numbers ----------------------------------------------------------------------------------------------


def mixed(z):
    """SplitMix64's finalizer."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def bits(noise, layer, unit):
    """32 random bits for samples, a layer and units."""
    start = noise + np.uint64(0x9E3779B97F4A7C15 * layer % 2**64)
    return (mixed(mixed(start) + np.uint64(unit)) >> np.uint64(32)).astype(float)


@pytest.mark.parametrize("export", ["noisy64", "noisy32"])
def test_noise(export, functions):
    """The gradient is that for the random numbers of each sample; dropout and noise have their moments."""
    c, program = functions[export], program_of(NOISY)
    rng = np.random.default_rng(0)
    parameters, X, Y = rng.normal(size=c.sizes["PARAMETERS"]), np.ones((400, 3)), np.zeros((400, 2))
    numbers = np.arange(7, 407, dtype=np.uint64)
    drops = np.stack([np.where(bits(numbers, 2, unit) < 0.4 * 2**32, -1, 2 / 3) for unit in range(4)], axis=1)
    assert abs(drops.mean()) < 0.05
    one_by_one = [c.loss_and_gradient(parameters, X[:1], Y[:1], noise=[n])[1] for n in (7, 7, 8)]
    assert np.array_equal(one_by_one[0], one_by_one[1])
    assert not np.array_equal(one_by_one[0], one_by_one[2])
    gaussian = normal(numbers, 3)
    assert abs(gaussian.mean()) < 0.02
    assert abs(gaussian.std() - 0.2) < 0.01
    names = [source.tensor.name for source in program.noise]
    noise = dict(zip(names, (gaussian, drops), strict=True))
    values = evaluate(program, parameters, X, Y, noise=noise)
    expected = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    loss, slopes = c.loss_and_gradient(parameters, X, Y, noise=[7])
    assert near(loss, values[program.loss.tensor], c.precision)
    assert near(slopes, expected, c.precision)


def normal(numbers, units):
    """Normal numbers of the first layer, by the polar method, (samples, units)."""
    normals = np.zeros((len(numbers), units))
    for unit in range(units):
        left = np.ones(len(numbers), bool)
        for attempt in range(40):
            key = mixed(numbers + np.uint64(attempt << 48))
            u, v = (bits(key, 1, 2 * unit + k) // 256 * 256 * 2 / 2**32 - 1 for k in (0, 1))
            q = u * u + v * v
            now = left & (q > 0) & (q < 1)
            normals[now, unit] = 0.2 * u[now] * np.sqrt(-2 * np.log(q[now]) / q[now])
            left &= ~now
    assert not left.any()
    return normals


# --- what compilers and sanitizers see ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compiler", [*COMPILERS[1:], *(pytest.param(c, marks=pytest.mark.thorough) for c in COMPILERS[:1])]
)
def test_compilers(compiler, functions, folder):
    """Another compiler takes all of it without a warning; numbers in float32 become double in update rules alone."""
    for precision, more in (("float64", ()), ("float32", ("-Wdouble-promotion",))):
        names = [name for name, c in functions.items() if c.precision == precision and not name.startswith("rules")]
        sources = [folder / name / f"{name}{end}.c" for name in names for end in ("", "_test")]
        compiled(sources, folder / "none", compiler, ("-fsyntax-only", *more))


DRIVER = """\
#include <stdlib.h>

/* Memory of exactly this size, filled with numbers between 0.1 and 0.9; NULL where there is none. */
static void *numbers(size_t count, size_t size)
{
    char *const found = count ? malloc(count*size) : NULL;
    for (size_t k = 0; k < count; k++) {
        const double value = 0.1 + 0.8*(double) k/(double) count;
        const float rounded = (float) value;
        for (size_t byte = 0; byte < size; byte++)
            found[k*size + byte] = ((const char *) (size == 8 ? (const void *) &value : (const void *) &rounded))[byte];
    }
    return found;
}

/* Calls the functions of a model with arrays that end where they have to. */
#define CALL(name, NAME, real, ...) do { \\
    real *const parameters = numbers(NAME##_PARAMETERS, sizeof(real)); \\
    real *const X = numbers(3*NAME##_INPUTS, sizeof(real)), *const weights = numbers(3, sizeof(real)); \\
    real *const Y = numbers(3*NAME##_TARGETS, sizeof(real)); \\
    real *const outputs = numbers(3*NAME##_OUTPUTS, sizeof(real)); \\
    real *const predict_work = numbers(NAME##_PREDICT_WORK, sizeof(real)); \\
    real *const work = numbers(NAME##_TRAIN_WORK, sizeof(real)); \\
    real *const gradient = numbers(NAME##_PARAMETERS, sizeof(real)); \\
    name##_predict_batch(parameters, 3, X, outputs, predict_work); \\
    sum += (double) name##_loss(parameters, X, Y, work); \\
    sum += (double) name##_loss_and_gradient(parameters, 3, X, Y, weights, gradient, __VA_ARGS__); \\
    name##_sgd(parameters, gradient, (real) 0.1); \\
    real *const all[] = {parameters, X, Y, outputs, predict_work, work, gradient, weights}; \\
    for (size_t k = 0; k < sizeof all/sizeof *all; k++) \\
        free(all[k]); \\
} while (0)
"""


def test_sanitizers(functions, folder):
    """Nothing is read or written beside arrays, and nothing computed that is undefined, from NULL for instance."""
    lines = [DRIVER, *(f'#include "{name}/{name}.h"' for name in EXPORTS), "int main(void)", "{", "double sum = 0;"]
    for name, (model, _) in EXPORTS.items():
        real = {"float64": "double", "float32": "float"}[functions[name].precision]
        lines.append(f"CALL({name}, {name.upper()}, {real}, {'7, ' if model is NOISY else ''}work);")
    (folder / "driver.c").write_text("\n".join([*lines, "return sum == 1;", "}", ""]))
    sources = [folder / "driver.c", *(folder / name / f"{name}.c" for name in EXPORTS)]
    options = ("-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    program = compiled(sources, folder / "driver", COMPILERS[-1], options, ("-std=c99",))
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]


@pytest.mark.parametrize("name", ["deep32", "own64", "surreal", "without_data", "noisy32", "trained"])
def test_self_tests(name, folder, functions):
    """The test that comes with an export passes; it fails if the parameters are others."""
    sources = [folder / name / f"{name}_test.c", folder / name / f"{name}.c"]
    done = subprocess.run([compiled(sources, folder / name / "test")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("right") == (2 if name.startswith("noisy") else 4)
    wrong = folder / name / "wrong.c"
    text = sources[1].read_text()
    begin = text.index(f"{name}_parameters[")
    wrong.write_text(text[:begin] + text[begin:].replace("{\n    ", "{\n    1.5 - ", 1))
    done = subprocess.run(
        [compiled([sources[0], wrong], folder / name / "test", options=(f"-I{folder / name}",), warnings=())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "WRONG" in done.stdout
