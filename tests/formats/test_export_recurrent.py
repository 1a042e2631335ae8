"""Recurrent layers, taken elsewhere: plain C, and ONNX."""

import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.describe.describable import Described
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from tests.support.models import gradient_of
from tests.support.plain import COMPILERS, compiled, exported, loaded
from tests.support.windows import OPERATIONS, PROGRAMS, chain, data, gradient

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

RNG = np.random.default_rng(4)


def mixed():
    """All that there is: both directions, initial and final states, steps left out, both kinds of a GRU."""
    sequence, state, length = nn.Input((5, 3)), nn.Input(4, name="state"), nn.Input(1, name="steps")
    h = nn.Bidirectional(nn.LSTM(2, mask_value=0.0, return_sequences=True))(sequence)
    h = nn.GRU(4, lengths=True, return_sequences=True, go_backwards=True)(h, state, length)
    h = nn.GRU(3, reset_after=False, return_sequences=True)(h)
    every, _, c = nn.LSTM(2, "linear", return_sequences=True, return_state=True)(h)
    outputs = [nn.SimpleRNN(2)(every, initial_state=c), nn.Dense(1)(every)]
    return nn.Network([sequence, state, length], outputs, name="mixed")


MIXED = mixed()
PROGRAM = nn.compile_model(MIXED, until="differentiate")["differentiate"]
PARAMETERS = RNG.normal(size=PROGRAM.parameter_count)
X = np.hstack([RNG.normal(size=(6, 19)), [[1], [5], [3], [2], [4], [5]]])
X[::2, 6:9] = 0
Y = RNG.normal(size=(6, 7))


def expected():
    """The outputs side by side, the loss and the gradient."""
    values = evaluate(PROGRAM, PARAMETERS, X, Y)
    outputs = np.concatenate([values[e.tensor].reshape(6, -1) for e in PROGRAM.outputs], 1)
    return outputs, float(values["loss"]), gradient_of(PROGRAM, PARAMETERS, X, Y)


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def test_plain_c(precision, tmp_path):
    """Plain C predicts and trains recurrences; its functions touch nothing beside their arrays."""
    options = {"train": True, "precision": precision, "libm": precision == "float64"}
    c = loaded(tmp_path, {"mixed": (MIXED, options)}, COMPILERS[0], tested=["mixed"])["mixed"]
    outputs, loss, gradient = expected()
    bound = 1e-13 if precision == "float64" else 1e-5
    np.testing.assert_allclose(c.predict(PARAMETERS, X), outputs, atol=bound)
    loss_and_slope = c.loss_and_gradient(PARAMETERS, X, Y)
    assert loss_and_slope[0] == pytest.approx(loss, rel=bound)
    np.testing.assert_allclose(loss_and_slope[1], gradient, atol=bound * np.linalg.norm(gradient))
    sources = [tmp_path / "mixed" / f"mixed{end}.c" for end in ("_test", "")]
    checks = ("-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    program = compiled(sources, tmp_path / "test", COMPILERS[-1], checks)
    done = subprocess.run([program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("right") == 4


def test_memory_and_code_of_c_do_not_grow_with_a_sequence(tmp_path):
    """States of a stack are kept for one step, where nothing reads those of all; the text holds other numbers alone."""
    texts, work = [], []
    for steps in (4, 9):
        model = nn.Sequential([nn.GRU(4, return_sequences=True), nn.LSTM(4), nn.Dense(1)], (steps, 3), name="long")
        written = exported(model, tmp_path / str(steps))
        texts.append(re.sub(r"\d+", "0", written["long.c"]))
        work.append(re.search(r"PREDICT_WORK = (\d+)", written["long.h"])[1])
    assert texts[0] == texts[1]
    assert work[0] == work[1]


CHAINS = {
    "recurrent": PROGRAMS["recurrent"],
    "backwards": PROGRAMS["backwards"],
    "gated": PROGRAMS["gated"],
    "shifted": chain([("recurrence", 1, 1, 1), ("cut", 1, 1, 1), ("recurrence", 1, 1, 2), ("window", 1, 1, 1)]),
}
NUMBERS = (st.integers(1, 3), st.integers(1, 2), st.integers(1, 2))
RANDOM = st.lists(st.tuples(st.sampled_from(("recurrence", *OPERATIONS)), *NUMBERS), min_size=2, max_size=4)


def test_programs_of_steps(tmp_path):
    """Plain C and ONNX are what the evaluator says, whatever recurs in whichever direction."""
    check(CHAINS, tmp_path)


@pytest.mark.thorough
@given(st.lists(RANDOM, min_size=8, max_size=8))
@settings(max_examples=4)
def test_random_programs_of_steps(operations):
    """So they are for random programs, of windows, pools and recurrences one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        check({f"chain{k}": chain(some) for k, some in enumerate(operations)}, Path(folder))


def check(models, folder):
    """Predictions, losses and gradients of plain C, and predictions of onnxruntime, against those of the evaluator."""
    functions = loaded(
        folder, {name: (Described(model), {"train": True}) for name, model in models.items()}, options=()
    )
    for name, model in models.items():
        parameters, x, y = data(model)
        derived = simplify(differentiate(stabilize(model)))
        values, slopes = evaluate(model, parameters, x, y), gradient(derived, parameters, x, y)
        outputs = values["out"].reshape(len(x), -1)
        np.testing.assert_allclose(functions[name].predict(parameters, x), outputs, atol=1e-13)
        loss, outcome = functions[name].loss_and_gradient(parameters, x, y)
        assert loss == pytest.approx(float(values["loss"]), rel=1e-13)
        np.testing.assert_allclose(outcome, slopes, atol=1e-13 * max(1, np.linalg.norm(slopes)))
        if onnxruntime:
            nn.export(Described(model), "onnx", folder, name=name, parameters=parameters, precision="float64")
            session = onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
            (outcome,) = session.run(None, {session.get_inputs()[0].name: x})
            np.testing.assert_allclose(outcome, outputs, atol=1e-13)


def outputs_of(session, x, precision):
    (outcome,) = session.run(None, {"X": x.astype(precision)})
    return outcome


@pytest.mark.parametrize(("precision", "bound"), [("float64", 1e-13), ("float32", 1e-6)])
def test_onnx(precision, bound, tmp_path):
    """onnxruntime gives our outputs for a batch of any size, with one Scan for each recurrence."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    nn.export(MIXED, "onnx", tmp_path, parameters=PARAMETERS, precision=precision)
    session = onnxruntime.InferenceSession(tmp_path / "mixed.onnx", providers=["CPUExecutionProvider"])
    rounded = (PARAMETERS, X) if precision == "float64" else (PARAMETERS.astype("f4").astype(float), X.astype("f4"))
    values = evaluate(PROGRAM, rounded[0], rounded[1].astype(float), Y)
    wanted = np.concatenate([values[e.tensor].reshape(6, -1) for e in PROGRAM.outputs], 1)
    np.testing.assert_allclose(outputs_of(session, X, precision), wanted, atol=bound)
    np.testing.assert_allclose(outputs_of(session, X[4:5], precision), wanted[4:5], atol=bound)
    nodes = onnx.load(tmp_path / "mixed.onnx").graph.node
    assert sum(node.op_type == "Scan" for node in nodes) == 7  # one counts the steps of a sample


def test_onnx_as_its_definition_says(tmp_path):
    """The reference implementation of ONNX gives our outputs for what goes forwards."""
    reference = pytest.importorskip("onnx.reference")
    x = nn.Input((5, 3), name="X")
    model = nn.Network(x, nn.LSTM(2)(nn.GRU(3, return_sequences=True)(x)), name="forwards")
    program = model.describe()
    flat = np.random.default_rng(1).normal(size=program.parameter_count)
    nn.export(model, "onnx", tmp_path, parameters=flat, precision="float64")
    rows = X[:, :15]
    output_values = outputs_of(reference.ReferenceEvaluator(str(tmp_path / "forwards.onnx")), rows, "float64")
    np.testing.assert_allclose(output_values, evaluate(program, flat, rows, np.zeros((6, 2)))["last2"], atol=1e-13)


def test_what_knows_no_recurrences_says_so(tmp_path):
    """The error names the state that recurs, and so its layer."""
    pytest.importorskip("casadi")
    model = nn.Sequential([nn.Dense(2), nn.LSTM(3), nn.Dense(1)], (4, 3), name="refused")
    with pytest.raises(nn.ModelError, match=r"CasADi knows no recurrences .* as the one of h2\[n, i, .\]"):
        nn.export(model, "casadi", tmp_path)
    model = nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3, steps=2, name="falling")
    with pytest.raises(nn.ModelError, match=r"no recurrences \(.* steps of equations of motion\), .* in falling"):
        nn.export(model, "casadi", tmp_path)
