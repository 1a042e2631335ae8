"""Networks as graphs of layers, with any number of inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

from sympy import Expr, Symbol
from sympy.core.function import AppliedUndef

from nncodegen.compiler.describe.assembly import Assembly, Renaming, statistics_of, with_letters
from nncodegen.compiler.describe.base import ModelBase
from nncodegen.compiler.describe.call import PRESENT, Shape, checked_name, count, layer_name
from nncodegen.compiler.describe.checks import bounded, is_finite
from nncodegen.compiler.describe.initial_values import Given, with_initial
from nncodegen.compiler.describe.layer import Layer, Node
from nncodegen.compiler.describe.layer_uses import Uses, in_order, input_titles
from nncodegen.compiler.describe.loss_steps import Output, entry_of, loss_steps, term_of, values_of_mean
from nncodegen.compiler.describe.losses import LossFunction, usual_name
from nncodegen.compiler.describe.optimizers import Optimizer
from nncodegen.compiler.describe.physics import Physics, physics_of
from nncodegen.compiler.describe.summary import graph_rows, print_layers
from nncodegen.compiler.describe.written import written
from nncodegen.compiler.ir import Element, Program, Step, Tensor
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.ir.program import Task
from nncodegen.errors import ModelError
from nncodegen.runtime.python.evaluation.summary import shape_text
from nncodegen.runtime.python.ground.renamed import renamed

OneLoss = str | LossFunction


@renamed("0.3.0", weights="loss_weights")
class Network(ModelBase):
    """A network as a graph of layers, from inputs to outputs, and a loss.

    inputs and outputs are nodes, or lists of them: ``x = Input(4); h = Dense(8, "tanh")(x); y = Dense(1)(h)``. outputs
    may be a dictionary, which gives them names. Each row of X holds the values of the first input, flattened in
    row-major order, then those of the next; each row of Y holds those of the outputs.

    loss is a name (see ``describe.losses``) or a function ``(output, target) -> expression`` for all outputs, a list
    with one for each, or a dictionary by the names of outputs, which are those of their layers. The loss is the sum of
    those of the outputs, each the mean over its values, multiplied by its weight: loss_weights is a list, or a
    dictionary.

    Layers are numbered in the order in which the outputs need them, and so are parameters: W1, b1, W2, or W_name for a
    layer with a name. A layer that is called several times has the same parameters each time. optimizers and initial
    are those of ``Sequential``. Raises ModelError, which names the part that is wrong.

    For a network that solves equations, inputs are made of symbols, ``Input(x)`` or ``Input((x, t))``. outputs are
    named by functions of all these in their order, such as ``u = sympy.Function("u")(x, t)``: ``{u: Dense(1)(h)}``, or
    ``{(u, v): Dense(2)(h)}`` for a node with a value for each. losses, parameters and targets are those of
    ``Sequential``; formulas are around what the nodes give, ``{u: x*(1 - x)*u}``. Weights on the values of an input of
    several symbols are a parameter for each, such as W1_x and W1_t; those of a shared layer are named by its first
    call.
    """

    physics: Physics | None = None
    _functions: Sequence[tuple[AppliedUndef, ...]] = ()  # of each output, where losses have equations

    @bounded("the network")
    def __init__(
        self,
        inputs: Node | Sequence[Node],
        outputs: Node | Sequence[Node] | Mapping[str, Node],
        loss: OneLoss | Sequence[OneLoss] | Mapping[str, OneLoss] = "mse",
        loss_weights: Sequence[float] | Mapping[str, float] | None = None,
        name: str = "network",
        optimizers: Sequence[Optimizer] = (),
        initial: Given | None = None,
        losses: Mapping[str, Any] | None = None,
        formulas: Mapping[AppliedUndef, Expr] | None = None,
        parameters: Mapping[Symbol, float] | None = None,
        targets: Sequence[Symbol] | Symbol = (),
    ) -> None:
        super().__init__(name, optimizers, initial)
        self.inputs = _nodes(inputs, "inputs", name)
        self.outputs = _nodes(outputs.values() if isinstance(outputs, Mapping) else outputs, "outputs", name)
        for node in self.outputs:
            if node.is_input:
                raise ModelError(f"{node} is an output as it is: there is nothing to train")
        self._functions = _functions(outputs)
        self.physics = self._equations(losses, formulas, parameters, targets, loss, loss_weights)
        self._names = [""] * len(self.outputs) if self._functions else _names(outputs, self.outputs)
        self.loss = [usual_name(output_loss) for output_loss in _each(loss, self._names, "loss")]
        self.loss_weights = [1 if weight is None else weight for weight in _each(loss_weights, self._names, "weight")]
        for weight in self.loss_weights:
            if not is_finite(weight) or not weight > 0:
                raise ModelError(f"the weight of an output is a number above 0, not {weight!r}")
        self.describe()

    @property
    def numbered(self) -> tuple[tuple[str, Layer], ...]:
        """Return the layers, each with the ending of the names of its parameters: its number, or _ and its name."""
        layers = {id(node.layer): node.layer for node in in_order(self.outputs) if node.layer is not None}
        return tuple(
            (f"_{name}" if (name := layer_name(layer)) else str(number), layer)
            for number, layer in enumerate(layers.values(), start=1)
        )

    @property
    def without_equations(self) -> Network:
        """Return the layers as a network of their own, with squares as losses in place of equations."""
        layers = copy(self)
        layers.physics, layers.initial = None, None
        return layers

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the inputs and layers: shapes of outputs, numbers of parameters, connections, as Keras does.

        Each line is handed to ``print_fn``, by default ``print``; ``lines.append`` collects them. A layer that is
        called several times has one line, which lists all its inputs.
        """
        print_layers(self.name, self.describe(), self._rows(), print_fn)

    def describe(self) -> Program:
        """Return the network as a Program."""
        uses, assembly = self._assembled()
        taken = {*uses.parameters, *(e.tensor for e in assembly.inputs), *(s.target.tensor for s in assembly.steps)}
        assembly = self._with_names(assembly, taken)
        free = partial(unused, taken=taken)
        present = free(PRESENT) if any(part.statistics for part in uses.parts) else PRESENT
        assembly = Renaming({}, {PRESENT: present}).assembly(assembly) if present != PRESENT else assembly
        tensor, statistics = statistics_of(self.name, uses.parts, assembly, present)
        if self.physics is not None:
            if statistics:
                raise ModelError(
                    f"{self.name} has derivatives by its inputs, which a BatchNormalization that trains cannot have: "
                    f"use LayerNormalization, or frozen=True"
                )
            layers = [layer for _, layer in self.numbered]
            return self.physics.describe(layers, uses, assembly, [*map(len, self._functions)], self.initial)
        targets = _targets(self._names, assembly.outputs, free)
        entries = [entry_of(loss) for loss in self.loss]
        of_outputs = zip(entries, assembly.outputs, uses.shapes, self.loss_weights, strict=True)
        terms = [term_of(*of_output) for of_output in of_outputs]
        losses = loss_steps(terms, targets, uses.layers + 1, free)
        single, shape = len(entries) == 1, uses.shapes[0]
        labels = single and entries[0].labels and len(shape) == 1 and count(shape) > 1
        of_targets = zip(targets, entries, uses.shapes, strict=True)
        with_classes = tuple(y.tensor for y, entry, sizes in of_targets if entry.labels and sizes[-1] > 1)
        return Program(
            name=self.name,
            inputs=_tensors(assembly.inputs, uses.input_shapes),
            targets=_tensors(targets, uses.shapes),
            parameters=with_initial(tuple(uses.parameters.values()), self.initial, self.name),
            weight=Tensor(free("weight"), (None,)),
            steps=(*assembly.steps, *losses),
            outputs=tuple(output.element for output in assembly.outputs),
            loss=losses[-1].target,
            noise=tuple(source for part in uses.parts for source in part.noise),
            extents=assembly.extents,
            present=tensor,
            statistics=statistics,
            task=Task(
                labels=labels,
                label_targets=() if labels else with_classes,
                threshold=entries[0].threshold,
                least_squares=single and self.loss[0] == "mse" and self.loss_weights[0] == 1,
                losses_per_sample=values_of_mean(terms) if all(weight == 1 for weight in self.loss_weights) else 1,
            ),
        )

    def _equations(
        self, losses: Any, formulas: Any, parameters: Any, targets: Any, loss: Any, loss_weights: Any
    ) -> Physics | None:
        """Return the equations of the losses, or None. Raise ModelError for what belongs to equations alone."""
        functions = [function for output_functions in self._functions for function in output_functions]
        if losses is not None and loss_weights is not None:
            raise ModelError(f"{self.name} has losses by name: leave out loss_weights, which train takes for them")
        if losses is not None and not functions:
            raise ModelError(
                f"{self.name} has losses by name, but its outputs are no functions: name them by these, as in "
                f'outputs={{u: Dense(1)(h)}} with u = sympy.Function("u")(x, t)'
            )
        for node in self.inputs:
            if functions and not node.symbols:
                raise ModelError(
                    f"{self.name} has functions as outputs, but the {node} has no symbols: make it of these, as in "
                    f"nncodegen.Input((x, t)) with x, t = sympy.symbols('x t')"
                )
            if node.symbols and not functions:
                raise ModelError(
                    f"{self.name} has an {node}, which are for equations: give functions of them as outputs, and "
                    f"losses by name; or an input of the shape {node.shape}"
                )
        if formulas is not None and not isinstance(formulas, Mapping):
            raise ModelError(f"formulas must map outputs to expressions, such as {{u: x*(1 - x)*u}}, not {formulas!r}")
        around = {function: function for function in functions}
        if len(around) < len(functions):
            raise ModelError(f"two outputs of {self.name} have the same function: {', '.join(map(str, functions))}")
        for function, formula in (formulas or {}).items():
            if function not in around:
                there = ", ".join(map(str, functions)) or "none by functions"
                raise ModelError(f"formulas has {function}, which is no output of {self.name}; there are: {there}")
            around[function] = formula
        symbols = [symbol for node in self.inputs for symbol in node.symbols]
        return physics_of(self.name, symbols, around or None, losses, parameters, targets, loss)

    def _rows(self) -> list[tuple[str, ...]]:
        """Return the rows of the summary."""
        return graph_rows(self._assembled()[0], self.inputs, self.outputs)

    def _assembled(self) -> tuple[Uses, Assembly]:
        """Return the uses of the layers, and these put together.

        Raise ModelError for parameters that no output depends on, such as those of a direction that is not used.
        """
        uses = Uses(self.inputs, self.outputs)
        assembly = with_letters(uses.assembly(apart=self.physics is not None))
        read = {element.tensor for step in assembly.steps for element in step.operands}
        read |= {parameter for part in uses.parts for _, parameter in part.statistics}
        unused = [name for name in uses.parameters if name not in read]
        if unused:
            raise ModelError(
                f"no output of {self.name} depends on {', '.join(unused)}: leave out what has them, such as "
                f"the direction of a Bidirectional whose state is not used"
            )
        return uses, assembly

    def _with_names(self, assembly: Assembly, taken: set[str]) -> Assembly:
        """Return the network with outputs under their given names, and add these names to ``taken``."""
        names = {}
        defined = {step.target for step in assembly.steps} - {output.element for output in assembly.outputs}
        for name, output in zip(self._names, assembly.outputs, strict=True):
            if name and name not in taken:
                names[output.element.tensor] = name
                taken.add(name)
                formula, indices = output.formula, output.element.indices
                if formula in defined and formula.indices == indices and formula.tensor not in names:
                    names[formula.tensor] = name  # one value has one name
        steps = [step for step in assembly.steps if not _is_copy(step, names)]
        return Renaming({}, names).assembly(assembly._replace(steps=tuple(steps)))

    def __repr__(self) -> str:
        inputs = ", ".join(
            title if node.symbols else f"{title} {shape_text(node.shape)}"
            for title, node in zip(input_titles(self.inputs), self.inputs, strict=True)
        )
        count = len(self.numbered)
        outputs = ", ".join(name or written(node.layer) for name, node in zip(self._names, self.outputs, strict=True))
        losses = ""
        if self.physics is not None:
            outputs = ", ".join(map(str, self.physics.functions))
            losses = f", with the losses {', '.join(self.physics.terms)}"
        return f"<Network {written(self.name)}: {inputs} -> {count} layer{'s' * (count != 1)} -> {outputs}{losses}>"


def _is_copy(step: Step, names: Mapping[str, str]) -> bool:
    """Return whether a step gives a name to a value that has it already."""
    value = step.expression
    copied = isinstance(value, Element) and value.indices == step.target.indices and step.operator is None
    return copied and step.target.tensor in names and names.get(value.tensor) == names[step.target.tensor]


def _nodes(value: Any, role: str, name: str) -> tuple[Node, ...]:
    """Return the nodes that are given as one node or several. Raise ModelError for anything else."""
    nodes = (value,) if isinstance(value, Node) else tuple(value) if isinstance(value, Iterable) else (value,)
    if not nodes:
        raise ModelError(f"{name} has no {role}: give at least one node")
    for node in nodes:
        if not isinstance(node, Node):
            raise ModelError(f"the {role} of {name} are nodes, such as {EXAMPLES[role]}, not {node!r}")
    if len({id(node) for node in nodes}) < len(nodes):
        raise ModelError(f"{name} is given the same node twice among its {role}")
    return nodes


EXAMPLES = {"inputs": "x = nncodegen.Input(4)", "outputs": "Dense(1)(x)"}
"""Examples of nodes, for messages."""


def _functions(outputs: Any) -> list[tuple[AppliedUndef, ...]]:
    """Return the functions that each output holds, where functions are the names of outputs; else an empty list."""
    if not isinstance(outputs, Mapping) or not any(isinstance(key, AppliedUndef | tuple) for key in outputs):
        return []
    functions_of_outputs = [tuple(key) if isinstance(key, tuple) else (key,) for key in outputs]
    for key, functions in zip(outputs, functions_of_outputs, strict=True):
        if not functions or not all(isinstance(function, AppliedUndef) for function in functions):
            raise ModelError(f"outputs are named by functions of the inputs, such as u or (u, v), and not by {key!r}")
    return functions_of_outputs


def _names(named_outputs: Any, outputs: Sequence[Node]) -> list[str]:
    """Return the names of outputs: those of a dictionary, else of their layers; "" for one without a name."""
    names = list(named_outputs) if isinstance(named_outputs, Mapping) else [node.name for node in outputs]
    for name in names:
        if checked_name(name, "an output") and names.count(name) > 1:
            raise ModelError(
                f"two outputs have the name {name!r}: give outputs as a dictionary, each with a different name"
            )
    return names


def _each(option: Any, names: Sequence[str], role: str) -> list[Any]:
    """Return the option of each output, which is given by name, in a list, or once for all outputs."""
    if isinstance(option, Mapping):
        named = [name for name in names if name]
        for key in option:
            if key not in named:
                raise ModelError(
                    f"there is no output {key!r} for a {role}; there are: {', '.join(named) or 'no names'}"
                )
        for number, name in enumerate(names, start=1):
            if name not in option:
                raise ModelError(f"the output {name or f'number {number}, which has no name,'} has no {role}")
        return [option[name] for name in names]
    if isinstance(option, list | tuple):
        if len(option) != len(names):
            raise ModelError(f"there must be a {role} for each of {len(names)} outputs, not {len(option)}")
        return list(option)
    return [option] * len(names)


def _targets(names: Sequence[str], outputs: Sequence[Output], free: Callable[[str], str]) -> list[Element]:
    """Return the target of each output: y, or y_name, and y1, y2 and so on where they have no names."""
    single = len(names) == 1
    wanted = ["y" if single else f"y_{name}" if name else f"y{k}" for k, name in enumerate(names, start=1)]
    return [Element(free(name), output.element.indices) for name, output in zip(wanted, outputs, strict=True)]


def _tensors(elements: Sequence[Element], shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
    """Return the declarations of inputs or targets."""
    return tuple(Tensor(element.tensor, (None, *shape)) for element, shape in zip(elements, shapes, strict=True))
