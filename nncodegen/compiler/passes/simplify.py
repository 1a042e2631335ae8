"""differentiate -> **simplify** -> schedule: cheaper algebra, and every value computed once.

* Stable functions are written out in primitives of C (see ``functions``), so that a sigmoid, its derivative
  and the softplus in the loss share one exponential.
* Softmax and its relatives become maxima, sums and quotients, and share their parts as well.
* Integer powers become products; negative powers become powers of one reciprocal.
* Value numbering then leaves one step for each value; steps that no result needs are removed.

Products keep their order across steps: where the reverse sweep multiplies by a small factor first, that keeps a large
one from overflowing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice

from sympy import Dummy, Eq, Expr, Piecewise, Pow, S, Symbol, count_ops, exp, preorder_traversal
from sympy.codegen.cfunctions import log1p

from nncodegen.compiler.ir import (
    NORMALIZATIONS,
    RECURRENCES,
    DeferredUpdate,
    Element,
    InTraining,
    Program,
    Step,
    Update,
    elements,
    gathered,
    needed,
    solve,
)
from nncodegen.compiler.ir.arithmetics import stable_of_arguments
from nncodegen.compiler.ir.functions import StableFunction, decay
from nncodegen.compiler.ir.systems import INTEGRATE, Formulas, Linear, System, Transposed
from nncodegen.compiler.passes.numbering import Known, Numbering, hint, known_under

MOST_TIMES = 1000
"""The operations of formulas written out are counted up to this multiple of those of the steps.

Beyond it, the formulas are too long to be written out, and the number says nothing.
"""

Observer = Callable[[str, Step, Expr, Expr], None]
"""A function that is called for each lowered node: with its function, the step, and the node before and after."""


def simplify(program: Program, observe: Observer | None = None) -> Program:
    """Return the program in primitives of C, without a value that is computed twice or never used.

    ``observe`` is called for each lowered node in its steps, each time that the node is met.
    """
    taken = tuple(tensor.name for tensor in program.declared)
    steps, results = _simplify_steps(program.steps, program.results, taken, observe)
    following = iter(results)
    outputs = tuple(islice(following, len(program.outputs)))
    loss = None if program.loss is None else next(following)
    gradient = tuple(islice(following, len(program.gradient)))
    training = tuple(following)
    batch = InTraining(training[:-1], training[-1]) if program.batch else None
    task = replace(program.task, updates=tuple(simplify_update(update) for update in program.updates))
    return replace(program, steps=steps, outputs=outputs, loss=loss, gradient=gradient, batch=batch, task=task)


def in_primitives(expression: Expr) -> tuple[tuple[Step, ...], Element]:
    """Return the steps that compute one expression in primitives of C, and the element that holds its value."""
    names = tuple(element.tensor for element in elements(expression))
    target = Element("value", tuple(dict.fromkeys(index for e in elements(expression) for index in e.indices)))
    steps, (held,) = _simplify_steps((Step(target, expression),), (target,), names)
    return steps, held


@lru_cache(maxsize=64)  # updates are the same in every program
def simplify_update(update: Update) -> Update:
    """Return the update rule of an optimizer, simplified like a program; a deferred one when it is first read."""
    if isinstance(update, DeferredUpdate):
        derive = partial(_simplified_rule, update)
        return DeferredUpdate(update.name, update.state, update.hyperparameters, update.initial, derive)
    return _simplified_rule(update)


def _simplified_rule(update: Update) -> Update:
    steps, results = _simplify_steps(update.steps, update.results, update.declared)
    return Update(update.name, update.state, update.hyperparameters, steps, results, update.initial)


def _simplify_steps(
    steps: tuple[Step, ...], results: tuple[Element, ...], taken: tuple[str, ...], observe: Observer | None = None
) -> tuple[tuple[Step, ...], tuple[Element, ...]]:
    """Return the simplified steps, and the elements that hold the results in them."""
    known = Known()
    log_softmax: dict[Element, Step] = {}

    def lower(node: Expr) -> Expr | None:
        lowered = lowered_form(node)
        if observe and lowered is not None:
            observe(type(node).__name__, step, node, lowered)
        return lowered

    def lowered_form(node: Expr) -> Expr | None:
        if isinstance(node, StableFunction):
            return node.stable(*node.args)
        if isinstance(node, exp) and node.args[0] in log_softmax:
            step = log_softmax[node.args[0]]  # exp(log_softmax(z)) = softmax(z), without the cancellation
            return _normalization(replace(step, operator="softmax"), None, numbering)
        if isinstance(node, exp) and signs.is_nonnegative(-node.args[0]):
            return decay(-node.args[0])  # a bell curve, for example: it can only underflow
        if isinstance(node, Pow) and node.exp.is_Integer:
            return _power(node.base, int(node.exp), numbering)
        return None

    numbering = Numbering(taken, lower)
    signs = _Signs(numbering)
    recurrences: list[tuple[Element, Expr]] = []
    for step in gathered(steps):
        if step.operator in RECURRENCES:
            known[step.target] = numbering.recur(step.operator, step.target.indices, step.over, hint(step))
            recurrences.append((known[step.target], step.expression))
            continue
        step = step.xreplace(known_under(step, known))
        if step.operator in NORMALIZATIONS:
            value = _normalization(step, hint(step), numbering)
            if step.operator == "log_softmax":
                log_softmax[value] = step
        else:
            expression = step.expression
            if step.operator == INTEGRATE:
                expression = expression.of(_simplified(expression.system))
            value = numbering.define(expression, hint(step), step.target.indices, step.operator, step.over, step.where)
        known[step.target] = value
    for recurrence, read in recurrences:
        numbering.complete(recurrence, read.xreplace(known))
    held = tuple(known.get(element, element) for element in results)
    return gathered(needed(numbering.steps, held)), held


@lru_cache(maxsize=64)
def _simplified(system: System) -> System:
    """Return differential equations whose rates, and their derivatives, are computed in steps that they share."""
    taken = system.taken
    return replace(
        system,
        motion=_shared(system.motion, "rate", taken),
        linear=system.linear and _shared_slopes(system.linear, taken),
        jumps=_shared(system.jumps, "jump", taken),
        transposed=system.transposed and _shared_sums(system.transposed, taken),
    )


def _shared_slopes(linear: Linear, taken: tuple[str, ...]) -> Linear:
    """Return the derivatives of rates that implicit methods read, computed in steps that they share."""
    slopes, bend = _shared(linear.slopes, "slope", taken), _shared(linear.bend, "change", taken)
    return replace(linear, slopes=slopes, bend=bend)


def _shared_sums(transposed: Transposed, taken: tuple[str, ...]) -> Transposed:
    """Return the derivatives of the weighted sum of rates, computed in steps that they share."""
    sums, jumps = _shared(transposed.sums, "sum", taken), _shared(transposed.jumps, "turn", taken)
    return replace(transposed, sums=sums, jumps=jumps)


def _shared(formulas: Formulas, word: str, taken: tuple[str, ...]) -> Formulas:
    """Return formulas, none of whose parts is computed twice; those that are zero stay so."""
    nonzero = {number: value for number, value in enumerate(formulas.values) if value != 0}
    targets = tuple(
        Element(f"{word} {number}", value.indices if isinstance(value, Element) else ())
        for number, value in nonzero.items()
    )
    steps, values = _simplify_steps((*formulas.steps, *map(Step, targets, nonzero.values())), targets, taken)
    simplified = dict(zip(nonzero, values, strict=True))
    return Formulas(tuple(simplified.get(number, S.Zero) for number in range(len(formulas.values))), steps)


def _power(base: Expr, exponent: int, numbering: Numbering) -> Expr | None:
    """Return x**5 as (x**2)**2*x and x**(-2) as (1/x)**2; squares and cubes are printed as products."""
    if exponent < -1:
        return Pow(numbering.define(1 / base), -exponent)
    if exponent > 3:
        half = numbering.define(Pow(base, exponent // 2))
        return half**2 * base ** (exponent % 2)
    return None


class _Signs:
    """The signs of the elements of a numbering, as far as SymPy can tell them from their definitions.

    SymPy is asked once about each element that decides about a value: this takes longer than all else about a step.
    """

    def __init__(self, numbering: Numbering) -> None:
        self._steps = numbering.steps
        self._definitions: dict[Element, Expr] = {}
        self._symbols: dict[Element, Symbol] = {}

    def is_nonnegative(self, value: Expr) -> bool:
        """Return whether a value is never negative."""
        for step in self._steps[len(self._definitions) :]:
            self._definitions[step.target] = step.expression
        waiting, begun = self._unknown(value), set[Element]()
        while waiting:
            element = waiting[-1]
            if element in self._symbols:  # it was waiting twice
                waiting.pop()
                continue
            begun.add(element)
            definition = self._definitions[element]
            before = [other for other in self._unknown(definition) if other not in begun]  # recurrences read themselves
            if before:
                waiting += before
                continue
            known = definition.xreplace(self._symbols).is_nonnegative  # then a sum or a maximum of it is not either
            self._symbols[waiting.pop()] = Dummy(nonnegative=True) if known else element
        return bool(value.xreplace(self._symbols).is_nonnegative)

    def _unknown(self, value: Expr) -> list[Element]:
        """Return the defined elements in a value of which SymPy has not been asked."""
        return [part for part in elements(value) if part in self._definitions and part not in self._symbols]


# --- normalizations ----------------------------------------------------------------------------------------------


def _normalization(step: Step, name: str | None, numbering: Numbering) -> Element:
    """Return the value of softmax or a relative along the indices ``step.over``, in steps that they share.

    With m = max(z), the exponentials e = exp(z - m) sum to 1 + r, where r is the sum of all but the largest. So log(1 +
    r) keeps its digits, and so does 1 - p = r/(1 + r) of the largest. Under equations, z - m and the value are 0 for
    terms that do not exist, and the sums and the maximum are without them.
    """
    indices = step.target.indices
    z = numbering.define(step.expression, None, indices)
    m = numbering.reduced(step, z, "max")
    below = _existing(step, z - m, None, numbering)
    e = numbering.define(decay(-below), None, indices)
    sum_of_others = numbering.reduced(step, Piecewise((e, below < 0), (below, True)), "sum")  # NaN, if a term is NaN
    largest = numbering.reduced(step, Piecewise((S.Zero, below < 0), (S.One, True)), "sum")
    ties = numbering.define(largest - 1)  # a separate step: sum_of_others + largest - 1 would lose the small ones
    r = numbering.define(sum_of_others + ties)
    if step.operator == "log_softmax":
        return numbering.define(below - log1p(r), name, indices)
    share = numbering.define(1 / (1 + r))
    if step.operator == "softmax":
        return _existing(step, e * share, name, numbering)
    p = _existing(step, e * share, None, numbering)
    return _existing(step, Piecewise((r * share, Eq(below, 0)), (1 - p, True)), name, numbering)


def _existing(step: Step, value: Expr, name: str | None, numbering: Numbering) -> Element:
    """Return the element with a value for each term of a normalization; 0 for terms that do not exist."""
    operator = "sum" if step.given else None  # of one term, or none
    return numbering.define(value, name, step.target.indices, operator, step.given, step.where)


# --- the cost of a program ---------------------------------------------------------------------------------------


def operations(program: Program) -> int:
    """Return the operations for one sample: those of each step, times the number of values of its indices."""
    return sum(_cost(program, step) for step in program.steps)


def counts_of_operations(differentiated: Program, simplified: Program) -> tuple[int, int]:
    """Return the operations for one sample before a program is simplified, and after it."""
    after = operations(simplified)
    return operations_before(differentiated, MOST_TIMES * after), after


def operations_before(program: Program, most: int) -> int:
    """Return the operations for one sample before it is simplified: those of the results written out as formulas.

    Formulas of a deep network would repeat each layer for every unit of the next one, those of windows and sequences
    for every place. The resulting numbers would be useless. For these programs, each step counts separately, with its
    functions written out. For formulas with more than ``most`` operations the result is 0, which means unknown.
    """
    count = 0 if program.moves else operations_written_out(program)
    if 0 < count <= most:
        return count
    return sum(_cost(program, step, alone=True) for step in program.steps) if program.layered or not count else 0


def operations_written_out(program: Program) -> int:
    """Return the operations for one sample if every result were evaluated from its formula, without shared values."""
    costs: dict[str, int] = {}
    for step in program.steps:
        inner = sum(costs.get(name, 0) * count for name, count in _occurrences(step.expression).items())
        costs[step.target.tensor] = program.count(_terms_over(program, step)) * (_own_cost(step) + inner)
    total = sum(costs.get(element.tensor, 0) for element in program.outputs_and_loss)
    sizes = {parameter.name: parameter.size for parameter in program.parameters}
    for parameter, element in zip(program.parameters, program.gradient, strict=False):
        total += costs.get(element.tensor, 0) * sizes[parameter.name]
    return total


def _cost(program: Program, step: Step, alone: bool = False) -> int:
    """Return the operations of a step; ``alone``: with its functions written out, without parts that steps share."""
    if alone and step.operator in NORMALIZATIONS:
        of_value = _operations_in(step.expression) + _cost_of_share(step.operator or "")
        return program.count(step.target.indices) * of_value
    per_value = _own_cost(step) + (_cost_of_functions(step.expression) if alone else 0)
    return program.count((*step.target.indices, *_terms_over(program, step))) * per_value


def _cost_of_functions(expression: Expr) -> int:
    """Return the operations of the functions in an expression in primitives; otherwise each function counts as one."""
    functions = (node for node in preorder_traversal(expression) if isinstance(node, StableFunction))
    return sum(_cost_of_function(node) - 1 for node in functions)


def _cost_of_function(node: StableFunction) -> int:
    """Return the operations of a function, in primitives."""
    written = stable_of_arguments(node)
    return int(count_ops(written)) + _cost_of_functions(written)


@lru_cache(maxsize=8)
def _cost_of_share(operator: str) -> int:
    """Return the operations of a softmax or its relatives, for each value."""
    step = Step(Element("share", ("k",)), Element("z", ("k",)), operator, ("k",))
    steps, _ = _simplify_steps((step,), (step.target,), ("z",))
    return sum(_own_cost(each) for each in steps if each.indices)


def _terms_over(program: Program, step: Step) -> tuple[str, ...]:
    """Return the indices that the terms of a step have."""
    return solve(step.where, step.over, program.sizes).free if step.where else step.over


def _own_cost(step: Step) -> int:
    """Return the operations of a step for one value of each index: its expression, and one for a reduction."""
    return _operations_in(step.expression) + (1 if step.over else 0)


@lru_cache(maxsize=100_000)
def _operations_in(expression: Expr) -> int:
    """Return the operations of an expression; programs before and after ``simplify`` share most of theirs."""
    return int(count_ops(expression))


def _occurrences(expression: Expr) -> Counter[str]:
    """Return how often an expression reads each tensor."""
    return Counter(node.tensor for node in preorder_traversal(expression) if isinstance(node, Element))
