"""The program of one step of a sequence: what a network that predicts the next token computes at one position.

    h[n, t, j] = sum(i) W[j, i]*x[n, t, i]                       h'[n, j] = sum(i) W[j, i]*x'[n, i]
    c[n, t, j] = before(t) h[n, t, j]                            c'[n, j] is an input: h' of the step before
    P2[t, j]   = P[t, j]                                         P2'[j] = sum(r) P[r, j] where position = r
    z[n, t, s] = sum(j, b) q[n, t, j]*k[n, s, j] where b = t - s
                           z'[n, r] = sum(j) q'[n, j]*kept_k[n, r, j]      for each earlier position r
                           z''[n]   = sum(j) q'[n, j]*k'[n, j]             for the position itself

Every tensor with the index of the steps loses it: its *version* at the current position. What a recurrence reads of the
step before is an input, whose next value is an output. What a step reads of all positions before it, such as keys and
values of a causal attention, is *kept*: an array with a row for each position is an input, the row of this position is
an output. A reduction over the positions up to the current one is that of the earlier ones, which runs over the rows
that there are, joined with the term of the current position. So a step costs what one position costs.

A step may read nothing of later positions. Whatever does, such as attention without a causal mask, cannot be computed
step by step, and neither can statistics of a whole sequence; ``stepwise`` then says why.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sympy import Expr, S

from nncodegen.compiler.ir import (
    EARLIER,
    LATER,
    NORMALIZATIONS,
    RECURRENCES,
    REDUCTIONS,
    SAMPLE,
    Companion,
    Element,
    Equation,
    Program,
    Step,
    Stepwise,
    Tensor,
    elements,
    needed,
    ranges_of,
)
from nncodegen.compiler.ir.names import take
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.tangent import tangent
from nncodegen.runtime.python.ground.facts import NO_TOKENS

NAME = "step"
"""The name of the program."""

ABOUT = (
    "the probabilities of the next token at one position, from the token there and from what earlier steps have kept"
)


def stepwise(program: Program) -> Companion | str:
    """Return the program of one step of a stabilized program, which has not been differentiated; or why it has none."""
    tokens = _tokens_of(program)
    if not tokens:
        return NO_TOKENS
    try:
        return _Stepping(program, tokens).companion()
    except _NotStepwiseError as error:
        return str(error)


def why_not_stepwise(program: Program) -> str:
    """Return why a stabilized program has no such program; an empty text if it has one, which takes longer to make."""
    tokens = _tokens_of(program)
    if not tokens:
        return NO_TOKENS
    try:
        _Stepping(program, tokens, to_check=True).companion()
    except _NotStepwiseError as error:
        return str(error)
    return ""


class _NotStepwiseError(Exception):
    """Why a program cannot be computed step by step."""


def _tokens_of(program: Program) -> int:
    """Return the number of tokens that a program takes; 0 if its input and output are no sequences of tokens."""
    if len(program.inputs) != 1 or len(program.outputs) != 1:
        return 0
    (input_tensor,), (output,) = program.inputs, program.outputs
    shape = program.shapes[output.tensor]
    first, end = ranges_of(program).get(input_tensor.name, (0, 0))
    whole = len(input_tensor.shape) == 2 and len(shape) == 3 and shape[:2] == input_tensor.shape
    return end if whole and first == 0 and end > 1 else 0


@dataclass(frozen=True)
class _Reading:
    """The loops of a version of a step: the indices, the equations, the value, and the index of earlier positions."""

    over: tuple[str, ...]
    where: tuple[Equation, ...]
    value: Expr
    reduced: str


class _Stepping:
    """The program of a step under construction.

    A version of a tensor is known by its name and by those of its axes that are at the current position.
    """

    def __init__(self, program: Program, tokens: int, to_check: bool = False) -> None:
        self._normalization, self._to_check = _normalization(program), to_check
        self._program = _of_outputs(program) if to_check else simplify(tangent(_of_outputs(program)))
        self._defined = {step.target.tensor: step for step in self._program.steps}
        (self._x,), (self._result,) = self._program.inputs, self._program.outputs
        self._tokens, self._steps = tokens, self._x.shape[1] or 0
        declared = (tensor.name for tensor in (*self._program.parameters, self._program.weight))
        self._names = {*declared, *self._program.sizes, EARLIER, LATER}
        self._token, self._position = (Element(self._name(name), (SAMPLE,)) for name in ("token", "position"))
        self._found: list[Step] = []
        self._versions: dict[tuple[str, frozenset[int]], Element] = {}
        self._wholes: dict[str, str] = {}
        self._carried: dict[str, Tensor] = {}
        self._kept: dict[tuple[str, int], Tensor] = {}
        self._reads_position = False
        self._depends, self._axes = self._dependent()

    def companion(self) -> Companion:
        """Return the program of a step. Raise _NotStepwiseError."""
        for step in self._program.steps:  # in their order, so that no version waits for a long chain of others
            if len(axes := self._axes.get(step.target.tensor, ())) == 1:
                self._version(step.target, frozenset(axes))
        probabilities = self._probabilities()
        following = tuple(self._following())
        carried, kept_tensors = tuple(self._carried.values()), tuple(self._kept.values())
        tensors = [Tensor(self._token.tensor, (None,)), Tensor(self._position.tensor, (None,)), *carried, *kept_tensors]
        sizes = {**self._program.sizes, EARLIER: self._steps, LATER: self._steps}
        step_program = replace(
            self._program,
            inputs=tuple(tensors),
            steps=tuple(self._found),
            outputs=(probabilities, *following),
            loss=None,
            extents=tuple((index, size) for index, size in sizes.items() if size is not None),
            task=self._program.task.of_derived,
        )
        positions = self._steps if kept_tensors or self._reads_position else 0
        logits = self._normalization != "softmax"
        step_facts = Stepwise(self._tokens, positions, self._position, carried, kept_tensors, logits)
        return Companion(NAME, ABOUT, step_program, stepwise=step_facts)

    def _probabilities(self) -> Element:
        """Return the probabilities of the next token: the output, or the softmax of an output that is logits."""
        result = self._version(self._result, frozenset({1}))
        count = self._program.shapes[self._result.tensor][2] or 0
        if count > self._tokens:
            raise _NotStepwiseError(
                f"it gives probabilities of {count} tokens, but takes only those below {self._tokens}: its Embedding "
                f"needs as many rows as there are tokens"
            )
        if self._normalization == "softmax":
            return result
        target = Element(self._name("probabilities"), result.indices)
        self._found.append(Step(target, result, "softmax", result.indices[-1:]))
        return target

    def _following(self) -> Iterator[Element]:
        """Yield what the next step reads: the values that it carries on, and a row for each array that is kept."""
        done: dict[str, Element] = {}
        rows: dict[tuple[str, int], Element] = {}
        while len(done) < len(self._carried) or len(rows) < len(self._kept):  # a version may need further ones
            for name in [name for name in self._carried if name not in done]:
                step = self._defined[name]
                held = step.operands[0]
                done[name] = self._version(held, frozenset({held.indices.index(step.over[0])}))
            for tensor, axis in [key for key in self._kept if key not in rows]:
                indices = self._defined[tensor].target.indices if tensor in self._defined else (SAMPLE, "t")
                rows[tensor, axis] = self._version(Element(tensor, indices), frozenset({axis}))
        yield from (done[name] for name in self._carried)
        yield from (rows[key] for key in self._kept)

    def _name(self, name: str) -> str:
        return take(name, self._names)

    def _dependent(self) -> tuple[set[str], dict[str, set[int]]]:
        """Return the tensors that depend on the input, and the axes of each along which its steps run."""
        depends, axes = {self._x.name}, {self._x.name: {1}}
        while True:
            before = len(depends), sum(map(len, axes.values()))
            for step in self._program.steps:
                times = {e.indices[axis] for e in step.operands for axis in axes.get(e.tensor, ())}
                for equation in step.where:
                    times |= {*equation.names} if times & {*equation.names} else set()
                if any(operand.tensor in depends for operand in step.operands):
                    depends.add(step.target.tensor)
                    time_axes = {axis for axis, index in enumerate(step.target.indices) if index in times}
                    axes.setdefault(step.target.tensor, set()).update(time_axes)
            if before == (len(depends), sum(map(len, axes.values()))):
                return depends, axes

    # --- versions --------------------------------------------------------------------------------------------------

    def _version(self, element: Element, now: frozenset[int]) -> Element:
        """Return a tensor where some of its axes are at the current position, under its other indices."""
        key = element.tensor, now
        if key not in self._versions:
            if element.tensor == self._x.name:
                self._versions[key] = self._token
            elif element.tensor in self._defined:
                self._versions[key] = self._made(self._defined[element.tensor], now)
            else:
                self._versions[key] = self._row_of(element, now)
        return Element(self._versions[key].tensor, _at_sample(_without(element.indices, now)))

    def _row_of(self, parameter: Element, now: frozenset[int]) -> Element:
        """Return the row of a parameter at the current position."""
        target = Element(self._name(f"{parameter.tensor}_row"), _at_sample(_without(parameter.indices, now)))
        index, *others = (parameter.indices[axis] for axis in now)
        if others:
            raise _NotStepwiseError(f"it reads the diagonal of {parameter.tensor}")
        self._reads_position = True
        where = (Equation(self._position, ((index, 1),)),)
        self._found.append(Step(target, parameter, "sum", (index,), where))
        return target

    def _made(self, step: Step, now: frozenset[int]) -> Element:
        """Return the version of a tensor that a step defines."""
        target, name = step.target, step.target.tensor
        at = frozenset(target.indices[axis] for axis in now)
        others = self._axes.get(name, set()) - now
        if step.operator in RECURRENCES:
            return self._before(step, at)
        if len(others) > 1 or (name in self._depends and not self._axes[name] & now):
            raise _NotStepwiseError(
                f"{name} is made of all steps of the sequence at once, as pools and statistics over the steps are"
            )
        earlier = target.indices[others.pop()] if others else ""
        indices = [EARLIER if index == earlier else index for index in _without(target.indices, now)]
        reading = self._reading(step, at, earlier)
        if not reading.reduced:
            return self._add(name, indices, self._terms(step, at, earlier, reading))
        if self._to_check and step.operator in NORMALIZATIONS:
            return self._add(name, indices, self._terms(step, at, earlier, reading))
        last = self._reading(step, at | {reading.reduced}, earlier)
        if earlier or last.reduced or step.operator not in REDUCTIONS or not REDUCTIONS[step.operator].written:
            raise _NotStepwiseError(f"{name} is made of several steps of the sequence in more than one way")
        before = Equation(self._position, ((EARLIER, 1), (LATER, 1)), 1)
        earlier_step = self._terms(step, at, reading.reduced, reading)
        earlier_step = replace(earlier_step, over=(*earlier_step.over, LATER), where=(*earlier_step.where, before))
        current_step = self._terms(step, at | {reading.reduced}, "", last)
        parts = [self._add(name, indices, term) for term in (earlier_step, current_step)]
        joined = REDUCTIONS[step.operator].written(*parts)
        return self._add(name, indices, Step(target, joined))

    def _add(self, name: str, indices: Sequence[str], step: Step) -> Element:
        """Add a step under the name of a tensor, with a number if that is taken, and return its target."""
        target = Element(self._name(name), _at_sample(indices))
        self._found.append(replace(step, target=target))
        return target

    def _before(self, step: Step, at: frozenset[str]) -> Element:
        """Return what a recurrence reads: a value that the step before has left."""
        if step.operator != "before":
            raise _NotStepwiseError("a layer of it goes backwards, from the last step to the first")
        if at != {*step.over}:
            raise _NotStepwiseError(
                f"{step.target.tensor} is made of several steps of the sequence in more than one way"
            )
        indices = _without(step.target.indices, {step.target.indices.index(step.over[0])})
        tensor = Tensor(self._name(step.target.tensor), self._shape(indices))
        self._carried[step.target.tensor] = tensor
        return Element(tensor.name, indices)

    def _shape(self, indices: Iterable[str]) -> tuple[int | None, ...]:
        return tuple(self._steps if index == EARLIER else self._program.sizes[index] for index in indices)

    def _reading(self, step: Step, at: frozenset[str], earlier: str) -> _Reading:
        """Return what a version of a step runs over. Raise _NotStepwiseError where it reads later positions."""
        times = {e.indices[axis] for e in step.operands for axis in self._axes.get(e.tensor, ())} - at
        over, where, allowed = [index for index in step.over if index not in at], list[Equation](), {earlier}
        value = step.expression
        for equation in step.where:
            names = {*equation.names}
            others = tuple(index for index in equation.names if index in times)
            if not names & at:
                where.append(equation)
            elif not others:
                at_position, free = self._at_position(equation, at), _only_in(step, equation)
                if (
                    at_position is not None
                    and at_position.data is None
                    and not at_position.terms
                    and at_position.left in free & {*over}
                ):
                    over.remove(str(at_position.left))  # its only value: the term of the current position
                elif _counts(step, equation, at) and len(over) == 2:
                    over, value = [], Element(self._position.tensor, self._position.indices) + 1
                elif at_position is not None:
                    where.append(at_position)
            else:
                over.remove(self._distance(step, equation, at, others))
                allowed |= {*others}
        reduced = [index for index in over if index in times]
        wrong = [index for index in times if index not in allowed]
        if wrong or len(reduced) > 1:
            raise _NotStepwiseError(
                f"{step.target.tensor} reads all steps of the sequence, later ones as well: attention needs "
                f"use_causal_mask=True, and no layer may look ahead or take statistics over the steps"
            )
        return _Reading(tuple(over), tuple(where), value, reduced[0] if reduced else "")

    def _distance(self, step: Step, equation: Equation, at: frozenset[str], others: tuple[str, ...]) -> str:
        """Return the index that says how far a step lies before the current one, which nothing else depends on."""
        if len(others) == 1 and equation.data is None:
            solution = equation.solved(others[0])
            terms = [(str(name), factor) for name, factor in solution.terms]
            (now, *more), rest = ([t for t in terms if (t[0] in at) is inside] for inside in (True, False))
            whole = not more and now[1] == 1 and not solution.offset and solution.divisor == 1
            if whole and len(rest) == 1 and rest[0][1] == -1:
                (distance, _), sizes = rest[0], self._program.sizes
                if distance in {*step.over} & _only_in(step, equation) and (sizes[distance] or 0) >= self._steps:
                    return distance
        raise _NotStepwiseError(
            f"{step.target.tensor} reads steps beside each other, as convolutions and pools do: where {equation}"
        )

    def _at_position(self, equation: Equation, at: frozenset[str]) -> Equation | None:
        """Return an equation with the current position in place of indices; None if it always holds."""
        factors: dict[str, int] = {}
        sides = [*equation.terms, *([(equation.left, -1)] if isinstance(equation.left, str) else [])]
        for name, factor in sides:
            factors[name] = factors.get(name, 0) + factor
        position_factor = sum(factors.pop(index, 0) for index in at)
        rest = {name: factor for name, factor in factors.items() if factor}
        if position_factor == 0 and equation.data is None:
            first = next((name for name, factor in rest.items() if abs(factor) == 1), None)
            if first is not None:
                sign = -rest.pop(first)
                return Equation(first, tuple((n, f * sign) for n, f in rest.items()), equation.offset * sign)
            if not rest and not equation.offset:
                return None
        if abs(position_factor) == 1 and equation.data is None:
            self._reads_position |= bool(rest)
            return Equation(
                self._position,
                tuple((n, -position_factor * f) for n, f in rest.items()),
                -position_factor * equation.offset,
            )
        raise _NotStepwiseError(f"one of its tensors is defined where {equation}, which only a whole sequence tells")

    def _terms(self, step: Step, at: frozenset[str], earlier: str, reading: _Reading) -> Step:
        """Return the step of a version, whose target is still that of the original."""
        read = [*step.operands, *(e for e in reading.value.atoms(Element) if e == self._position)]
        known = {e: e if e == self._position else self._operand(e, at, earlier) for e in read}
        known |= {self._position: self._position}
        over = tuple(EARLIER if index == earlier else index for index in reading.over)
        names = {earlier: EARLIER} if earlier else {}
        where = tuple(equation.xreplace(known).renamed(names) for equation in reading.where)
        operator = step.operator if over else None
        return Step(step.target, reading.value.xreplace(known), operator, over, where)

    def _operand(self, element: Element, at: frozenset[str], earlier: str) -> Element:
        """Return what a version of a step reads in place of an element."""
        name, axes = element.tensor, self._axes.get(element.tensor, set())
        now = frozenset(axis for axis, index in enumerate(element.indices) if index in at)
        renamed = Element(name, [EARLIER if index == earlier else index for index in element.indices])
        if name not in self._depends:
            return self._version(renamed, now) if now else self._whole(renamed)
        if axes & now or not axes:
            return self._version(renamed, now)
        if len(axes) > 1 or now:
            raise _NotStepwiseError(f"{name} is made of several steps of the sequence in more than one way")
        (axis,) = axes
        if (name, axis) not in self._kept:
            indices = [EARLIER if k == axis else index for k, index in enumerate(element.indices)]
            self._kept[name, axis] = Tensor(self._name(f"{name}_kept"), self._shape(indices))
        return Element(self._kept[name, axis].name, renamed.indices)

    def _whole(self, element: Element) -> Element:
        """Return a tensor that does not depend on the sequence, as it is."""
        name = element.tensor
        if name in self._defined and name not in self._wholes:
            step = self._defined[name]
            known = {e: self._whole(e) for e in step.operands}
            self._wholes[name] = self._name(name)
            self._found.append(replace(step.xreplace(known), target=Element(self._wholes[name], step.target.indices)))
        return Element(self._wholes.get(name, name), element.indices)


def _of_outputs(program: Program) -> Program:
    """Return the steps of a program that its outputs need outside of training."""
    rest = program.at_rest
    noise = {source.tensor.name for source in rest.noise}
    steps = tuple(s.xreplace({e: S.Zero for e in s.operands if e.tensor in noise}) for s in rest.steps)
    steps = needed(steps, rest.outputs)
    return replace(
        rest,
        targets=(),
        noise=(),
        steps=steps,
        loss=None,
        task=replace(rest.task.of_derived, fields=(), field_steps=(), residuals=(), terms=()),
    )


def _normalization(program: Program) -> str:
    """Return "softmax" for an output of probabilities, "logits" for one whose softmax has them, or raise."""
    (output,) = program.outputs
    copies: dict[str, str] = {}
    for step in program.steps:
        value = step.expression
        if isinstance(value, Element) and value.indices == step.target.indices and not step.over and not step.where:
            copies[step.target.tensor] = copies.get(value.tensor, value.tensor)
    source = copies.get(output.tensor, output.tensor)
    for step in program.steps:
        value = step.expression
        if step.operator not in NORMALIZATIONS or step.over != step.target.indices[-1:]:
            continue
        if step.target.tensor == source:
            return "softmax" if step.operator == "softmax" else "logits"
        if isinstance(value, Element) and copies.get(value.tensor, value.tensor) == source:
            return "logits"
    raise _NotStepwiseError(
        "its outputs are no probabilities: the last layer needs the activation softmax, or the network a loss of "
        "classes from logits, such as sparse_categorical_crossentropy_from_logits"
    )


def _without(indices: Iterable[str], axes: Container[int]) -> list[str]:
    return [index for axis, index in enumerate(indices) if axis not in axes]


def _at_sample(indices: Iterable[str]) -> tuple[str, ...]:
    """Return indices with that of the samples first: what depends on the position is another value for each."""
    return (SAMPLE, *(index for index in indices if index != SAMPLE))


def _only_in(step: Step, equation: Equation) -> set[str]:
    """Return the indices of an equation of a step that nothing else of the step has."""
    others = {index for e in elements(step.expression) for index in e.indices} | {*step.target.indices}
    others |= {index for other in step.where if other is not equation for index in other.indices}
    return {*equation.names} - others


def _counts(step: Step, equation: Equation, at: frozenset[str]) -> bool:
    """Return whether a step counts the positions up to the current one: ``sum(s, b) 1 where b = t - s``."""
    if step.expression != 1 or step.operator != "sum" or len(step.where) > 1 or not isinstance(equation.left, str):
        return False
    factors = {equation.left: 1} | {name: -factor for name, factor in equation.terms}
    other = tuple(factors.get(index) for index in step.over)
    return not equation.offset and other == (1, 1) and [factors[index] for index in factors if index in at] == [-1]
