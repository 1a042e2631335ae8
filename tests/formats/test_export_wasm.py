"""WebAssembly: what is exported computes in Node and in a browser what the formulas say, and is small."""

import functools
import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import sympy
from sympy.codegen.cfunctions import Cbrt, exp2, hypot, log2, log10

import nncodegen as nn
from nncodegen.compiler.check import random_data
from nncodegen.compiler.ir import evaluate
from nncodegen.errors import BuildError, ModelError
from nncodegen.formats.export import Exportable
from nncodegen.formats.export.initial_parameters import start_of
from nncodegen.formats.export.programs import of_outputs
from nncodegen.formats.wasm import compiler as wasm_compiler
from nncodegen.formats.wasm.compiler import compilers
from nncodegen.perceptron import model as perceptron
from tests.support.built import built, stage
from tests.support.stiff import STIFF

NODE, CHROMIUM = shutil.which("node"), shutil.which("chromium")
FOUND = dict(compilers())
CODE = re.compile(r"^ *(?!/\*\*|\*|//)\S", re.MULTILINE)
"""The begin of a line that is neither empty nor a comment."""

pytestmark = pytest.mark.skipif(not FOUND, reason="no compiler for WebAssembly")
in_node = pytest.mark.skipif(not NODE, reason="needs Node")
in_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")

layers = [nn.Dense(32, "relu"), nn.Dense(10, "softmax")]
digits = nn.Sequential(layers, inputs=64, loss="categorical_crossentropy", name="digits")
trained = start_of(stage(digits, "describe"))

chain_layers = [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")]
chain_model = nn.Sequential(chain_layers, inputs=4, loss="categorical_crossentropy", name="chain")

OPTIMIZERS = tuple(update.name for update in stage(chain_model, "describe").updates)

a, b, x = sympy.symbols("a b x")
line = nn.Model("line", x, sympy.Symbol("y"), {a: 1.0}, a * x)
CALLS = (
    sympy.sin(a * x), sympy.cos(a * x), sympy.tan(a * x), sympy.asin(a * x), sympy.acos(a * x), sympy.atan(a * x),
    sympy.sinh(a * x), sympy.cosh(a * x), sympy.asinh(a * x), sympy.acosh(1 + a * x), sympy.atanh(a * x),
    sympy.atan2(a, x), (a + x) ** b, exp2(a * x), log2(a + x), log10(a + x), Cbrt(a * x), hypot(a, x),
    sympy.erf(a * x), sympy.sqrt(a + x), sympy.tanh(a * x), sympy.Abs(a - x), sympy.Max(a, x), sympy.log(a + x),
)  # fmt: skip
"""Functions of JavaScript, and of nncodegen."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of an export, made once: exported(model, options) -> folder."""
    made = {}  # with the models, whose ids stay their own

    def export(model, **options):
        key = (id(model), repr(sorted(options)), options.get("precision"))
        if key not in made:
            made[key] = model, nn.export(model, "wasm", tmp_path_factory.mktemp("wasm") / "out", **options).folder
        return made[key][1]

    return export


@pytest.fixture(scope="module")
def perceptron_folder(exported):
    return exported(perceptron, train=True, optimizers=("sgd", "adam"))


@pytest.fixture(scope="module")
def chain_folder(exported):
    return exported(chain_model, train=True, optimizers=OPTIMIZERS)


def run(folder, text):
    """What a script prints as JSON by its last expression; ``model`` is the loaded model of the folder."""
    (name,) = (path.stem for path in folder.glob("*.wasm"))
    script = f"import {{ load }} from './{name}.js'; const model = await load();\n"
    script += "const failing = (action) => { try { action(); } catch (error) { return error.message; } };\n"
    script += f"const result = await (async () => {{ {text} }})();\n"
    script += "console.log(JSON.stringify(result, (_, v) => ArrayBuffer.isView(v) ? Array.from(v) : v));\n"
    command = [NODE, "--input-type=module", "--eval", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def expected(model, parameters, X, precision="float64"):
    """The outputs of a model (N, outputs), as NumPy evaluates them."""
    program = of_outputs(stage(model, "describe", precision))
    values = evaluate(program, np.asarray(parameters, float), np.asarray(X, float))
    return np.column_stack([np.reshape(values[e.tensor], (len(X), -1)) for e in program.outputs])


# --- what is written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiler", ["clang", "zig"])
def test_sizes(compiler, tmp_path, monkeypatch):
    """A network of 64-32-10 takes at most 20 kB beside its weights, the perceptron with training at most 12 kB."""
    if compiler not in FOUND:
        pytest.skip(f"{compiler} is not installed")
    monkeypatch.setattr(wasm_compiler, "compilers", lambda: [(compiler, FOUND[compiler])])
    for precision, bytes_each in (("float64", 8), ("float32", 4)):
        files = nn.export(digits, "wasm", tmp_path / precision, trained, precision=precision).files
        assert len(files["digits.wasm"]) <= 20_000
        assert np.array_equal(np.frombuffer(files["digits.bin"], f"<f{bytes_each}"), trained.astype(precision))
    files = nn.export(perceptron, "wasm", tmp_path / "p", train=True, optimizers=("sgd", "adam")).files
    assert len(files["perceptron.wasm"]) <= 12_000
    if NODE:
        assert run(tmp_path / "float64", "return model.predict(Array(64).fill(0.5))") == pytest.approx(
            expected(digits, trained, np.full((1, 64), 0.5))[0], rel=1e-13
        )


def test_length_of_the_javascript(exported, perceptron_folder):
    """What predicts and trains is a module of 90 lines of code, none of them longer than 110; Node can read it."""
    for path in (exported(digits, parameters=trained) / "digits.js", perceptron_folder / "perceptron.js"):
        assert "of training" not in path.read_text()  # the marks of the parts that are left out
        code = [line for line in path.read_text().splitlines() if CODE.match(line)]
        assert len(code) <= 90
        assert max(map(len, code)) <= 110
        if NODE:
            subprocess.run([NODE, "--check", path], check=True)


def test_nothing_is_imported_without_need(exported, perceptron_folder):
    """Functions of JavaScript are imported by models that call them, and nothing else ever is."""
    assert b"Math" not in (perceptron_folder / "perceptron.wasm").read_bytes()
    wave = nn.Model("wave", x, sympy.Symbol("y"), {a: 1.0, b: 0.5}, sympy.sin(a * x) + b)
    assert b"\x04Math\x03sin" in (exported(wave) / "wave.wasm").read_bytes()


def test_texts_of_users_stay_texts(tmp_path):
    """What a column means may be any text: it ends neither comment, nor script, nor page."""
    hostile = ("</script><script>alert(1)</script>", "*/ alert(2) /*", "`${alert(3)}`", '"@WASM@\n')

    class Estimator:
        def exportable(self):
            return Exportable(chain_model, inputs=hostile, outputs=hostile[:3])

    files = nn.export(Estimator(), "wasm", tmp_path / "out", train=True).files
    page = files["chain.html"].decode()
    assert page.count("<script") == page.count("</script") == 1
    assert "&lt;/script&gt;" in page
    assert "*/ alert" not in files["chain.d.ts"].decode()
    assert not any(b"alert" in files[name] for name in ("chain.js", "package.json"))


@pytest.mark.parametrize("option", [{"vectors": True}, {"cross": "aarch64-linux-gnu"}])
def test_options_without_a_meaning(option, tmp_path):
    """What has no meaning for WebAssembly is refused, and nothing is written."""
    with pytest.raises(ModelError, match="leave it out"):
        nn.export(perceptron, "wasm", tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()


def test_without_a_library(tmp_path):
    """libm=False excludes the functions of JavaScript."""
    wave = nn.Model("wave", x, sympy.Symbol("y"), {a: 1.0}, sympy.sin(a * x))
    with pytest.raises(ModelError, match="needs sin"):
        nn.export(wave, "wasm", tmp_path / "out", libm=False)


def test_without_a_compiler(tmp_path, monkeypatch):
    """Where no compiler for WebAssembly is found, the error names both that would do, and how to install them."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(wasm_compiler, "zig_program", lambda: None)
    with pytest.raises(BuildError, match=r"(?s)Clang with the linker wasm-ld, nor.*ziglang.*apt install clang lld"):
        nn.export(perceptron, "wasm", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_compiler_that_fails(tmp_path, monkeypatch):
    """If one compiler fails, the next is asked; if all do, the error has what they said."""
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such target >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(wasm_compiler, "compilers", lambda: [("broken", (str(broken),)), *FOUND.items()])
    assert nn.export(perceptron, "wasm", tmp_path / "out").files["perceptron.wasm"].startswith(b"\0asm")
    monkeypatch.setattr(wasm_compiler, "compilers", lambda: [("broken", (str(broken),))])
    with pytest.raises(BuildError, match="failed with exit code 3: no such target"):
        nn.export(perceptron, "wasm", tmp_path / "out2")


# --- predictions in Node -----------------------------------------------------------------------------------------


@in_node
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_predictions(precision, exported):
    """Weights from the file beside it, rows or one array: the outputs are those of the formulas."""
    folder = exported(digits, parameters=trained, precision=precision)
    X = np.random.default_rng(1).uniform(0, 1, (7, 64)).astype(precision)
    rows, flat, single = run(
        folder,
        f"""
        const X = {json.dumps(X.tolist())};
        return [model.predict(X), model.predict(X.flat()), model.predict(Float64Array.from(X[3]))];""",
    )
    tolerance = 1e-14 if precision == "float64" else 1e-6
    assert np.allclose(rows, expected(digits, trained.astype(precision), X, precision), rtol=tolerance, atol=tolerance)
    assert np.array_equal(np.ravel(rows), flat)
    assert np.array_equal(rows[3], single)


@in_node
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
def test_functions(precision, tolerance, exported):
    """Each function that a formula may have gives what NumPy gives, whether JavaScript or nncodegen computes it."""
    formula = nn.Model("functions", x, sympy.Symbol("y"), {a: 0.75, b: 1.25}, list(CALLS), sympy.Symbol("y") * a)
    X = np.array([0.0625, 0.25, 0.5, 1.0])[:, None]
    outcome = run(exported(formula, precision=precision), f"return model.predict({X.tolist()}, [0.75, 1.25])")
    wanted = expected(formula, [0.75, 1.25], X)
    assert np.allclose(outcome, wanted, rtol=tolerance, atol=tolerance / 10)


@in_node
def test_powers(exported):
    """1 to any power is 1, as in C, where JavaScript has none."""
    power = nn.Model("power", x, sympy.Symbol("y"), {a: 1.0}, x**a)
    cases = "[[1, NaN], [1, Infinity], [-1, Infinity], [-1, -Infinity], [2, -Infinity], [0, 0], [NaN, 0], [-8, 0.5]]"
    outcome = run(
        exported(power),
        f"""
        const from = model.wasm.place_for(2), memory = () => new Float64Array(model.wasm.memory.buffer, from);
        const raw = ([x, a]) => (memory().set([a, x]), model.wasm.predict_rows(from + 16, 0, 1, 0, 1), memory()[2]);
        return {cases}.map((values) => String(raw(values)));""",  # what predict() refuses goes to the function itself
    )
    assert outcome == ["1", "1", "1", "1", "0", "1", "1", "NaN"]


@in_node
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-12), ("float32", 2e-3)])
def test_differential_equations(precision, tolerance, exported):
    """Steps that are chosen there give what NumPy evaluates, and a training the parameters that the data have.

    In single precision the steps are others, so that small states differ by their tolerance.
    """
    example = STIFF["HIRES"]._replace(end=3, parameters={"k": 280.0})
    model = example.model(5, method="auto", rtol=1e-5, atol=1e-8, name="hires")
    X = np.array([1, 0.1])[:, None] * example.times(5)
    outcome = run(exported(model, precision=precision), f"return model.predict({X.tolist()}, [280])")
    wanted = expected(model, [280], X)
    allowed = 1e-8 if precision == "float32" else 0
    assert (abs(np.array(outcome) - wanted) <= tolerance * abs(wanted).max(axis=0) + allowed).all()
    falling = nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=4, name="falling")
    times = np.array([[0, 0.5, 1, 2]])
    options = "{ epochs: 300, learningRate: 0.5 }"
    folder = exported(falling, precision=precision, train=True)
    data = f"{times.tolist()}, {np.exp(-1.5 * times).tolist()}"
    assert run(folder, f"return model.train({data}, {options}).parameters") == pytest.approx([1.5], rel=1e-4)


@in_node
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-9), ("float32", 2e-3)])
def test_networks_in_differential_equations(precision, tolerance, exported):
    """Predictions are those of NumPy, with columns and jumps, and a training follows the gradients of a module."""
    network = nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(1)], inputs=2)
    model = nn.Dynamics(
        "u'' = force(u, w) - c*u",
        {"u": 1, "u'": 0},
        {"c": 0.5},
        columns="w",
        jumps={"u'": "u' + w*c"},
        times=4,
        networks={"force": network},
        rtol=1e-4,
        name="forced",
    )
    random = np.random.default_rng(3)
    X = np.hstack([np.sort(random.uniform(0, 2, (2, 4)), axis=1), random.normal(size=(2, 4))])
    parameters = np.r_[0.5, random.normal(size=21)]
    folder = exported(model, precision=precision, train=True)
    outcome = run(folder, f"return model.predict({X.tolist()}, {parameters.tolist()})")
    wanted = expected(model, parameters, X)
    assert (abs(np.array(outcome) - wanted) <= tolerance * abs(wanted).max()).all()
    Y = np.cos(wanted)
    options = f"{{ epochs: 3, learningRate: 0.1, parameters: {parameters.tolist()} }}"
    learnt = run(folder, f"return model.train({X.tolist()}, {Y.tolist()}, {options}).parameters")
    result = built(model).train(X, Y, parameters=parameters, optimizer="sgd", epochs=3, learning_rate=0.1, batch_size=2)
    assert abs(result.parameters - parameters).max() > 1e-2
    np.testing.assert_allclose(learnt, result.parameters, atol=tolerance * abs(wanted).max())


@in_node
def test_memory_grows(exported):
    """A large batch makes the memory grow; what was returned before stays as it was, and the next call is right."""
    folder = exported(digits, parameters=trained)
    before, during, after, grown = run(
        folder,
        """
        const row = Float64Array.from({ length: 64 }, (_, k) => k/64), first = model.predict(row), copy = [...first];
        const size = model.wasm.memory.buffer.byteLength, all = model.predict(Array(20000).fill(row));
        const grown = model.wasm.memory.buffer.byteLength > 20000*64*8 && size < 1e6;
        return [copy, all[19999], [...first, ...model.predict(row)], grown];""",
    )
    assert before == during
    assert before + before == after
    assert grown


@in_node
def test_what_loads(perceptron_folder):
    """The WebAssembly may be bytes, a path or a URL, the parameters numbers; a file that is none is an error."""
    outputs, error = run(
        perceptron_folder,
        """
        const { readFile } = await import("node:fs/promises"), bytes = await readFile("perceptron.wasm");
        const sources = [bytes, bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
          "perceptron.wasm", new URL("./perceptron.wasm", `file://${process.cwd()}/`)];
        const loaded = await Promise.all(sources.map((source) => load(source, [0, 0, 0, 0, 0, 0, 0])));
        const error = await load("missing.wasm").catch((error) => error.message);
        return [loaded.map((each) => each.predict([1, 2])[0]), error];""",
    )
    assert outputs == [0.5] * 4
    assert "missing.wasm" in error


VALUES_REFUSED = {
    "NaN": "RangeError: {0} is NaN, not a finite",
    "-Infinity": "RangeError: {0} is -Infinity, not a finite",
    "undefined": "TypeError: {0} is undefined, not a number",
    "null": "TypeError: {0} is null, not a number",
    "'3'": 'TypeError: {0} is "3", not a number',
    "3n": "TypeError: {0} is 3, not a number",
    "[3]": "TypeError: {0} is [object Array], not a number",
    "{}": "TypeError: {0} is [object Object], not a number",
}
"""What is no number for a model, in JavaScript, and what is said of it in a place."""


@in_node
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_values_that_are_refused(precision, exported):
    """What Python's predict refuses, WebAssembly's predict and train refuse as well, with its place."""
    folder = exported(perceptron, train=True, optimizers=("sgd", "adam"), precision=precision)
    point = [0.1] * 7
    cases = {}
    for value, said in VALUES_REFUSED.items():
        cases[f"model.predict([[1, 2], [3, {value}]])"] = said.format("inputs[1][1]")
        cases[f"model.predict([1, {value}])"] = said.format("inputs[1]")
        cases[f"model.predict([1, 2], [...{point[:6]}, {value}])"] = said.format("parameters[6]")
        cases[f"model.train([[{value}, 2]], [1])"] = said.format("inputs[0][0]")
        cases[f"model.train([[1, 2]], [[{value}]])"] = said.format("targets[0][0]")
        cases[f"model.train([[1, 2]], [1], {{ parameters: [0, {value}] }})"] = said.format("parameters[1]")
    if precision == "float32":
        cases["model.predict([1, -1e39])"] = "RangeError: inputs[1] is -1e+39, too large for float32"
    for argument, text in (
        ("3", "3"),
        ("{}", "[object Object]"),
        ("'ab'", '"ab"'),
        ("undefined", "undefined"),
        ("null", "null"),
    ):
        cases[f"model.predict({argument})"] = f"TypeError: inputs is {text}, not an array of numbers"
    cases["model.predict()"] = "TypeError: inputs is undefined, not an array of numbers"
    cases["model.predict([[1, 2], null])"] = "TypeError: inputs[1] is null, not an array of numbers"
    cases["model.predict([[1, 2], 3])"] = "TypeError: inputs[1] is 3, not an array of numbers"
    cases["model.predict([1, 2], null)"] = "TypeError: parameters is null, not an array of numbers"
    cases["model.train([[1, 2]], null)"] = "TypeError: targets is null, not an array of numbers"
    cases["model.predict([])"] = cases["model.predict(new Float32Array(0))"] = "RangeError: inputs are empty"
    for option in ("learningRate: '0.1'", "learningRate: Infinity", "learningRate: [1]", "epochs: '3'", "seed: {}"):
        cases[f"model.train([[1, 2]], [1], {{ {option} }})"] = f"RangeError: {option.partition(':')[0]} must be a"
    cases["await load(undefined, [0, 0, 0, 0, 0, 0, null])"] = "TypeError: parameters[6] is null, not a number"
    tried = ", ".join(f"async () => {call}" for call in cases)
    messages = run(
        folder,
        f"""
        const told = (error) => `${{error.name}}: ${{error.message.replace("perceptron: ", "")}}`;
        return Promise.all([{tried}].map((call) => call().then(() => "accepted", told)));""",
    )
    for call, message, wanted in zip(cases, messages, cases.values(), strict=True):
        assert message.startswith(wanted), call
    right = run(folder, "return [[true, 0], [1, 0]].map((row) => model.predict([row])[0][0])")
    assert right[0] == right[1]


@in_node
def test_ranges_of_inputs(exported):
    """An input that is a row of an embedding is a whole number below their count, as in Python; others are free."""
    token, size = nn.Input(2, name="token"), nn.Input(1, name="size")
    joined = nn.concatenate([nn.Flatten()(nn.Embedding(3, 2)(token)), size])
    model = nn.Network([token, size], nn.Dense(1)(joined), name="words")
    module = nn.build(model, fit=False)
    folder, point = exported(model), module.initial_parameters().tolist()
    refused = [[0, 3, 0.5], [-1, 2, 0.5], [0.5, 2, 0.5]]
    right, flat, *messages = run(
        folder,
        f"""
        const point = {point}, rows = {refused};
        const told = rows.map((row) => failing(() => model.predict([[0, 2, 7.5], row], point)));
        const one = failing(() => model.predict([...rows[2], 0, 0, 1], point));
        return [model.predict([[0, 2, 7.5]], point)[0], one, ...told];""",
    )
    assert right == pytest.approx(module.predict(point, [[0, 2, 7.5]])[0], rel=1e-14)
    assert flat == "words: inputs[0] is 0.5, not a whole number from 0 to 2"
    for row, (column, value), text in zip(refused, ((1, 3), (0, -1), (0, 0.5)), messages, strict=True):
        assert text == f"words: inputs[1][{column}] is {value}, not a whole number from 0 to 2"
        with pytest.raises(ValueError, match=rf"X\[0, {column}\] is {value}; .* whole numbers from 0 to 2"):
            module.predict(point, [row])


@in_node
def test_wrong_arguments(perceptron_folder, chain_folder, exported):
    """Errors say what was wrong."""
    errors = run(
        perceptron_folder,
        """
        const train = (options, X = [[1, 2], [3, 4]], Y = [0, 1]) => failing(() => model.train(X, Y, options));
        return [failing(() => model.predict([[1, 2, 3]])), failing(() => model.predict([1, 2, 3])),
          failing(() => model.predict([1, 2], [1])), train({}, [[1, 2]]), train({}, [], []),
          train({ optimizer: "best" }), train({ rate: 1 }), train({ epochs: 0 }), train({ batchSize: 1.5 }),
          train({ learningRate: NaN }), train({ update: "any" }), train({}, [[1, 2]], [[1, 2]]),
          train({ optimizer: "adam", update: "sequential" }), train({ beta1: 0.5 }),
          failing(() => model.predict([[1, 2], [1], [1, 2, 3]])), train({}, [[1, 2], [1]], [1, 2]),
          train({ seed: 2**53 }), train({ optimizer: "sequential" })];""",
    )
    patterns = [
        "inputs are rows of 2 numbers", "inputs are rows of 2 numbers", "needs 7 parameters",
        "there are 1 rows of inputs, and of targets 2", "there are 0 rows", "optimizer must be one of: sgd, adam",
        "no option rate; there are: optimizer, update, learningRate", "epochs must be a whole number from 1 on",
        "batchSize must be a whole number from 1 on", "learningRate must be a number that is not negative",
        "update must be simultaneous or sequential", "targets are rows of 1 numbers",
        "adam updates all parameters at once", "sgd has no option beta1", "inputs are rows of 2 numbers",
        "rows must have the same length", "seed must be a whole number from 0 on",
        "optimizer must be one of: sgd, adam",
    ]  # fmt: skip
    for error, pattern in zip(errors, patterns, strict=True):
        assert pattern in error
    assert "needs 7 parameters" in run(exported(perceptron), "return failing(() => model.predict([1, 2]))")
    wrong = run(chain_folder, "return failing(() => model.train([[1, 2, 3, 4]], [3]))")
    assert "classes are the numbers from 0 to 2" in wrong
    assert "needs 7 parameters" in run(perceptron_folder, "return load(undefined, [1, 2]).catch((e) => e.message)")


# --- training in Node --------------------------------------------------------------------------------------------


@in_node
def test_the_perceptron_trains(perceptron_folder):
    """The perceptron goes from 0.649864 to 0.999453, with the same digits as the compiled module."""
    before, after, losses = run(
        perceptron_folder,
        """
        const trained = model.train([[0.35, 0.9]], [1], { learningRate: 0.3, epochs: 999, update: "sequential" });
        return [model.predict([0.35, 0.9]), model.predict([0.35, 0.9], trained.parameters), trained.losses];""",
    )
    assert f"{before[0]:.12f} {after[0]:.12f}" == "0.649864477526 0.999453185534"
    assert len(losses) == 999
    assert losses[0] == pytest.approx(-np.log(before[0]), rel=1e-14)


@in_node
@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({"optimizer": "adam", "batchSize": 4, "epochs": 5, "seed": 3}, {"batch_size": 4, "seed": 3}),
        ({"optimizer": "adagrad", "initialAccumulator": 0.5, "epochs": 4}, {"initial_accumulator": 0.5}),
        ({"batchSize": 3, "shuffle": False, "epochs": 3}, {"batch_size": 3, "shuffle": False}),
        ({"update": "sequential", "epochs": 2}, {"update": "sequential"}),
        *(({"optimizer": name, "epochs": 3}, {}) for name in OPTIMIZERS),
    ],
    ids=["order", "initial", "batches", "sequential", *OPTIMIZERS],
)
def test_as_the_module_trains(options, same, chain, chain_folder):
    """Trained as the compiled module is, in the same order of samples, parameters are the same but for rounding.

    Classes may be given by their numbers.
    """
    X, labels = samples()
    chosen = {"optimizer": options.get("optimizer", "sgd"), "epochs": options["epochs"], "learning_rate": 0.05, **same}
    result = chain.train(X, labels, parameters=chain.initial_parameters(), **chosen)
    parameters, losses = run(chain_folder, training({**options, "learningRate": 0.05}))
    assert np.allclose(parameters, result.parameters, rtol=1e-10, atol=1e-11)
    assert np.allclose(losses, result.history, rtol=1e-10)


@in_node
def test_an_optimizer_of_ones_own(tmp_path):
    """Its hyperparameters are options, by default with all their digits."""

    def crawl(parameter, gradient, learning_rate, slow_rate):
        return parameter - learning_rate * slow_rate * gradient

    rule = nn.Optimizer("crawl", crawl, hyperparameters={"slow_rate": 0.123456789})
    y = sympy.Symbol("y")
    crawling = nn.Model("crawling", x, y, {a: 1.0}, a * x, (a * x - y) ** 2, optimizers=[rule])
    folder = nn.export(crawling, "wasm", tmp_path / "out", train=True, optimizers=["crawl"]).folder
    outcome = run(
        folder,
        """
        const train = (options) => model.train([1], [0], { epochs: 1, learningRate: 1, ...options }).parameters[0];
        return [train({}), train({ slowRate: 0.5 })];""",
    )
    assert outcome == pytest.approx([1 - 2 * 0.123456789, 0.0], rel=1e-15)


@in_node
def test_training_in_single_precision(exported, chain):
    """It is that in double, but for rounding."""
    folder = exported(chain_model, train=True, optimizers=("adam",), precision="float32")
    parameters, losses = run(folder, training({"epochs": 5, "batchSize": 4}))
    X, labels = samples()
    result = chain.train(X, labels, optimizer="adam", epochs=5, batch_size=4)
    assert np.allclose(parameters, result.parameters, atol=1e-4)
    assert np.allclose(losses, result.history, rtol=1e-5)


def samples():
    """Inputs and classes for the chain."""
    rng = np.random.default_rng(2)
    return rng.normal(size=(11, 4)), rng.integers(0, 3, 11)


def training(options):
    """A script that trains with these, step by step."""
    X, labels = samples()
    return f"""
        const trainer = model.trainer({X.tolist()}, {labels.tolist()}, {json.dumps(options)});
        while (!trainer.done) trainer.step();
        return [trainer.parameters, trainer.losses];"""


@in_node
def test_a_training_that_diverges(exported):
    """It ends with an error, and with the parameters from before the epoch; the model's own never change."""
    message, finite, weights = run(
        exported(line, train=True),
        """
        const trainer = model.trainer([1e3, 2e3], [0, 1], { learningRate: 1e10, epochs: 99 });
        const message = failing(() => { while (!trainer.done) trainer.step(); });
        return [message, trainer.losses.length > 0 && Number.isFinite(trainer.parameters[0]), model.parameters];""",
    )
    assert re.search(r"diverged in epoch \d+: lower learningRate", message)
    assert finite
    assert weights == [1.0]


@in_node
def test_dropout(exported):
    """Dropout is random in training, by the seed, and absent from predictions."""
    network = nn.Sequential([nn.Dense(8, "relu"), nn.Dropout(0.5), nn.Dense(1)], inputs=2, name="dropping")
    X, Y = random_data(stage(network, "describe"), 6)
    runs, predicted = run(
        exported(network, train=True),
        f"""
        const train = (seed) => model.train({X.tolist()}, {Y.tolist()}, {{ seed, epochs: 3 }}).losses;
        return [[train(1), train(1), train(2)], model.predict({X.tolist()})];""",
    )
    assert runs[0] == runs[1] != runs[2]
    assert len(set(runs[0])) == 3
    assert np.allclose(predicted, expected(network, start_of(stage(network, "describe")), X), rtol=1e-13)


@in_node
def test_without_inputs_or_targets(exported):
    """A formula may have no inputs, or no targets: what it has says how many rows there are."""
    y, u = sympy.symbols("y u")
    constant = nn.Model("constant", (), y, {a: 0.0}, a)
    outcome = run(
        exported(constant, train=True),
        """
        const trained = model.train([], [1, 2, 6], { learningRate: 0.5, epochs: 60 });
        return [trained.parameters, model.predict([[], []], [4]), model.predict([], [5])];""",
    )
    assert outcome[0] == pytest.approx([3.0])
    assert outcome[1:] == [[[4], [4]], [5]]
    valley = nn.Model("valley", u, (), {a: 0.0}, a * u, (a - 2 * u) ** 2)
    assert run(
        exported(valley, train=True), "return model.train([1], undefined, { learningRate: 0.25 }).parameters"
    ) == (pytest.approx([2.0]))


# --- the page in a browser ---------------------------------------------------------------------------------------


@in_node
@pytest.mark.parametrize("folder", ["perceptron_folder", "chain_folder"])
def test_the_script_of_the_page_is_a_module(folder, request, tmp_path):
    """The page holds the module and its own code in one script, whose names do not meet."""
    page = next(request.getfixturevalue(folder).glob("*.html")).read_text()
    script = tmp_path / "page.mjs"
    script.write_text(re.search(r'<script type="module">\n(.*?)</script>', page, re.DOTALL)[1])
    done = subprocess.run([NODE, "--check", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def browse(address, folder, *options):
    """The text of a page after its scripts have ended, with the tags."""
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder}",
        "--no-first-run",
        "--virtual-time-budget=30000",
        *options,
        address,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


@pytest.mark.thorough
@in_chromium
def test_the_page_trains_the_perceptron(perceptron_folder, tmp_path):
    """The page that is exported, opened as a file, trains the perceptron before one's eyes."""
    settings = "data=0.35,0.9,1&learningRate=0.3&epochs=999&update=sequential&start"
    page = browse(f"{(perceptron_folder / 'perceptron.html').as_uri()}#{settings}", tmp_path, "--dump-dom")
    assert '<dd id="epoch">999</dd>' in page
    assert "<td>0.649864</td><td>0.999453</td>" in page
    assert "Trained in 999 epochs." in page
    assert '<div role="alert"></div>' in page
    heights = [float(point.split(",")[1]) for point in re.search(r'points="([^"]+)"', page)[1].split()]
    assert len(heights) > 300
    assert heights == sorted(heights)  # the loss falls from epoch to epoch


@pytest.mark.thorough
@in_chromium
def test_the_page_says_what_is_wrong(perceptron_folder, exported, tmp_path):
    """Data that are no rows of the model are refused with the line; a training that diverges stops with an error."""
    page = browse(f"{(perceptron_folder / 'perceptron.html').as_uri()}#data=1,2,3%0A4,5&start", tmp_path, "--dump-dom")
    assert '<div role="alert">Line 2 of the data must hold 3 numbers.</div>' in page
    settings = "data=1000,0&learningRate=1e10&epochs=99&start"
    page = browse(f"{(exported(line, train=True) / 'line.html').as_uri()}#{settings}", tmp_path, "--dump-dom")
    assert '<div role="alert">line: the training diverged in epoch' in page
    assert 'role="status">Stopped.<' in page


@pytest.mark.thorough
@in_chromium
@pytest.mark.parametrize(("width", "height"), [(1200, 900), (500, 1500)])
def test_the_page_fits_the_window(width, height, chain_folder, tmp_path):
    """The page is as wide as the window, on a desk and in a hand."""
    picture = tmp_path / "page.png"
    script = "<script type='module'>addEventListener('load', () => setTimeout(() => document.title = 'width ' + "
    script += "document.documentElement.scrollWidth, 9000))</script>"
    page = tmp_path / "page.html"
    page.write_text((chain_folder / "chain.html").read_text().replace("</html>", script))
    options = (f"--window-size={width},{height}", "--hide-scrollbars")
    text = browse(f"{page.as_uri()}#start&epochs=100", tmp_path / "profile", *options, "--dump-dom")
    assert f"<title>width {width}</title>" in text
    assert "Trained in 100 epochs." in text
    browse(f"{page.as_uri()}#start&epochs=100", tmp_path / "profile", *options, f"--screenshot={picture}")
    assert picture.read_bytes()[16:24] == width.to_bytes(4, "big") + height.to_bytes(4, "big")


@pytest.mark.thorough
@in_chromium
def test_a_module_in_a_browser(exported, tmp_path):
    """A page imports the module from a server; it fetches the WebAssembly and the weights that lie beside it."""
    folder = exported(digits, parameters=trained)
    text = """<p></p><script type="module">import { load } from "./digits.js";
        const model = await load();
        document.querySelector("p").textContent = Array.from(model.predict(Array(64).fill(0.25))).join(" ");</script>"""
    (folder / "use.html").write_text(text)
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browse(f"http://127.0.0.1:{server.server_port}/use.html", tmp_path, "--dump-dom")
        server.shutdown()
    outputs = [float(number) for number in re.search(r"<p>(.*?)</p>", page)[1].split()]
    assert outputs == pytest.approx(expected(digits, trained, np.full((1, 64), 0.25))[0], rel=1e-13)


class Quiet(SimpleHTTPRequestHandler):
    """A server that says nothing."""

    def log_message(self, *_):
        pass
