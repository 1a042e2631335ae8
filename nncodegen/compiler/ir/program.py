"""The one intermediate representation: single-assignment steps in index notation.

    program    = inputs, parameters, steps, outputs [targets, loss [gradient]]
    step       = element "=" [operator "(" indices ")"] expression ["where" equations]
    element    = name | name "[" indices "]"            a real symbol of SymPy
    expression = a scalar SymPy expression over elements
    operator   = "sum" | "max" | "first"                the indices disappear from the result
               | "integrate"                            the path of differential equations, from all values of these
               | "softmax" | "log_softmax" | "softmax_complement"    they stay
               | "before" | "after"                     the value at the index before, or after it; 0 at the end
    equations  = affine equations between indices (see equations.py), under which terms count

A softmax may have equations as well: terms that do not exist count as nothing, and are 0. An index that it runs over
but that is not on the left is given by an equation, as in the row t of a causal attention, whose terms are those at or
before t: ``p[n, t, s] = softmax(s, b) z[n, t, s] where b = t - s``.

For example ``s1[n, j] = sum(i) W1[j, i]*x[n, i]``. The index ``n`` is that of the samples; its size is not known until
run time. Every other index has one size in the whole program, which follows from the shapes of the tensors; it need not
occur on the right (``d_h[n, j] = weight[n]``). The implicit tensor ``weight[n]`` holds the weights of the samples,
which sum to 1 over a batch (``1/N`` each, unless sample weights are given), so that a mean over samples is a plain sum.
If a program has statistics of a batch, ``present[n]`` is 1 for each of its samples, whatever their weights.

A bare formula is the case in which every tensor is a scalar or has only the sample index.

A program is mathematics. Two records say the rest: ``Task``, what is asked of it, fits and optimizers included; and
``Options``, how it is made. What the stages derive from it, or learn about it, passes beside it (see
``passes.findings``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sympy import Expr

from nncodegen.compiler.ir.display import shown
from nncodegen.compiler.ir.element import PARAMETER, SAMPLE, Element, Size
from nncodegen.compiler.ir.equations import Equation
from nncodegen.compiler.ir.recurrence import check_recurrences
from nncodegen.compiler.ir.reductions import NORMALIZATIONS, REDUCTIONS
from nncodegen.compiler.ir.step import RECURRENCES, Step, needed, show_step
from nncodegen.compiler.ir.systems import INTEGRATE, path, swept, systems_of
from nncodegen.errors import ProgramError
from nncodegen.runtime.python.ground.facts import CurveTerm, Hyperparameter, Quantity, Term, slices

LEARNING_RATE = "learning_rate"
"""The hyperparameter that every optimizer has."""

EARLIER, LATER = "earlier", "later"
"""In the program of one step of a sequence: the index of the positions before the current one, and that of how many of
them come after one of these, less one."""

OFF, FAST, BEST = DIGITS = ("off", "fast", "best")
"""The cost of a form of a formula that keeps more digits: in "fast" the value takes up to half as many operations
again, and with its derivatives up to twice as many; in "best" more of both. With "off", none is searched."""

DEFAULT = FAST
"""The choice where none is given: formulas keep their digits unless that costs much."""

NORMAL, LAPLACE, OF_LOGARITHM = "normal", "laplace", "log_"
"""The distributions of targets whose scale is a formula, and what is before those of logarithms of targets."""

NATIVE, PORTABLE = BITS = ("native", "portable")
"""With "native", the bits of results may depend on the CPU and the compiler; with "portable", they do not."""


@dataclass(frozen=True)
class Initial:
    """The initial value of a parameter: "constant", or drawn with zero mean from a distribution of the given scale.

    The scale is the value of a constant, the bound of "uniform", the standard deviation of "normal" and, before
    truncation at two of them, of "truncated_normal". If the distribution is "given", ``values`` are all values of the
    parameter, row by row, as bytes of little-endian doubles, so that they can be compared and hashed.
    """

    distribution: str
    scale: float
    values: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Tensor:
    """The declaration of an input, a target or a parameter.

    ``penalized`` says whether the penalties l1 and l2 on weights apply to a parameter; they do not apply to a bias. A
    parameter that is not ``trained`` keeps its values: its gradient is 0, and no update changes it. But a parameter
    with a ``momentum`` follows a statistic of the batches: it becomes momentum*itself + (1 - momentum)*statistic after
    each update.
    """

    name: str
    shape: tuple[Size, ...] = ()
    initial: Initial = Initial("constant", 0.0)
    penalized: bool = True
    trained: bool = True
    momentum: float | None = None

    @property
    def size(self) -> int:
        """Return the number of values; for an input or a target, of values in one sample."""
        return math.prod(size for size in self.shape if size is not None)

    def __str__(self) -> str:
        sizes = ", ".join(SAMPLE if size is None else str(size) for size in self.shape)
        return f"{self.name}[{sizes}]" if self.shape else self.name


def slices_of(tensors: Iterable[Tensor]) -> Iterator[tuple[Tensor, slice]]:
    """Yield tensors that lie one after the other, each with the slice of its values, or of its columns."""
    return slices((tensor, tensor.size) for tensor in tensors)


@dataclass(frozen=True)
class Noise:
    """The declaration of random numbers, which are 0 except in the updates of a training.

    The distribution is "dropout": -1 for a share ``scale`` of them, else scale/(1 - scale), so that the mean is 0;
    or "normal", with zero mean and the standard deviation ``scale``.
    """

    tensor: Tensor
    distribution: str
    scale: float

    def __str__(self) -> str:
        return f"{self.tensor} = {self.distribution}({self.scale!r})"


@dataclass(frozen=True)
class Update:
    """An optimizer: steps from parameter[p], gradient[p], the state and hyperparameters to their next values.

    ``results`` are the next parameter, then the next state, in the order of ``state``; ``t`` is the number of the
    update, from 1. ``initial`` has the values of the state before the first update: numbers, or the names of
    hyperparameters. The first hyperparameter is the learning rate.
    """

    name: str
    state: tuple[str, ...]
    hyperparameters: tuple[Hyperparameter, ...]
    steps: tuple[Step, ...]
    results: tuple[Element, ...]
    initial: tuple[float | str, ...] = ()

    @property
    def declared(self) -> tuple[str, ...]:
        """Return the names of the tensors that come from outside."""
        return ("parameter", "gradient", "t", *self.state, *(h.name for h in self.hyperparameters))

    @property
    def is_descent(self) -> bool:
        """Return whether the update is one step from a parameter along its derivative, without a state."""
        read = {element.tensor for step in self.steps for element in step.operands}
        return not self.state and len(self.steps) == 1 and read == {"parameter", "gradient", LEARNING_RATE}

    @property
    def is_plain_descent(self) -> bool:
        """Return whether the update only subtracts from a parameter its derivative times the learning rate."""
        parameter, gradient = Element("parameter", [PARAMETER]), Element("gradient", [PARAMETER])
        return self.is_descent and self.steps[0].expression == parameter - Element(LEARNING_RATE) * gradient

    def show(self) -> str:
        """Return the update as text."""
        return self._text

    @cached_property
    def _text(self) -> str:
        """The text of the update, which is the same in the programs of several stages."""
        numbers = ", ".join(hyperparameter.name for hyperparameter in self.hyperparameters)
        width = max(len(str(step.target)) for step in self.steps)
        lines = [f"update      {self.name}({numbers})", *(show_step(step, width) for step in self.steps)]
        return "\n".join([*lines, f"{'next':<12}{'  '.join(map(str, self.results))}"]) + "\n"


class DeferredUpdate(Update):
    """An update whose steps and results are derived when one of them is first read.

    Every program has the rules of all optimizers, and few programs read them. An object is equal to itself alone, so
    that comparisons derive nothing.
    """

    def __init__(
        self,
        name: str,
        state: tuple[str, ...],
        hyperparameters: tuple[Hyperparameter, ...],
        initial: tuple[float | str, ...],
        derive: Callable[[], Update],
    ) -> None:
        self.__dict__.update(name=name, state=state, hyperparameters=hyperparameters, initial=initial, _derive=derive)

    def __getattr__(self, name: str) -> Any:
        if name not in ("steps", "results"):
            raise AttributeError(f"an update has no attribute {name!r}")
        derived = self._derive()
        self.__dict__.update(steps=derived.steps, results=derived.results)
        return self.__dict__[name]

    __eq__ = object.__eq__
    __hash__ = object.__hash__


@dataclass(frozen=True)
class Statistic:
    """A value that training computes of a whole batch, and the parameter that follows it and replaces it at rest."""

    value: Element
    parameter: Element

    def __str__(self) -> str:
        return f"{self.value} = {self.parameter}"


@dataclass(frozen=True)
class InTraining:
    """The outputs and the loss with the statistics of a batch, if these differ from those at rest."""

    outputs: tuple[Element, ...]
    loss: Element


@dataclass(frozen=True)
class Options:
    """The options by which a program is made: its precision, its digits, its bits, and a choice of its loops."""

    precision: str = "float64"
    digits: str = OFF
    """The cost that a form of a formula with more digits may have: "off", "fast" or "best"."""
    bits: str = NATIVE
    """With "native", results may depend on the CPU and the compiler by rounding; with "portable", they do not."""
    has_attention_pairs: bool = False
    """True if a schedule takes the program as one of attention, as its pairs of two positions take much memory."""


@dataclass(frozen=True)
class Likelihood:
    """The likelihood that the loss is the negative logarithm of, where the scale of each target is a formula.

    Each target, or its logarithm, is distributed about a location with a scale of its own; the loss depends on nothing
    but locations, logarithms of scales, and targets.
    """

    locations: tuple[Element, ...]
    log_scales: tuple[Element, ...]
    kinds: tuple[str, ...]
    """For each target "normal" or "laplace", or with "log_" before that, where its logarithm is distributed so."""


@dataclass(frozen=True)
class FitTask:
    """The task of the fits of a program, beyond its loss."""

    quantities: tuple[Quantity, ...] = ()
    """Tied parameters and derived quantities: formulas of the parameters that are evaluated after a fit."""
    own: tuple[str, ...] = ()
    """The parameters that each group of samples has for itself in a fit with groups."""
    curves: tuple[CurveTerm, ...] = ()
    """The curves by name that the outputs are sums of."""
    starts_from_data: bool = False
    """True if a fit without a start begins at their estimates from data."""
    has_fit_by_default: bool = False
    """True if the program has its companions for fits without being asked, as formulas have them."""
    input_shifts: int = 0
    """The number of trailing parameters that shift the inputs, and are held at 0: a fit with errors in the inputs has
    its derivatives by the inputs from them."""
    likelihood: Likelihood | None = None
    """The likelihood of targets whose scale is a formula."""


@dataclass(frozen=True)
class Task:
    """The task of a program: how its outputs, targets and loss are to be read, and what trains and fits it."""

    labels: bool = False
    """True if the targets are class probabilities, which may be given as integer labels."""
    label_targets: tuple[str, ...] = ()
    """For several outputs, or one with several axes: the targets that are class probabilities along their last axis."""
    threshold: float = 0.5
    """The output above which a target of 1 is predicted, if the outputs are no class probabilities."""
    least_squares: bool = False
    """True if the loss of a sample is the sum, or the mean, of the squares of outputs - targets."""
    loss_of_outputs: Expr | None = None
    """The loss of a sample written with the outputs, for a formula; None if it depends on more than these."""
    outputs_as_typed: tuple[Expr | None, ...] = ()
    """The outputs with products in the order in which the texts of a formula have them, where SymPy has changed it."""
    losses_per_sample: int = 1
    """The number of values of a sample, each with a likelihood of its own, whose losses have the loss as their mean."""
    terms: tuple[Term, ...] = ()
    """The terms of the loss, if each has separate samples."""
    fields: tuple[Element, ...] = ()
    """The values that a module returns for every sample in addition to the outputs: derivatives of these, and the
    values of the terms."""
    field_steps: tuple[Step, ...] = ()
    """The steps that only the fields need: the parts of sums of derivatives, which nothing else computes one by one."""
    residuals: tuple[Element, ...] = ()
    """The residuals of which the loss of a sample is the sum of squares, if they are not only outputs minus targets."""
    sorted_inputs: tuple[str, ...] = ()
    """The inputs whose values ascend within a sample: times."""
    output_is_series: bool = False
    """True if the values of each output are those of one quantity at the times of a sample."""
    identity: str = ""
    """A text that is the same for two descriptions of the same model, and differs for others; names do not count."""
    fits: FitTask = FitTask()
    """The task of its fits, beyond the loss."""
    updates: tuple[Update, ...] = ()
    """The rules of the optimizers that may train it."""

    @property
    def of_derived(self) -> Task:
        """Return the task of a program that is derived from one: nothing trains it, and its outputs are no classes."""
        return replace(self, labels=False, label_targets=(), updates=())


MOVED = {
    "digits": ("options", "digits"),
    **{
        name: ("task", name)
        for name in (
            "labels",
            "label_targets",
            "threshold",
            "least_squares",
            "loss_of_outputs",
            "terms",
            "fields",
            "field_steps",
            "residuals",
            "identity",
            "updates",
        )
    },
    **{name: ("task", "fits", name) for name in ("quantities", "own", "curves", "starts_from_data")},
    "rising": ("task", "sorted_inputs"),
    "over_times": ("task", "output_is_series"),
    "mean_over": ("task", "losses_per_sample"),
    "fitted": ("task", "fits", "has_fit_by_default"),
    "changes": ("task", "fits", "input_shifts"),
    "of_pairs": ("options", "has_attention_pairs"),
}
"""Attributes that a program had before its records, each with its place in them; they still can be read."""

BESIDE = {
    "companions": "companions",
    "operations": "operations",
    "not_fitted": "not_fitted",
    "not_generated": "not_generated",
    "kept": "digits_report",
    "apart": "lazy",
}
"""Attributes that a program had, and that pass beside it by now: in the findings of the stages, under these names."""


@dataclass(frozen=True)
class Program:
    """A function from inputs to outputs as a tuple of steps, with a loss, and once differentiated its gradient, if any.

    Its own fields are mathematics. What is asked of it, and how it is made, are records of their own. They travel with
    the program, since a task names its tensors: a pass that rewrites steps rewrites fields and residuals with them. A
    program without parameters, targets or loss is one like any other: its values are all that there is to compute.
    """

    name: str
    inputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Element, ...]
    parameters: tuple[Tensor, ...] = ()
    targets: tuple[Tensor, ...] = ()
    weight: Tensor = Tensor("weight", (None,))
    """The tensor with the weight of each sample, whose name nothing else in the program may have."""
    loss: Element | None = None
    gradient: tuple[Element, ...] = ()
    """The derivatives of the loss by its parameters; the last parameters have none if they are not trained."""
    noise: tuple[Noise, ...] = ()
    extents: tuple[tuple[str, int], ...] = ()
    """The sizes of indices that follow from no tensor: the places of a window, and the number of its positions."""
    present: Tensor | None = None
    """The tensor that is 1 for each sample of a batch, if the program has statistics over all samples."""
    statistics: tuple[Statistic, ...] = ()
    """The statistics of a batch, before the program is differentiated: its steps are then those of training, and
    ``at_rest`` has the others. A differentiated program has both: outputs and loss at rest, and the gradient of the
    loss in training. In this gradient, the parameters that follow the statistics have the statistics themselves in
    their places."""
    batch: InTraining | None = None
    """The outputs and the loss in training, if a differentiated program has statistics of a batch."""
    task: Task = Task()
    options: Options = Options()

    if not TYPE_CHECKING:  # the project itself reads the records

        def __getattr__(self, name: str) -> Any:
            """Return an attribute that is in a record by now. Raises AttributeError for a name that never was one."""
            if name in BESIDE:
                raise AttributeError(
                    f"a program has no {name} of its own any more: compile_model(...).findings has {BESIDE[name]}"
                )
            if name not in MOVED:
                raise AttributeError(f"a program has no attribute {name!r}")
            record, *path = MOVED[name]
            return attrgetter(".".join(path))(object.__getattribute__(self, record))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a pickle, also of one in which all attributes lie side by side, as version 0.2 wrote it."""
        groups: dict[str, dict[str, Any]] = {"options": {}, "fits": {}, "task": {}}
        for name in [name for name in state if name in MOVED or name in ("precision", "digits", "bits")]:
            *_, record, field_name = MOVED.get(name, ("options", name))
            groups[record][field_name] = state[name]
        if "task" not in state and any(groups.values()):
            task = Task(**groups["task"], fits=FitTask(**groups["fits"]))
            field_names = {each.name for each in fields(self)}
            state = {name: value for name, value in state.items() if name in field_names}
            state |= {"task": task, "options": Options(**groups["options"])}
        self.__dict__.update(state)

    @property
    def updates(self) -> tuple[Update, ...]:
        """Return the rules of the optimizers that may train it."""
        return self.task.updates

    @property
    def without_updates(self) -> Program:
        """Return the program without the rules of optimizers."""
        return replace(self, task=replace(self.task, updates=()))

    @property
    def precision(self) -> str:
        """Return the type of the numbers: "float64" or "float32"."""
        return self.options.precision

    @property
    def bits(self) -> str:
        """Return whether results may depend on the CPU and the compiler: "native" or "portable"."""
        return self.options.bits

    @property
    def required_loss(self) -> Element:
        """Return the loss. Raises ProgramError for a program without one."""
        if self.loss is None:
            raise ProgramError(f"{self.name} has no loss, only values")
        return self.loss

    @property
    def outputs_and_loss(self) -> tuple[Element, ...]:
        """Return the outputs, then the loss if there is one."""
        return self.outputs if self.loss is None else (*self.outputs, self.loss)

    @property
    def results(self) -> tuple[Element, ...]:
        """Return the elements that the compiled module returns: outputs, loss, gradient, then those of training."""
        others = (*self.batch.outputs, self.batch.loss) if self.batch else ()
        return (*self.outputs_and_loss, *self.gradient, *others)

    @property
    def frozen(self) -> int:
        """Return the number of values of parameters that are neither trained nor follow a statistic."""
        return sum(
            parameter.size for parameter in self.parameters if not parameter.trained and parameter.momentum is None
        )

    @property
    def in_training(self) -> InTraining:
        """Return the outputs and the loss that the gradient belongs to. Raises ProgramError if there is no loss."""
        return self.batch or InTraining(self.outputs, self.required_loss)

    @property
    def at_rest(self) -> Program:
        """Return the program outside of training: parameters that follow statistics of the batches replace these."""
        if not self.statistics:
            return self
        known = {statistic.value: statistic.parameter for statistic in self.statistics}
        steps = (Step(s.target, known[s.target]) if s.target in known else s for s in self.steps)
        needed_steps = needed(steps, (*self.outputs_and_loss, *self.task.residuals, *self.task.fields))
        return replace(self, steps=needed_steps, statistics=(), present=None)

    @property
    def declared(self) -> tuple[Tensor, ...]:
        """Return the tensors that come from outside."""
        implicit = (self.weight, *((self.present,) if self.present else ()))
        return (*self.inputs, *self.targets, *self.parameters, *implicit, *(source.tensor for source in self.noise))

    @property
    def shapes(self) -> dict[str, tuple[Size, ...]]:
        """Return the shape of every tensor."""
        return self._checked[0]

    @property
    def sizes(self) -> dict[str, Size]:
        """Return the size of every index."""
        return self._checked[1]

    @property
    def output_tensors(self) -> tuple[Tensor, ...]:
        """Return the outputs as declarations of tensors."""
        return tuple(Tensor(element.tensor, self.shapes[element.tensor]) for element in self.outputs)

    @property
    def parameter_count(self) -> int:
        """Return the number of values in all parameters together."""
        return sum(tensor.size for tensor in self.parameters)

    @property
    def layered(self) -> bool:
        """Return whether the program has indices other than that of the samples; without them, it is a formula."""
        return any(self.sizes.values())

    @cached_property
    def moves(self) -> bool:
        """Return whether indices move against each other: in equations, recurrences, or where a tensor is read anew.

        The last is so for attention, which reads keys and values under another index than that of their definition.
        ``options.has_attention_pairs`` tells it of other programs.
        """
        if self.options.has_attention_pairs or any(step.where or step.operator in RECURRENCES for step in self.steps):
            return True
        target_indices = {step.target.tensor: step.target.indices for step in self.steps}
        return any(target_indices.get(e.tensor, e.indices) != e.indices for step in self.steps for e in step.operands)

    def count(self, indices: Iterable[str]) -> int:
        """Return the product of the sizes of some indices; that of the samples counts as 1."""
        return math.prod(self.sizes[index] or 1 for index in indices)

    def width(self, elements: Iterable[Element]) -> int:
        """Return the number of values of some elements together, such as the outputs, for one sample."""
        return sum(self.count(element.indices) for element in elements)

    @cached_property
    def _checked(self) -> tuple[dict[str, tuple[Size, ...]], dict[str, Size]]:
        """Return shapes and sizes. Raises ProgramError if the steps do not fit together."""
        shapes: dict[str, tuple[Size, ...]] = {}
        sizes: dict[str, Size] = {SAMPLE: None, **dict(self.extents)}
        for tensor in self.declared:
            if tensor.name in shapes:
                raise ProgramError(f"{tensor.name} is declared twice")
            shapes[tensor.name] = tensor.shape
        for step in self.steps if self.moves else ():
            for element in (e for e in step.operands if e.indices and len(shapes.get(e.tensor, ())) == len(e.indices)):
                sizes |= {
                    i: size for i, size in zip(element.indices, shapes[element.tensor], strict=True) if i not in sizes
                }
        for step in self.steps:
            _check_step(step, shapes, sizes)
            if step.target.tensor in shapes:
                raise ProgramError(f"{step.target.tensor} is defined twice, the second time by {step}")
            shapes[step.target.tensor] = tuple(sizes[index] for index in step.target.indices)
        check_recurrences(self.steps, shapes)
        for element in self.results:
            if element.tensor not in shapes:
                raise ProgramError(f"the result {element} is never defined")
        return shapes, sizes

    def show(self, notes: Iterable[str] = ()) -> str:
        """Return the program as text: its tensors, its steps in order, its results; then notes, a line for each."""
        roles: tuple[tuple[str, tuple[Any, ...]], ...] = (
            ("inputs", self.inputs),
            ("targets", self.targets),
            ("parameters", self.parameters),
            ("noise", self.noise),
        )
        lines = [f"{role:<12}{'  '.join(str(tensor) for tensor in tensors)}" for role, tensors in roles if tensors]
        width = min(24, max((len(str(step.target)) for step in self.steps), default=0))
        lines += ["", *(show_step(step, width) for step in self.steps), ""]
        lines += [system.show() for system in systems_of(self.steps)]
        lines.append(f"{'outputs':<12}{'  '.join(map(str, self.outputs))}")
        if self.loss is not None:
            lines.append(f"{'loss':<12}{self.loss}")
        if self.statistics:
            lines.append(f"{'at rest':<12}{'  '.join(map(str, self.statistics))}")
        if self.batch:
            lines.append(f"{'in training':<12}{'  '.join(map(str, (*self.batch.outputs, self.batch.loss)))}")
        if self.gradient:
            lines.append(f"{'gradient':<12}{'  '.join(map(str, self.gradient))}")
        rest = [update.show() for update in self.updates]
        return "\n".join([*lines, *notes, "", *rest]).rstrip("\n") + "\n"

    def _repr_html_(self) -> str | None:
        return shown(self, "html")

    def _repr_latex_(self) -> str | None:
        return shown(self, "latex")


@dataclass(frozen=True)
class Stepwise:
    """The inputs and results of the program of one step of a sequence (see ``passes.stepwise``).

    Its inputs are the token, the number ``position`` of the step, the values ``carried`` from the step before, and
    the ``kept`` rows, an array for each tensor whose earlier rows are read, with a row for each position. Its outputs
    are the probabilities of the next token, the values that the next step reads, and a row for each of the arrays.
    """

    tokens: int
    """The number of tokens: those that may be given, and at least those that have a probability."""
    positions: int
    """The number of positions; 0 where a step reads no position, so that sequences may have any length."""
    position: Element
    carried: tuple[Tensor, ...] = ()
    kept: tuple[Tensor, ...] = ()
    of_logits: bool = False
    """If true, the outputs of the whole sequence are logits: the probabilities are their softmax."""

    def bounds(self, equation: Equation) -> bool:
        """Return whether an equation says that a kept row is before the current position."""
        names = tuple(name for name, _ in equation.terms)
        return equation.data is not None and equation.data.tensor == self.position.tensor and names == (EARLIER, LATER)

    @property
    def rows(self) -> tuple[int, ...]:
        """Return the number of values in a row of each array."""
        return tuple(tensor.size // (tensor.shape[1] or 1) for tensor in self.kept)

    @property
    def state(self) -> int:
        """Return the number of values of a state: the token, the position, what is carried, and the kept rows."""
        return 2 + sum(tensor.size for tensor in (*self.carried, *self.kept))


@dataclass(frozen=True)
class Companion:
    """A program derived from another one, its name, which its file has as well, and a description.

    For a fit, ``outputs`` is the count of the numbers that the loss of a sample depends on: the outputs of the model,
    or the numbers that these consist of; ``of_outputs`` says that they are the outputs of the model. ``curved`` says
    that rows also hold the curvature of the loss. ``guards`` are the denominators whose signs a fit keeps, as texts;
    their values are in the rows; the last ``input_guards`` of them depend on changes of inputs alone. ``linear`` names
    parameters in which the outputs are affine together. ``stepwise`` says what one step of a sequence reads and gives,
    if the program is that of a step. ``forward`` says that a row of a fit has the derivatives of all outputs, by one
    parameter after the other, so that they need no seeds. ``block`` is the number of successive outputs
    that a curved loss sees together (see ``passes.fitting.blocks``). ``apart`` is the number of such blocks of a sample
    if a missing target leaves out its block alone, and 0 if it leaves out the sample. ``noise`` is the kind of each
    target whose scale is a formula: the first half of the outputs are locations then, and the others logarithms of
    scales, each with a second derivative of its own alone. ``operations`` are counts for one
    sample, before and after the program was simplified.
    """

    name: str
    about: str
    program: Program
    outputs: int = 0
    curved: bool = False
    of_outputs: bool = True
    guards: tuple[str, ...] = ()
    input_guards: int = 0
    linear: tuple[str, ...] = ()
    stepwise: Stepwise | None = None
    forward: bool = False
    block: int = 0
    apart: int = 0
    noise: tuple[str, ...] = ()
    operations: tuple[int, int] | None = None


def verify(program: Program) -> Program:
    """Check a program and return it. Raises ProgramError, naming the culprit, if it is not well formed."""
    shapes = program.shapes
    count = len(program.gradient)
    if count > len(program.parameters) or (count and any(tensor.trained for tensor in program.parameters[count:])):
        raise ProgramError(f"{program.name} has {len(program.parameters)} parameters, {count} gradients")
    for parameter, element in zip(program.parameters, program.gradient, strict=False):
        if shapes[element.tensor] != parameter.shape:
            raise ProgramError(f"{element} has the shape {shapes[element.tensor]}, {parameter.name} {parameter.shape}")
    if program.loss is None and (program.gradient or program.batch):
        raise ProgramError(f"{program.name} has a gradient, but no loss")
    if program.loss is not None and program.loss.indices:
        raise ProgramError(f"the loss {program.loss} is not a scalar")
    return program


def _check_step(step: Step, shapes: Mapping[str, tuple[Size, ...]], sizes: dict[str, Size]) -> None:
    """Add the indices of a step to ``sizes``. Raises ProgramError, naming the culprit, if the step does not fit."""
    for element in step.operands:
        if element.tensor not in shapes:
            if step.operator in RECURRENCES:
                continue  # it is defined later
            raise ProgramError(f"{element.tensor} is used before it is defined, in: {step}")
        shape = shapes[element.tensor]
        if len(shape) != len(element.indices):
            raise ProgramError(f"{element} does not have the rank of its tensor, {len(shape)}, in: {step}")
        for index, size in zip(element.indices, shape, strict=True):
            if sizes.setdefault(index, size) != size:
                raise ProgramError(f"the index {index} has two sizes, {sizes[index]} and {size}, in: {step}")
            if index not in step.indices:
                raise ProgramError(f"the index {index} is neither on the left nor reduced, in: {step}")
    for index in (*step.indices, *(index for equation in step.where for index in equation.indices)):
        if index not in sizes:
            raise ProgramError(f"the size of the index {index} is not known, in: {step}")
        if index not in step.indices:
            raise ProgramError(f"the index {index} is neither on the left nor reduced, in: {step}")
    _check_operator(step)


def _check_operator(step: Step) -> None:
    """Raise ProgramError if a step has an unknown operator, or one that does not fit the rest of it."""
    operators = (*REDUCTIONS, *NORMALIZATIONS, *RECURRENCES, INTEGRATE)
    if step.operator is not None and step.operator not in operators:
        raise ProgramError(f"there is no operator {step.operator}; there are: {', '.join(operators)}")
    if bool(step.operator) != bool(step.over):
        raise ProgramError(f"an operator needs indices to run over, and indices an operator, in: {step}")
    able = (None, *REDUCTIONS, *(name for name, record in NORMALIZATIONS.items() if record.neutral))
    if step.where and step.operator not in able:
        raise ProgramError(f"{step.operator} cannot have equations, in: {step}")
    lefts = {equation.left for equation in step.where}
    for index in step.given if step.operator in NORMALIZATIONS else ():
        if index not in lefts:
            raise ProgramError(f"the index {index} of {step.operator} is neither on the left nor given, in: {step}")
    if step.operator == INTEGRATE:
        _check_path(step)
    if step.operator in RECURRENCES:
        read = step.expression
        if not isinstance(read, Element) or read.indices != step.target.indices or len(step.over) != 1:
            raise ProgramError(f"a recurrence reads an element under the indices of its result, in: {step}")


def _check_path(step: Step) -> None:
    """Raise ProgramError for a step that does not solve differential equations for each sample at each of its times."""
    read = step.expression
    if not isinstance(read, path) or not all(isinstance(operand, Element) for operand in read.args[1:]):
        raise ProgramError(f"{INTEGRATE} needs a path of elements, in: {step}")
    time, rows, course = read.time, read.rows, read.course
    samples = step.target.indices[:1] == (SAMPLE,)  # otherwise it is in the program of one sample
    whole = (SAMPLE,) * samples
    fits = all(len(operand.indices) == 1 + samples and operand.indices[:samples] == whole for operand in (time, *rows))
    if not fits or not (course is None or course.indices[:-1] == time.indices):
        raise ProgramError(f"a path reads times and rows of each sample, in: {step}")
    if isinstance(read, swept):
        fits = len(step.target.indices) == 1 + samples and read.adjoint.indices[: 1 + samples] == time.indices
        operand_indices = [operand.indices for operand in read.args[1:]]
    else:
        fits = step.target.indices[samples] == time.indices[-1]
        rows = rows if course is None else (*rows, course)
        operand_indices = [*(row.indices[-1:] for row in rows), *(operand.indices for operand in read.weights)]
    over = dict.fromkeys(index for indices in operand_indices for index in indices if index not in whole)
    if not fits or step.over != tuple(over):
        raise ProgramError(f"a path has the index of its times, and runs over those of its operands, in: {step}")
