"""Sequences step by step, taken elsewhere: plain C, WebAssembly and folders draw the tokens that the module draws."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.bench.workloads import MICROGPT
from nncodegen.errors import ModelError
from nncodegen.formats.wasm.compiler import compilers
from tests.support.built import built
from tests.support.compilers import WARNINGS
from tests.support.plain import COMPILERS
from tests.support.stepping import NETWORKS, STEPS, TOKENS

pytestmark = pytest.mark.usefixtures("quick_compiler")
PROMPT = [1, 3]
CALLS = (
    {"steps": 6, "temperature": 0.0},
    {"steps": 6, "seed": 3},
    {"steps": 5, "temperature": 0.5, "top_k": 3, "seed": 9},
    {"steps": 6, "stop": 2, "seed": 2**40},
)

DRIVER = """
#include <stdio.h>
#include "NAME.h"

static REAL state[UPPER_STATE], probabilities[UPPER_PROBABILITIES], work[UPPER_STEP_WORK];

int main(void)
{
    const int32_t prompt[] = {1, 3};
    int32_t tokens[16];
    size_t count;
CALLS
    for (size_t k = 0; k < UPPER_STATE; k++)
        state[k] = 0;
    for (size_t n = 0; n < 2; n++)
        NAME_step(NULL, (size_t) prompt[n], state, probabilities, work);
    for (size_t k = 0; k < UPPER_PROBABILITIES; k++)
        printf("%.17g ", (double) probabilities[k]);
    return 0;
}
"""

CALL = """    count = NAME_generate(NULL, prompt, 2, %d, %r, %d, %d, %d, tokens, state, work);
    for (size_t n = 0; n < count; n++)
        printf("%%d ", (int) tokens[n]);
    printf("\\n");"""


def module_of(name, precision):
    """A module, parameters, the tokens of all calls, and the probabilities after the prompt."""
    module = built(NETWORKS[name], precision, fit=False)
    parameters = np.random.default_rng(1).normal(0, 0.4, module.parameter_count).astype(module.dtype)
    tokens = [module.generate(parameters, PROMPT, **call).tolist() for call in CALLS]
    probabilities, _ = module.step(parameters, PROMPT[1], module.step(parameters, PROMPT[0])[1])
    return parameters, tokens, probabilities


@pytest.mark.parametrize(
    ("name", "precision", "libm"),
    [("transformer", "float64", True), ("grouped", "float32", True), ("recurrent", "float64", False)],
)
def test_plain_c(name, precision, libm, tmp_path):
    """Plain C, with the C library or without, draws the tokens of the module, without a warning of the compiler."""
    parameters, tokens, probabilities = module_of(name, precision)
    nn.export(NETWORKS[name], "c", tmp_path, parameters, precision=precision, libm=libm, generate=True)
    numbers = [
        (each["steps"], each.get("temperature", 1.0), each.get("top_k", 0), each.get("stop", -1), each.get("seed", 0))
        for each in CALLS
    ]
    text = DRIVER.replace("CALLS", "\n".join(CALL % each for each in numbers))
    text = text.replace("NAME", name).replace("UPPER", name.upper())
    (tmp_path / "main.c").write_text(text.replace("REAL", "double" if precision == "float64" else "float"))
    for main in ("main", f"{name}_test"):
        command = [COMPILERS[0], "-std=c99", "-O1", *WARNINGS, f"{name}.c", f"{main}.c", "-lm", "-o", main]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    *lines, last = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert [list(map(int, line.split())) for line in lines] == tokens
    np.testing.assert_allclose(
        np.array(last.split(), float), probabilities, atol=1e-13 if precision == "float64" else 1e-6
    )
    verdict = subprocess.run([f"./{name}_test"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert verdict.returncode == 0, verdict.stdout
    assert "steps: right" in verdict.stdout


SCRIPT = """
import { load } from "./NAME.js";
const model = await load();
const found = CALLS.map(({ steps, top_k, ...options }) => model.generate([1, 3], steps, { topK: top_k, ...options }));
const { state } = model.step(1);
const again = model.generate([[1, 3], [1, 3]], 4, { seed: 3 });
const wrong = [
  () => model.generate([], 2), () => model.generate([5], 2), () => model.generate([1], 8), () => model.step(0.5),
  () => model.generate([1], 2, { topK: 0 }), () => model.generate([1], 2, { temperature: -1 }),
  () => model.generate([1], 2, { stop: 5 }), () => model.step(1, [0, 1]), () => model.generate(1, 2),
].map((call) => { try { return `${call()}`; } catch (error) { return error.message; } });
const arrays = [...found, ...again, model.step(3, state).probabilities].map((each) => Array.from(each));
console.log(JSON.stringify([arrays, wrong]));
"""


@pytest.mark.skipif(not [*compilers()] or not shutil.which("node"), reason="no compiler for WebAssembly, or no Node")
def test_webassembly(tmp_path):
    """In Node, WebAssembly draws the tokens of the module, and says what is wrong with other arguments."""
    parameters, tokens, probabilities = module_of("transformer", "float64")
    exported = nn.export(NETWORKS["transformer"], "wasm", tmp_path, parameters, generate=True)
    assert "generate(prompt: Numbers" in exported.files["transformer.d.ts"].decode()
    (tmp_path / "run.mjs").write_text(SCRIPT.replace("NAME", "transformer").replace("CALLS", json.dumps(CALLS)))
    done = subprocess.run(["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (*drawn, first, second, last), wrong = json.loads(done.stdout)
    assert drawn == tokens
    module = built(NETWORKS["transformer"], "float64", fit=False)
    several = module.generate(parameters, [PROMPT, PROMPT], 4, seed=3)
    assert [first, second] == [sequence.tolist() for sequence in several]
    np.testing.assert_allclose(last, probabilities, atol=1e-14)
    messages = (
        "a prompt is at least one token",
        r"prompt\[0\] is 5, not a whole number from 0 to 4",
        "prompt and steps need",
        "token is 0.5",
        "topK is 0, not",
        "temperature is -1, not",
        "stop is 5, not",
        "a state is what a step",
        "prompt is 1, not an array",
    )
    for message, expected in zip(wrong, messages, strict=True):
        assert re.search(expected, message), message


@pytest.mark.skipif(not [*compilers()], reason="no compiler for WebAssembly")
def test_size_of_webassembly(tmp_path):
    """microgpt, with prediction, steps and generation in float64, takes less than 14 kB without its weights."""
    start = MICROGPT.start("float64")
    exported = nn.export(MICROGPT.model, "wasm", tmp_path, start, precision="float64", generate=True)
    assert len(exported.files["microgpt.wasm"]) < 14_000


def test_a_module_in_a_folder(tmp_path):
    """A module that is written to a folder generates without nncodegen, and draws the same tokens."""
    parameters, tokens, _ = module_of("grouped", "float32")
    nn.build(NETWORKS["grouped"], "float32", out=tmp_path, fit=False)
    np.save(tmp_path / "parameters.npy", parameters)
    text = f"""import sys
sys.modules["nncodegen"] = None
import json, numpy, grouped
parameters = numpy.load("parameters.npy")
print(json.dumps([grouped.generate(parameters, {PROMPT}, **call).tolist() for call in {CALLS!r}]))"""
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == tokens


def test_what_cannot_be_exported():
    """A model that cannot be computed step by step is refused, and so are targets that have no steps."""
    x = nn.Input(STEPS)
    h = nn.MultiHeadAttention(1, 2)(nn.Embedding(TOKENS, 4)(x))
    model = nn.Network(x, nn.Dense(TOKENS, "softmax")(h), "sparse_categorical_crossentropy", name="everywhere")
    with pytest.raises(ModelError, match=r"everywhere cannot be computed step by step.*use_causal_mask"):
        nn.export(model, "c", generate=True)
    with pytest.raises(ModelError, match="the destination onnx has no --generate"):
        nn.export(NETWORKS["grouped"], "onnx", generate=True)
    with pytest.raises(ModelError, match="C with vectors has no steps"):
        nn.export(NETWORKS["grouped"], "c", vectors=True, generate=True)
