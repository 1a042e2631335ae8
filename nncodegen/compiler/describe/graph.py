"""Networks given as steps in index notation, as read from a file of another program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from nncodegen.compiler.describe.base import ModelBase
from nncodegen.compiler.describe.checks import bounded
from nncodegen.compiler.describe.initial_values import Given, with_initial
from nncodegen.compiler.describe.loss_steps import (
    Output,
    entry_of,
    loss_steps,
    targets_of,
    terms_together,
    values_of_mean,
)
from nncodegen.compiler.describe.losses import LossFunction, usual_name
from nncodegen.compiler.describe.optimizers import Optimizer
from nncodegen.compiler.describe.written import written
from nncodegen.compiler.ir import Element, Program, Step, Tensor
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.ir.program import Task
from nncodegen.errors import ModelError


class Graph(ModelBase):
    """A network of any form, as steps from inputs and parameters to outputs, and a loss. ``from_onnx`` makes one.

    inputs and parameters are declared as tensors; the columns of X hold the values of the inputs, one input after the
    other. steps define further tensors; outputs are some of them, each as its element and as the formula that the loss
    is written with. loss, optimizers and initial are those of ``Sequential``; the loss of a sample is the mean, or the
    sum, over the values of all outputs. extents are the sizes of indices that follow from no tensor. Raises ModelError.
    """

    @bounded("the network")
    def __init__(
        self,
        inputs: Sequence[Tensor],
        parameters: Sequence[Tensor],
        steps: Sequence[Step],
        outputs: Sequence[Output],
        loss: str | LossFunction = "mse",
        name: str = "network",
        optimizers: Sequence[Optimizer] = (),
        initial: Given | None = None,
        extents: Sequence[tuple[str, int]] = (),
    ) -> None:
        super().__init__(name, optimizers, initial)
        self.inputs = tuple(inputs)
        self.parameters = tuple(parameters)
        self.steps = tuple(steps)
        self.outputs = tuple(outputs)
        if not self.outputs:
            raise ModelError(f"{name} has no outputs: there is nothing to compute")
        self.loss = usual_name(loss)
        self.extents = tuple(extents)
        self.describe()

    def describe(self) -> Program:
        """Return the network as a Program."""
        declared = [tensor.name for tensor in (*self.inputs, *self.parameters)]
        taken = {*declared, *(step.target.tensor for step in self.steps)}
        free = partial(unused, taken=taken)
        entry = entry_of(self.loss)
        forward = Program(
            self.name,
            self.inputs,
            self.steps,
            tuple(output.element for output in self.outputs),
            self.parameters,
            weight=Tensor(free("weight"), (None,)),
            extents=self.extents,
        )
        ys = targets_of(self.outputs, free)
        targets = tuple(
            Tensor(y.tensor, forward.shapes[output.element.tensor]) for y, output in zip(ys, self.outputs, strict=True)
        )
        size = sum(tensor.size for tensor in targets)
        terms = terms_together(entry, self.outputs, size)
        return Program(
            name=self.name,
            inputs=self.inputs,
            targets=targets,
            parameters=with_initial(self.parameters, self.initial, self.name),
            weight=forward.weight,
            steps=(*self.steps, *loss_steps(terms, ys, len(self.steps) + 1, free)),
            outputs=forward.outputs,
            loss=Element(free("loss")),
            extents=self.extents,
            task=Task(
                labels=entry.labels and size > 1,
                threshold=entry.threshold,
                least_squares=self.loss == "mse",
                losses_per_sample=values_of_mean(terms),
            ),
        )

    def __repr__(self) -> str:
        inputs, outputs = (
            ", ".join(names)
            for names in ([tensor.name for tensor in self.inputs], [output.element.tensor for output in self.outputs])
        )
        return f"<Graph {written(self.name)}: {inputs} -> {len(self.steps)} steps -> {outputs}>"
