"""The headers of the C runtime: each stands by itself, says what it is, and compiles everywhere without a warning."""

import re
import shutil
import subprocess

import pytest

from nncodegen.compiler.building.targets import RUNTIME
from tests.support.compilers import COMPILERS
from tests.support.runtime import HEADERS, INCLUDES, NATIVE, THREADS, WARNINGS

FIRST, SECOND = (*COMPILERS, None)[:2]
PATHS = {path.name: path for path in HEADERS.rglob("*.h") if path.parent.name != "plain"}
"""The headers by their names, of which no two are equal."""
NAMES = sorted(PATHS)
WITH_KERNELS = [
    "batch.h", "bounds.h", "convex.h", "damping.h", "descend.h", "endings.h", "errors_in_x.h", "errors_rows.h",
    "evaluate.h", "few.h", "fields.h", "fit.h", "fit_groups.h", "fit_memory.h", "fit_point.h", "fit_rows.h",
    "fits.h", "fits_apart.h", "fits_state.h", "fits_steps.h", "fits_sums.h", "fitting.h", "generate.h",
    "gradient.h", "group_kernels.h", "guards.h", "hessian.h", "jacobian.h", "many.h", "outputs.h", "penalty.h",
    "pivots.h", "polish.h", "predict.h", "registers.h", "residuals.h", "step.h", "threads.h", "train.h", "training.h",
    "update.h",
]  # fmt: skip
"""Those that call the loops of a model, which stand before them."""
KERNELS_OF_VALUES = """#include "nncodegen/formula.h"
static BLENDED void values_tile(const real *const *inputs, real *const *outputs, size_t count, real *restrict work)
{
    WHOLE_VECTORS(count);
    *work = inputs[0][0];
    outputs[0][0] = *work;
}
static void values_of_point(const real *restrict inputs, real *restrict outputs)
{
    outputs[0] = inputs[0];
}
"""
"""The kernels of a formula without a loss."""
PUBLIC = ["entry_points.h", "interface.h", "names.h"]
ALTERNATIVES = {"functions32.h", "functions64.h"}
"""Those of which a module includes one, so that all have the same names."""
FUNCTION = re.compile(r"^(?:static|INLINE|OPTIONAL|RARE|SHARED) [\w *]*?\b(\w+)(?<!\bNN)\(", re.MULTILINE)
"""The name of a function that is static, where it is defined or declared."""

BUILDS = {
    "float64, C11, this CPU": ("-std=c11", "-DNN_BITS=64", *NATIVE),
    "float64, C99": ("-std=c99", "-DNN_BITS=64"),
    "float32, C99, this CPU": ("-std=c99", "-DNN_BITS=32", *NATIVE),
    "float32, C11": ("-std=c11", "-DNN_BITS=32"),
}
"""Each precision meets each standard and each kind of CPU, and each standard each kind of CPU."""
OPPOSITES = {
    "float64, C11, this CPU": BUILDS["float64, C11, this CPU"],
    "float32, C99": ("-std=c99", "-DNN_BITS=32"),
}
"""For Clang, which takes twice as long: two that have nothing in common, of which the second is tried in every run."""

FEW = ("float64, C11, this CPU", "float32, C99")
"""Those that are tried in every run."""

NOTHING = [
    "-DSAMPLE_HAS_BLOCKS=0",
    "-DSAMPLE_HAS_BLAS=0",
    "-DSAMPLE_HAS_MANY=0",
    "-DSAMPLE_HAS_NOISE=0",
    "-DSAMPLE_HAS_METRICS=0",
    "-DSAMPLE_HAS_CLASSES=0",
    "-DSAMPLE_HAS_SINGLE_GRADIENT=0",
    "-DSAMPLE_DESCENDS=0",
]
MODELS = {
    "everything": (),
    "nothing": NOTHING,
    "a formula": ("-DSAMPLE_HAS_BLOCKS=0", "-DSAMPLE_HAS_BLAS=0", "-DSAMPLE_HAS_REGISTERS=1", "-DSAMPLE_HAS_NOISE=0"),
    "transposed weights": ("-DSAMPLE_HAS_TRANSPOSED=1", "-DSAMPLE_HAS_CLASSES=0", "-DSAMPLE_ACROSS=8"),
}
EXTREMES = ("everything", "nothing")
FEATURES = (("-std=c99",), ("-std=c11", *THREADS, "-DNNCODEGEN_SIMD", "-fopenmp-simd", *NATIVE))


def check(compiler, options, *sources):
    """Compiles sources, without output: nothing is said about them."""
    command = [compiler, *WARNINGS, *INCLUDES, "-fsyntax-only", *options, *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def alone(name, folder):
    """A source that includes one header, after the sample configuration and what a model has to define."""
    kernels = ["sample_kernels.h"] if name in WITH_KERNELS else []
    included = ["sample.h", *kernels, *([] if name == "interface.h" else [PATHS[name].relative_to(RUNTIME).as_posix()])]
    source = folder / f"{name}.c"  # sample.h includes interface.h as the header of a model does
    lines = [f'#include "{header}"\n' for header in included]
    if name == "options.h":  # a list, for whoever defines what becomes of its entries
        lines[-1] = f"struct options {{\n#define OPTION(type, name, meaning) type name;\n{lines[-1]}}};\n"
    if name == "part.h":  # a table, for whoever defines what is in it
        lines[-1] = f"#define NN_PART 0\n{lines[-1]}"
    if name == "values.h":  # after the kernels of a formula
        lines[-1] = f"{KERNELS_OF_VALUES}{lines[-1]}"
    source.write_text("".join(lines))
    return source


def chosen(builds, few=FEW):
    """Builds as parameters: the few, and all others with --thorough."""
    return [pytest.param(build, marks=[] if build in few else [pytest.mark.thorough]) for build in builds]


@pytest.mark.parametrize("build", chosen(BUILDS))
def test_each_by_itself(build, tmp_path):
    """Each header compiles without any other of the runtime before it, in both precisions, as C11 and C99."""
    check(FIRST, BUILDS[build], *(alone(name, tmp_path) for name in NAMES))


@pytest.mark.parametrize("build", chosen(OPPOSITES, FEW[1:]))
@pytest.mark.skipif(len(COMPILERS) < 2, reason="needs GCC and Clang")
def test_each_with_another_compiler(build, tmp_path):
    """So it does with Clang."""
    check(SECOND, OPPOSITES[build], *(alone(name, tmp_path) for name in NAMES))


@pytest.mark.parametrize(
    ("model", "compiler"),
    [
        pytest.param(model, compiler, marks=[] if compiler == FIRST or model in EXTREMES else [pytest.mark.thorough])
        for model in MODELS
        for compiler in COMPILERS
    ],
)
def test_every_kind_of_model(compiler, model, tmp_path):
    """Whatever a model has and has not, the runtime compiles: as plain C99, and with threads and vectorized loops."""
    source = alone("training.h", tmp_path)
    for bits in (64, 32):
        for features in FEATURES:
            check(compiler, [f"-DNN_BITS={bits}", *features, *MODELS[model]], source)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_declarations(compiler, tmp_path):
    """A program that includes the header of a model sees a declaration of every function that the model defines."""
    check(compiler, ["-std=c11", "-Wmissing-prototypes"], *(alone(name, tmp_path) for name in (*PUBLIC, "training.h")))


def test_cplusplus(tmp_path):
    """A C++ compiler takes the header of a model."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    source = tmp_path / "program.cpp"
    source.write_text(
        'extern "C" {\n#include "sample.h"\n}\n'
        "int main() { sample_functions all = sample_functions(); return all.predict != nullptr; }\n"
    )
    check(compiler, ["-std=c++11"], source)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"config.h", "entry_points.h", "interface.h"}))
def test_says_what_it_is(name):
    """On top of each header stands what it is for, what it needs, and what it gives."""
    head, closed, _ = PATHS[name].read_text().partition("*/")
    assert closed
    assert re.match(r"/\* [A-Z]", head)
    assert re.search(r"\bNeeds\s+\w", head)
    assert re.search(r"\bGives\s+\w", head)


def test_instruction_sets_stand_in_one_place():
    """No header but vectors.h, for functions of the C library library.h, and cpu.h knows instruction sets."""
    asked = ("__AVX", "__SSE", "__aarch64__", "__x86_64__", "__ARM", "__znver", "__builtin_ia32", "immintrin")
    names = {name for name in NAMES if any(word in PATHS[name].read_text() for word in asked)}
    assert names <= {"vectors.h", "library.h", "cpu.h"}


def test_names_of_headers():
    """No two headers have one name, in whichever folders: so each is known by its name alone."""
    names = [path.name for path in HEADERS.rglob("*.h") if path.parent.name != "plain"]
    assert sorted(names) == NAMES


def test_names_of_functions():
    """No two headers of the runtime define a function of one name: a module may include any of them together."""
    homes = {}
    for name in sorted({*NAMES} - ALTERNATIVES):
        text = re.sub(r"__attribute__\(\(.*?\)\) ", "", PATHS[name].read_text())
        for function in FUNCTION.findall(text):
            homes.setdefault(function, set()).add(name)
    assert {"place_of", "side_by_side", "dropout_noise"} <= {*homes}
    assert {function: where for function, where in homes.items() if len(where) > 1} == {}
