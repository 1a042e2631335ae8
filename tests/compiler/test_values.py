"""Programs of values alone, without a loss: every stage up to the loops takes them like any other."""

from dataclasses import replace

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen import ProgramError
from nncodegen.certificates.description import from_data, to_data
from nncodegen.certificates.scheduled import carried_out
from nncodegen.compiler.describe import describe
from nncodegen.compiler.ir import Element, Program, Step, Tensor, evaluate, verify
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.findings import VALUES, Companions
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.compiler.schedule import schedule
from nncodegen.formats.export.programs import of_outputs

x, y, u, v = (Element(name, ("n",)) for name in "xyuv")
TWO = Program(
    "two",
    (Tensor("x", (None,)), Tensor("y", (None,))),
    (Step(u, sympy.sin(x * y) + sympy.exp(x * y)), Step(v, x * y + 1)),
    (u, v),
)
"""Two values of two inputs: no parameter, no target, no loss."""


def through_stages(program):
    """The program after each stage that verifies it, by the name of the stage."""
    stages = {"describe": program}
    for stage in (stabilize, differentiate, simplify):
        program = verify(stage(program))
        stages[stage.__name__] = program
    return stages


def test_two_values():
    """Its text has no line of a loss; all stages keep its values; its one kernel computes them."""
    roles = {line.split()[0] for line in verify(TWO).show().splitlines() if line}
    assert roles == {"inputs", "outputs", "u[n]", "v[n]"}
    X = np.random.default_rng(0).normal(size=(70, 2))
    product = X[:, 0] * X[:, 1]
    expected = np.column_stack([np.sin(product) + np.exp(product), product + 1])
    stages = through_stages(TWO)
    for program in stages.values():
        values = evaluate(program, [], X)
        columns = np.column_stack([values[output.tensor] for output in program.outputs])
        assert columns == pytest.approx(expected, rel=1e-13, abs=1e-13)
        assert not program.gradient
    scheduled = schedule(stages["simplify"])
    assert [kernel.name for kernel in scheduled.kernels] == ["predict"]
    assert carried_out(scheduled, np.empty(0), X, np.empty((70, 0))) is None


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(2)], inputs=3, loss="mse"),
        nn.Sequential([nn.GRU(4), nn.Dense(2)], inputs=(6, 3), loss="mse"),
        nn.Sequential([nn.Dense(4), nn.BatchNormalization(), nn.Dense(2)], inputs=3, loss="mse"),
    ],
    ids=["dense", "recurrent", "statistics"],
)
def test_networks(model):
    """The outputs of a network are those that it has with its loss; nothing is fitted to values alone."""
    described = describe(model)
    values = through_stages(of_outputs(described))
    generator = np.random.default_rng(1)
    parameters = generator.uniform(0.1, 1, described.parameter_count)
    X = generator.normal(size=(3, sum(tensor.size for tensor in described.inputs)))
    (output,), expected = described.outputs, evaluate(described.at_rest, parameters, X)
    for program in values.values():
        assert evaluate(program, parameters, X)[program.outputs[0].tensor] == pytest.approx(
            expected[output.tensor], rel=1e-12
        )
    scheduled = schedule(values["simplify"])
    assert [kernel.name for kernel in scheduled.kernels] == ["predict"]
    assert carried_out(scheduled, parameters, X, np.empty((3, 0))) is None
    companions = Companions(values["stabilize"], fit=None)
    assert companions.not_fitted == VALUES
    assert "hessian" not in [companion.name for companion in companions.derived]


def test_what_needs_a_loss_says_so():
    """A gradient without a loss is refused, and whatever needs the loss names the program that has none."""
    with pytest.raises(ProgramError, match="two has a gradient, but no loss"):
        verify(replace(TWO, parameters=(Tensor("a"),), gradient=(Element("a"),)))
    with pytest.raises(ProgramError, match="two has no loss, only values"):
        _ = TWO.required_loss


def test_notation_and_description():
    """It is typeset, and certificates keep it as text from which it is read again."""
    assert r"\sin" in TWO._repr_latex_()
    assert from_data(to_data(TWO)) == TWO
