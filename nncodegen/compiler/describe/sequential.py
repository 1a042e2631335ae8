"""Networks that are stacks of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

from sympy import Symbol

from nncodegen.compiler.describe.assembly import Assembly
from nncodegen.compiler.describe.base import ModelBase
from nncodegen.compiler.describe.checks import bounded
from nncodegen.compiler.describe.initial_values import Given
from nncodegen.compiler.describe.layer import Input, Layer, Node, shape_of
from nncodegen.compiler.describe.layer_uses import Uses
from nncodegen.compiler.describe.losses import LossFunction, usual_name
from nncodegen.compiler.describe.network import Network
from nncodegen.compiler.describe.optimizers import Optimizer
from nncodegen.compiler.describe.physics import physics_of
from nncodegen.compiler.describe.written import listed, written
from nncodegen.compiler.ir import Program
from nncodegen.errors import ModelError


class Sequential(ModelBase):
    """Layers one after the other, and a loss: a network.

    inputs is the number of values in one sample, or their shape; loss a name (see ``describe.losses``) or a function
    ``(output, target) -> expression``, whose mean over outputs and samples is minimized. The parameters are W1, b1, W2,
    and so on, numbered by their layers; in a flat array they lie in that order. optimizers are additional update rules.
    initial has initial values of parameters, in place of random ones: arrays by name, such as ``{"W1": ..., "b1":
    ...}``, or one flat array with all values. Raises ModelError, which names the part that is wrong.

    For a network that solves equations, inputs are symbols and outputs functions of them, such as
    ``sympy.Function("u")(x, t)``, one for each unit of the last layer; then losses are expressions by name, which
    contain the functions and their derivatives (see docs/guide/physics.md). The loss has the mean square of each over
    its own samples, or the mean of its values if it is a ``Mean``; a tuple holds the equations of a system. Symbols
    that are no inputs are columns of the samples, in the order of targets, or parameters: unknown coefficients with
    their initial values. A mapping as outputs gives formulas around the outputs of the layers, ``{u: x*(1 - x)*u}``.
    """

    @bounded("the network")
    def __init__(
        self,
        layers: Sequence[Layer],
        inputs: Any,
        loss: str | LossFunction = "mse",
        name: str = "network",
        optimizers: Sequence[Optimizer] = (),
        initial: Given | None = None,
        outputs: Any = None,
        losses: Mapping[str, Any] | None = None,
        parameters: Mapping[Symbol, float] | None = None,
        targets: Sequence[Symbol] | Symbol = (),
    ) -> None:
        super().__init__(name, optimizers, initial)
        if not isinstance(layers, Iterable):
            raise ModelError(f"{name} needs a list of layers, such as [Dense(1)], not {layers!r}")
        layers = tuple(layers)
        if not layers:
            raise ModelError(f"{name} has no layers: give at least one, such as Dense(1)")
        for layer in layers:
            if not hasattr(layer, "describe"):
                raise ModelError(f"{layer!r} is not a layer: use Dense(units, activation)")
        self.layers = layers
        self.inputs = inputs
        self.physics = physics_of(self.name, inputs, outputs, losses, parameters, targets, loss)
        values = inputs if self.physics is None else len(self.physics.inputs)
        self._shape = shape_of(values, "inputs, the number of values in a sample,")
        self.loss = usual_name(loss)
        self.describe()

    @property
    def network(self) -> Network:
        """Return the network of these layers as a graph, whose description is that of the stack."""
        return _Chain(self)

    @property
    def numbered(self) -> tuple[tuple[str, Layer], ...]:
        """Return the layers, each with the ending of the names of its parameters: its number, or _ and its name."""
        return self.network.numbered

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the layers with the shapes of their outputs and the numbers of their parameters, as Keras does.

        Each line is handed to ``print_fn``, by default ``print``; ``lines.append`` collects them.
        """
        self.network.summary(print_fn)

    def describe(self) -> Program:
        """Return the network as a Program."""
        return self.network.describe()

    def __repr__(self) -> str:
        if self.physics is not None:
            losses = ", ".join(self.physics.terms)
            return f"<Sequential {written(self.name)}: {listed(self.layers)}, with the losses {losses}>"
        settings = f"inputs={self.inputs!r}, loss={written(self.loss)}, name={written(self.name)}"
        return f"Sequential({listed(self.layers)}, {settings})"


class _Chain(Network):
    """The network of a stack, whose nodes have no names: its tensors are named by the places of the layers alone.

    An object that is in the list twice is two layers.
    """

    def __init__(self, stack: Sequential) -> None:
        self.name = stack.name
        self.inputs = (Input(stack._shape),)
        self.outputs = self.inputs
        for k, layer in enumerate(stack.layers):
            separate = copy(layer) if any(layer is other for other in stack.layers[:k]) else layer
            self.outputs = (Node(separate, self.outputs),)
        self._names = [""]
        self.loss, self.loss_weights = [stack.loss], [1]
        self.optimizers = stack.optimizers
        self.initial = stack.initial
        self.physics = stack.physics
        self._functions = [] if stack.physics is None else [stack.physics.functions]

    def _rows(self) -> list[tuple[str, ...]]:
        """Return the rows of the layers alone: each is connected to the one before."""
        return [row[:-1] for row in super()._rows()[1:]]

    def _assembled(self) -> tuple[Uses, Assembly]:
        """Return the uses of the layers, and these put together: with a letter for each layer."""
        uses = Uses(self.inputs, self.outputs, stack=True)
        return uses, uses.assembly(apart=self.physics is not None)
