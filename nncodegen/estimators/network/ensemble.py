"""The mean of many networks as one model, which has an index for the networks of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sympy import Add, Expr, Float, S

from nncodegen.compiler.describe import Optimizer
from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, Tensor, slices_of
from nncodegen.compiler.ir.program import Task
from nncodegen.errors import ModelError
from nncodegen.estimators.network.description import Description, forward

MODELS, OUTPUTS = "m_0", "k_0"
"""The indices of the networks and of the outputs. Those of layers never end in _0."""


@dataclass(frozen=True)
class Kind:
    """``count`` networks of equal description, and the weight of their mean in the output."""

    network: Description
    count: int = 1
    weight: float = 1.0


@dataclass(frozen=True)
class Ensemble:
    """The weighted mean of networks of one kind or several, times ``scale``, plus ``shift``: a model of the compiler.

    Each parameter of the networks of a kind is one tensor, whose first index is that of the networks, so that nothing
    is unrolled. The mean is for prediction; its loss is the mean squared error, and dropout has no effect.
    """

    kinds: tuple[Kind, ...]
    scale: float = 1.0
    shift: float = 0.0
    name: str = "ensemble"

    def __post_init__(self) -> None:
        sizes = {(kind.network.inputs, kind.network.outputs) for kind in self.kinds}
        if len(sizes) != 1 or any(kind.count < 1 for kind in self.kinds):
            raise ModelError(f"{self.name} needs networks that have the same inputs and the same number of outputs")

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """Return the optimizers in addition to the usual ones: none."""
        return ()

    def describe(self) -> Program:
        """Return the networks of each kind, their means, and the output; the loss is the mean squared error."""
        parts = [self._kind(number) for number in range(1, len(self.kinds) + 1)]
        (inputs,) = parts[0].inputs
        output, y = Element("output", (SAMPLE, OUTPUTS)), Element("y", (SAMPLE, OUTPUTS))
        size = self.kinds[0].network.outputs
        mean = _times(self.scale, Add(*(part.outputs[0] for part in parts)))
        unit_loss = Element("loss_n", (SAMPLE,))
        return Program(
            name=self.name,
            inputs=(inputs,),
            targets=(Tensor("y", (None, size)),),
            parameters=tuple(tensor for part in parts for tensor in part.parameters),
            weight=Tensor("weight", (None,)),
            steps=(
                *(step for part in parts for step in part.steps),
                Step(output, mean if self.shift == 0 else mean + Float(self.shift)),
                Step(unit_loss, (output - y) ** 2 / size, "sum", (OUTPUTS,)),
                Step(Element("loss"), unit_loss * Element("weight", (SAMPLE,)), "sum", (SAMPLE,)),
            ),
            outputs=(output,),
            loss=Element("loss"),
            task=Task(least_squares=True),
        )

    def parameters(self, by_kind: Sequence[Any]) -> Any:
        """Return the parameters of the ensemble, from those of the networks of each kind: arrays (count, P)."""
        parts = []
        for kind, arrays in zip(self.kinds, by_kind, strict=True):
            value_ranges = slices_of(forward(kind.network).parameters)
            parts += [np.ravel(np.asarray(arrays)[:, columns]) for _, columns in value_ranges]
        return np.concatenate(parts)

    def _kind(self, number: int) -> Program:
        """Return the networks of a kind, as a program whose output is their share of the mean."""
        kind = self.kinds[number - 1]
        program = forward(kind.network)
        suffix = f"_{number}" if len(self.kinds) > 1 else ""
        models = (f"{MODELS}{suffix}",) if kind.count > 1 else ()
        (x,) = program.inputs
        noise = {source.tensor.name for source in program.noise}
        inputs = next(e.indices for step in program.steps for e in step.operands if e.tensor == x.name)
        shared = {**dict(zip(inputs, inputs, strict=True)), program.outputs[0].indices[1]: OUTPUTS}

        def index(name: str) -> str:
            return shared.get(name, f"{name}{suffix}")

        def element(old: Element) -> Element:
            if old.tensor == x.name:
                return old
            rows, rest = (old.indices[:1], old.indices[1:]) if SAMPLE in old.indices else ((), old.indices)
            return Element(f"{old.tensor}{suffix}", (*rows, *models, *map(index, rest)))

        def formula(old: Step) -> Expr:
            return old.expression.xreplace({e: S.Zero if e.tensor in noise else element(e) for e in old.operands})

        steps = [Step(element(s.target), formula(s), s.operator, tuple(map(index, s.over))) for s in program.steps]
        share = Element(f"mean{suffix}", (SAMPLE, OUTPUTS))
        result = _times(kind.weight / kind.count, element(program.outputs[0]))
        steps.append(Step(share, result, "sum" if models else None, models))
        parameters = tuple(
            replace(tensor, name=f"{tensor.name}{suffix}", shape=(*(kind.count for _ in models), *tensor.shape))
            for tensor in program.parameters
        )
        return replace(program, parameters=parameters, steps=tuple(steps), outputs=(share,), noise=())


def _times(factor: float, value: Expr) -> Expr:
    return value if factor == 1 else Float(factor) * value
