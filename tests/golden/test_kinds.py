"""Small models that have every kind of loop between them: the committed texts of some, and what the others hold."""

import re
from pathlib import Path

import pytest

from tests.support.built import stage
from tests.support.compilers import LIGHTLY_TO_AN_OBJECT, TO_AN_OBJECT, compile_strictly
from tests.support.kinds import KINDS

TEXTS = Path(__file__).parent / "texts"


def emitted(name):
    """The sources of a model, and those of its files that are its own: another model has them under another name."""
    model, precision, choices = KINDS[name]
    sources = stage(model, "emit", precision, **choices)
    return sources, {file: text for file, text in sources.files.items() if file.startswith(sources.module)}


COMMITTED = ("samples", "features", "single_samples")
"""With the perceptron, they show what tiles, single samples and models side by side look like."""


@pytest.mark.parametrize("name", COMMITTED)
def test_texts(name, request):
    """What is emitted is what was committed, byte for byte; ``--update-golden`` commits to what is emitted now."""
    folder, (_, files) = TEXTS / name, emitted(name)
    if request.config.getoption("--update-golden"):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for file, text in files.items():
            (folder / file).write_text(text)
    assert folder.is_dir(), "there are no texts: commit to them with --update-golden"
    assert {path.name: path.read_text() for path in folder.iterdir()} == files


ALIKE = ("samples", "features", "registers", "formulas", "blas", "noise")
"""Models whose compilation tells little more than that of others here and in tests/c/test_c.py."""


@pytest.mark.parametrize(
    ("name", "compilers"),
    [
        *(pytest.param(name, LIGHTLY_TO_AN_OBJECT, id=name) for name in KINDS if name not in ALIKE),
        *(pytest.param(name, TO_AN_OBJECT, id=f"{name} optimized", marks=pytest.mark.thorough) for name in KINDS),
    ],
)
def test_no_warnings(name, compilers, tmp_path):
    """GCC and Clang compile each model, and find nothing to complain about in strict C11.

    Most models with little optimization, and with --thorough all of them with more.
    """
    sources, _ = emitted(name)
    compile_strictly(sources, tmp_path, compilers)


def test_every_kind_of_loop():
    """The models are what they stand for, as the schedule decides."""
    schedules = {
        name: stage(model, "schedule", precision, **choices) for name, (model, precision, choices) in KINDS.items()
    }
    assert not schedules["samples"].layout.features
    assert len(schedules["features"].layout.features) == 3
    assert schedules["features"].layout.transposed
    assert schedules["features"].kernels[-1].descends
    assert schedules["single_samples"].single_sample.gradient
    assert schedules["single_samples"].side_by_side
    for name in ("registers", "formulas"):
        assert schedules[name].unrolled
        assert not schedules[name].program.layered
    assert schedules["networks"].unrolled
    assert schedules["networks"].side_by_side
    assert schedules["blas"].layout.blas
    assert schedules["noise"].program.noise


def functions_of(name):
    """The functions of a model's C by their names."""
    _, files = emitted(name)
    text = "\n".join(files.values())
    return dict(re.findall(r"^(?:static|INLINE) [^;{]*?(\w+)\([^;{]*\)\n{\n(.*?)^}", text, re.MULTILINE | re.DOTALL))


def loops(body):
    return re.findall(r"for \(size_t (\w+) =", body)


def test_training_in_registers_has_no_loop():
    """It has neither loops nor calls of the C library, and looks at each exponential once."""
    for name in ("registers", "networks"):
        functions = functions_of(name)
        for function in ("next_point", "update_sequentially"):
            if function in functions:
                assert not loops(functions[function])
                assert "memcpy" not in functions[function]
    assert functions_of("registers")["next_point"].count("exp_scalar(") == 1


def test_a_formula_has_loops_over_samples_alone():
    """Predictions and the loss go over the samples of a tile, and once where no step waits long for another."""
    for name in ("registers", "formulas"):
        functions = functions_of(name)
        assert {*loops(functions["predict_tile"]), *loops(functions["loss_tile"])} == {"n"}
    assert loops(functions_of("registers")["predict_tile"]) == ["n"]
    functions = functions_of("formulas")["predict_tile"]
    assert "sinf(" in functions
    assert re.search(r"\? t\d+ : t\d+\)", functions)  # a choice without a branch
    assert "if (" not in functions


def test_models_side_by_side_have_a_lane_each():
    """The innermost loop of a group is over its models."""
    for name in ("networks", "registers"):
        functions = functions_of(name)
        body = functions.get("group_loops") or functions["group_gradient"]
        assert loops(body)
        assert loops(body)[-1] == "lane"
        assert body.count("MODELS_LOOP") == loops(body).count("lane")


def test_products_of_blas_have_blocks_as_well():
    """A product that is left to BLAS is one call, and runs in blocks where there is none."""
    for body in (functions_of("blas")[f"{kernel}_tile"] for kernel in ("predict", "loss", "gradient")):
        called = re.findall(r"if \(gemm\).*?\n\s*product\(", body)
        assert called
        assert len(called) <= len(re.findall(r"\belse\n\s*(?:contract|dot_products)|\belse {\n", body))


def test_noise_is_for_training_alone():
    """Random numbers are drawn for the gradient; predictions and the loss have none."""
    drawn = {name for name, body in functions_of("noise").items() if "_noise(" in body}
    assert drawn == {"gradient_tile", "gradient_sample"}
