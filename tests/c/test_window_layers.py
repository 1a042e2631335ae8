"""Layers of windows, compiled, and programs with equations between indices in plain C, against the evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.describe.describable import Described
from nncodegen.compiler.ir import RECURRENCES, evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from tests.support.plain import loaded
from tests.support.windows import GROUPED, PROGRAMS, STEPS, data, gradient

NAMES = [name for name in PROGRAMS if not any(step.operator in RECURRENCES for step in PROGRAMS[name].steps)]


def test_plain_c_computes_what_programs_mean(tmp_path: Path) -> None:
    """Outputs, loss and gradient of exported C are those of the evaluator, whatever windows, pools and gathers do."""
    exports = {name: (Described(PROGRAMS[name]), {"train": True}) for name in NAMES}
    for name, functions in loaded(tmp_path, exports).items():
        model = PROGRAMS[name]
        parameters, X, Y = data(model, samples=4)
        if name == "gathered":
            X[0, 1], X[1, 0], X[2, 2] = 4.0, -1.0, 1.5  # rows that there are not
        expected = evaluate(model, parameters, X, Y)
        slopes = gradient(simplify(differentiate(stabilize(model))), parameters, X, Y)
        loss, slopes_of_c = functions.loss_and_gradient(parameters, X, Y)
        assert loss == pytest.approx(float(expected["loss"]), rel=1e-13)
        np.testing.assert_allclose(slopes_of_c, slopes, atol=1e-13 * np.linalg.norm(slopes))
        np.testing.assert_allclose(functions.predict(parameters, X).ravel(), np.ravel(expected["out"]), atol=1e-13)


TWO, ONE = (GROUPED, "float64", 1e-13), (STEPS, "float32", 1e-6)


@pytest.mark.parametrize(("model", "precision", "tolerance"), [TWO, ONE], ids=["2D", "1D"])
@pytest.mark.usefixtures("vector_compiler")
def test_layers(model: nn.Sequential, precision: str, tolerance: float) -> None:
    """Convolutions, their transposes and pools give the evaluator's outputs and gradients, but for rounding."""
    check(model, precision, tolerance)


@pytest.mark.thorough
@pytest.mark.usefixtures("usual_compiler")
@pytest.mark.parametrize(("model", "precision", "tolerance"), [TWO, ONE], ids=["2D", "1D"])
def test_layers_of_people(model: nn.Sequential, precision: str, tolerance: float) -> None:
    """So they do where they are compiled as people get them."""
    check(model, precision, tolerance)


def check(model: nn.Sequential, precision: str, tolerance: float) -> None:
    """A module of a network against the evaluator."""
    program = model.describe()
    arguments = [each.astype(precision) for each in data(program, samples=37)]
    derived = simplify(differentiate(stabilize(program)))
    expected, slopes = evaluate(program, *arguments), gradient(derived, *arguments)
    module = nn.build(model, precision, fit=False)
    loss, slopes_of_module = module.loss_and_gradient(*arguments)
    assert loss == pytest.approx(float(expected["loss"]), rel=tolerance)
    np.testing.assert_allclose(slopes_of_module, slopes, atol=tolerance * np.linalg.norm(slopes))
    outputs = module.predict(*arguments[:2])
    np.testing.assert_allclose(outputs, expected[program.outputs[0].tensor], rtol=0, atol=3 * tolerance)
