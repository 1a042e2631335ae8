"""The loops of one kernel: what comes before, over and after the samples, and which steps share a nest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from dataclasses import replace

from sympy import Add, Expr, Mul, S

from nncodegen.ir import SAMPLE, Element, Program, Solved, Step, needed, solve
from nncodegen.schedule.forms import (
    MOST_UNROLLED,
    Form,
    can_be_written_out,
    forms_of,
    free,
    is_written_out,
    lies_in_rows,
)
from nncodegen.schedule.kernel import Kernel
from nncodegen.schedule.layout import Layout
from nncodegen.schedule.nest import Nest, Place, Shape, Storage
from nncodegen.schedule.phases import Phases, in_phases
from nncodegen.schedule.places import declared, place, transposed_strides
from nncodegen.schedule.recurrences import in_groups, in_place
from nncodegen.schedule.segments import Segmented, in_segments
from nncodegen.schedule.split import split_loops
from nncodegen.schedule.vectors import calls_functions, calls_library

Loops = tuple[tuple[str, ...], tuple[str, ...], bool]
"""The indices looped over outside, those reduced inside of them, and whether the samples are looped over."""

MOST = 60
"""Statements of a loop. Beyond, the time of compilers grows with their square; the next loop then reads from memory
what this one has left."""

TERMS = 30
"""Terms of a sum in one statement; further ones are added in statements of their own."""

USUAL = 8
"""Terms up to which a sum counts as one statement; in longer ones, each term counts as one."""

SUM = 2
"""Statements that a sum over the samples counts as, since it occupies a register while its loop runs."""

_LOCAL = Storage(Place.LOCAL)


def make_kernel(
    program: Program,
    layout: Layout,
    name: str,
    outputs: tuple[Element, ...],
    sums: tuple[Element, ...],
    measured: tuple[Element, ...] = (),
    with_gaps: bool = False,
    with_loss: bool = True,
) -> Kernel:
    """The loops that compute some results of a program: outputs for each sample, or the loss and its gradient.

    ``sums`` are the loss, unless it is left out (``with_loss``), and then the gradient, if it is wanted.
    ``measured`` are outputs that metrics need of a kernel of the latter kind. ``with_gaps``: one of the former kind,
    whose loops would read inputs or write outputs with gaps between samples (see ``vectors``).
    """
    if name != "gradient":
        layout = replace(layout, transposed=())
    storage = declared(program, layout)
    first = 1 if with_loss else 0  # of the gradient
    wanted = needed(program.steps, outputs)
    in_vectors = name == "predict" and layout.tile > 1 and (with_gaps or any(map(calls_library, wanted)))
    tiled = list(_tiled(program, layout, in_vectors))
    steps, renamed = _reading(tiled, program.steps if name == "gradient" else tuple(without_noise(program)))
    results = _results([renamed.get(element, element) for element in outputs], sums[first:], program, layout, storage)
    steps += _written_at_once(results, steps) if name == "jacobian" else results
    steps = list(in_parts(in_place(steps, layout.segmented), program))
    copies = [s.target for s in steps if s.target.tensor in storage]
    kept = tuple(_kept([renamed.get(element, element) for element in measured], steps, program))
    steps, forms = forms_of(needed(steps, [*copies, *sums, *kept]), program, layout)
    phased = in_phases(steps, program, name == "gradient" and program.batch is not None)
    steps = [*phased.steps]
    forms |= {name: Form(Shape.LOOPS, SAMPLE) for name in (*phased.sums, *phased.copies)}
    own = needed(steps, [*copies, *sums])
    names = {step.target.tensor for step in own}
    phases = _phases(own, storage, phased)
    besides = _phases([s for s in steps if s.target.tensor not in names], storage, phased)
    # an output is written only for the samples of a tile, an array also for those that pad it
    apart = {s.target.tensor for s in steps if storage.get(s.target.tensor, _LOCAL).place is Place.OUTPUT and tiled}
    apart |= {step.target.tensor for step in tiled if in_vectors}
    short = (index for index, size in program.sizes.items() if size is not None and size <= MOST_UNROLLED)
    unrolled = [index for index in short if index not in (*layout.features, *layout.segmented)] if tiled else []
    before = _in_order(phases[0] + besides[0], phased, lambda own: nests_of(own, program, forms, apart, ()))

    def nests(own: list[Step], index: str) -> Iterator[Nest]:
        return nests_of(own, program, forms, apart, unrolled, index)

    lasting = _compared(kept, tiled, program) | phased.copies
    metrics = _in_order(besides[1], phased, lambda own: in_groups(own, program, forms, nests))
    found = Segmented()
    if layout.segmented:
        forwards = needed(steps, [*sums[:first], *kept]) if name == "gradient" else steps
        whole = {*lasting, *storage, *(operand.tensor for step in besides[1] for operand in step.operands)}
        found = in_segments(phases[1], program, layout, forms, nests, forwards, whole)
        steps = [*phases[0], *besides[0], *found.steps, *besides[1], *phases[2]]
    tile = found.nests or _in_order(phases[1], phased, lambda own: in_groups(own, program, forms, nests))
    after = tuple(nests_of(phases[2], program, forms, apart, ()))
    if name == "gradient":
        tile = tuple(_with_factors(tile, steps))
    if layout.tile > 1:
        tile = tuple(split_loops(tile, {tensor.name for tensor in (*program.targets, *program.inputs)}))
    places = place(program, layout, (before, tile, after, metrics), storage, sums[:first], lasting)
    others = {step.target.tensor for step in needed(steps, [*copies, *kept, *found.kept])}
    of_loss = (s.target.tensor for n in tile for s in n.steps if s.target.tensor not in others)
    in_vectors = in_vectors and all(nest.shape is Shape.LOOPS for nest in tile)
    formula = name == "predict" and not program.layered and all(nest.shape is Shape.LOOPS for nest in tile)
    whole_vectors = formula and layout.tile > 1 and not in_vectors and any(map(calls_functions, wanted))
    if whole_vectors and not _without_gaps(tile, program):
        return make_kernel(program, layout, name, outputs, sums, measured, with_gaps=True)
    return Kernel(
        name,
        before,
        tile,
        after,
        *places,
        metrics,
        kept,
        frozenset(of_loss if name == "gradient" else ()),
        in_vectors,
        whole_vectors,
    )


def _compared(kept: Sequence[Element], tiled: Iterable[Step], program: Program) -> set[str]:
    """What metrics compare: outputs that are kept for them, and copies of targets."""
    targets = {tensor.name for tensor in program.targets}
    copies = {step.target.tensor for step in tiled if kept and {operand.tensor for operand in step.operands} & targets}
    return copies | {element.tensor for element in kept}


def _reading(tiled: Sequence[Step], own: Sequence[Step]) -> tuple[list[Step], dict[Element, Element]]:
    """Copies of a tile and steps that read these, and what they read in whose place."""
    copied = {step.expression.tensor: step.target.tensor for step in tiled}
    read = {e for step in (*own, *tiled) for e in step.operands if e.tensor in copied}
    renamed = {element: Element(copied[element.tensor], element.indices) for element in read}
    return [*tiled, *(step.xreplace(renamed) for step in own)], renamed


def _results(
    outputs: Iterable[Element],
    gradient: tuple[Element, ...],
    program: Program,
    layout: Layout,
    storage: dict[str, Storage],
) -> Iterator[Step]:
    """Copies of outputs and derivatives to where the caller has them; their places are added to the storage."""
    column = offset = 0
    for k, element in enumerate(outputs):
        indices = element.indices if SAMPLE in element.indices else (SAMPLE, *element.indices)
        copy = Element(free(f"output column {k}", program), indices)
        storage[copy.tensor] = Storage(Place.OUTPUT, column)
        column += program.count(indices)
        yield Step(copy, element)
    for parameter, element in zip(program.parameters, gradient, strict=False):
        copy = Element(free(f"gradient of {parameter.name}", program), element.indices)
        storage[copy.tensor] = Storage(Place.GRADIENT, offset, transposed_strides(element.tensor, parameter, layout))
        offset += parameter.size
        yield Step(copy, element)


def _written_at_once(results: Iterable[Step], steps: Iterable[Step]) -> Iterator[Step]:
    """The copies of results, without those of arrays that would be made for them alone: these are computed there."""
    defined = {step.target: step for step in steps if not step.over and not step.where}
    read = Counter(operand for step in steps for operand in step.operands)
    for copy in results:
        step = defined.get(copy.expression)
        alone = step is not None and read[step.target] == 0 and step.target.indices == copy.target.indices
        yield replace(copy, expression=step.expression) if step is not None and alone else copy


def _without_gaps(tile: tuple[Nest, ...], program: Program) -> bool:
    """Whether a single loop reads all inputs of a sample, and writes all of its outputs."""
    read = {operand.tensor for nest in tile for step in nest.steps for operand in step.operands}
    return len(tile) == 1 and all(tensor.name in read for tensor in program.inputs)


def _kept(measured: Iterable[Element], steps: list[Step], program: Program) -> Iterator[Element]:
    """What holds the outputs: the targets of steps over the samples, or of copies, which are added to the steps."""
    defined = {step.target for step in steps if SAMPLE in step.target.indices}
    for number, element in enumerate(measured):
        copy = Element(free(f"measured {number}", program), dict.fromkeys((SAMPLE, *element.indices)))
        if element not in defined:
            steps.append(Step(copy, element))
        yield element if element in defined else copy


def without_noise(program: Program) -> Iterator[Step]:
    """The steps where all noise is 0, as it is outside of training."""
    names = {source.tensor.name for source in program.noise}
    known: dict[Element, Expr] = {}
    for step in program.steps:
        if names:
            known |= {operand: S.Zero for operand in step.operands if operand.tensor in names}
            step = replace(step, expression=step.expression.xreplace(known))
            value = step.expression
            copied = isinstance(value, Element) and value.indices == step.target.indices
            if step.operator is None and (value.is_number or copied) and step.target not in program.results:
                known[step.target] = value
        yield step


def in_parts(steps: Iterable[Step], program: Program) -> Iterator[Step]:
    """The steps, where sums of very many terms begin with sums of the first of these."""
    for step in steps:
        terms = Add.make_args(step.expression)
        begun: tuple[Expr, ...] = ()
        while step.operator is None and len(begun) + len(terms) > TERMS + 1:
            part = Element(free(f"{step.target.tensor} from {len(terms)}", program), step.target.indices)
            yield Step(part, Add(*begun, *terms[:TERMS]))
            begun, terms = (part,), terms[TERMS:]
        yield replace(step, expression=Add(*begun, *terms)) if begun else step


def _tiled(program: Program, layout: Layout, every: bool) -> Iterator[Step]:
    """Steps that copy inputs and targets of a tile to arrays: those with an index of their own, or ``every`` one.

    Noise is computed there, once. Rows that lie in whole vectors already are used where they are.
    """
    used = {element.tensor: element for step in program.steps for element in step.operands}
    used |= {element.tensor: element for element in program.outputs}
    for tensor in (*program.inputs, *program.targets, *(source.tensor for source in program.noise)):
        if tensor.name in used and (every or len(tensor.shape) > 1):
            element = used[tensor.name]
            if lies_in_rows(element, program, layout):
                continue
            yield Step(Element(free(f"{tensor.name} tile", program), element.indices), element)


# --- phases and nests --------------------------------------------------------------------------------------------


def _phases(
    steps: Iterable[Step], storage: dict[str, Storage], phased: Phases
) -> tuple[list[Step], list[Step], list[Step]]:
    """The steps before, over, and after the samples; those before hold what is computed between phases over them."""
    before: list[Step] = []
    tile: list[Step] = []
    after: list[Step] = []
    finished: set[str] = set()
    for step in steps:
        waits = any(operand.tensor in finished for operand in step.operands)
        between = step.target.tensor in phased.numbers
        if SAMPLE in step.indices:
            tile.append(step)
            if SAMPLE in step.over:
                finished.add(step.target.tensor)
        elif between:
            before.append(step)
        elif waits or storage.get(step.target.tensor, _LOCAL).place is Place.GRADIENT:
            after.append(step)
            finished.add(step.target.tensor)
        else:
            before.append(step)
        if between and SAMPLE not in step.target.indices:
            finished.add(step.target.tensor)  # what only results need of it comes after the samples
    return before, tile, after


def _in_order(steps: Sequence[Step], phased: Phases, make: Callable[[list[Step]], Iterable[Nest]]) -> tuple[Nest, ...]:
    """The nests of steps, phase by phase."""
    phases = ([step for step in steps if phased.of(step) == number] for number in range(phased.last + 1))
    return tuple(replace(nest, phase=number) for number, own in enumerate(phases) for nest in make(own))


def nests_of(
    steps: Iterable[Step],
    program: Program,
    forms: dict[str, Form],
    apart: Container[str],
    unrolled: Collection[str],
    repeated: str = "",
) -> Iterator[Nest]:
    """Steps in nests: each joins the first nest over the same indices that comes late enough for its operands.

    The steps that define the tensors ``apart`` get nests of their own. The indices ``unrolled`` are written out where
    loops run over samples; there each sum over samples has a nest of its own. The index ``repeated`` has a loop around
    all of the nests.
    """
    nests: list[tuple[Loops, Form, list[Step], Solved | None]] = []
    sizes: list[int] = []
    homes: dict[str, tuple[int, bool]] = {}  # the nest that defines a tensor, and whether it must be left first
    for step in steps:
        form = forms[step.target.tensor]
        own = tuple(index for index in step.target.indices if index not in (SAMPLE, repeated))
        few = [index for index in step.indices if index in unrolled and index != repeated]
        short = few if can_be_written_out(step, form) else []
        written_out = (is_written_out(step, program) and form.shape is Shape.LOOPS) or bool(
            step.over and set(step.over) <= set(short)
        )
        outer = tuple(index for index in own if index not in short)
        solved = solve(step.where, step.over, program.sizes) if step.where and step.over else None
        over = (*solved.free, *(solution.index for solution in solved.solutions)) if solved else step.over
        reduced = tuple(index for index in over if index != SAMPLE and not written_out)
        if reduced and form.shape is Shape.LOOPS:  # what is added to in a loop is not written out
            outer = own
        loops = (outer, reduced, SAMPLE in step.indices)
        first = 0
        for operand in step.operands:
            if operand.tensor in homes:
                position, complete_first = homes[operand.tensor]
                complete_first |= not unrolled and any(index.isdigit() for index in operand.indices)
                same = nests[position][:2] == (loops, form) and not complete_first
                first = max(first, position if same else position + 1)
        separate = reduced or form.shape is not Shape.LOOPS or step.target.tensor in apart
        separate = bool(separate or solved or (unrolled and SAMPLE in step.over))
        candidates = range(first, len(nests)) if not separate else ()
        size = _statements(step)
        fits = (k for k in candidates if nests[k][:2] == (loops, form) and sizes[k] + size <= MOST)
        position = next(fits, len(nests))
        if position == len(nests):
            nests.append((loops, form, [], solved))
            sizes.append(MOST if separate else 0)  # so that no other joins a separate one
        nests[position][2].append(step)
        sizes[position] += size
        homes[step.target.tensor] = (position, bool(step.over) and not written_out)
    for loops, form, members, solved in nests:
        inside = [index for step in members for index in step.indices if form.shape is Shape.LOOPS]
        written = (index for index in inside if index in unrolled and index not in (*loops[0], *loops[1], repeated))
        unique = tuple(dict.fromkeys(written))
        yield Nest(*loops, tuple(members), form.innermost, form.shape, unique, solved=solved)


def _statements(step: Step) -> int:
    """What a step counts as among the statements of a loop."""
    terms = len(Add.make_args(step.expression))
    return terms if terms > USUAL else SUM if SAMPLE in step.over else 1


def _with_factors(nests: tuple[Nest, ...], steps: Iterable[Step]) -> Iterator[Nest]:
    """The nests, where products in blocks take over a step that does no more than multiply their result with an array.

    That is what the chain rule makes of a layer: a product with its weights, times the derivative of an activation.
    """
    read = Counter(tensor for step in steps for tensor in {operand.tensor for operand in step.operands})
    homes = {step.target.tensor: number for number, nest in enumerate(nests) for step in nest.steps}
    taken: dict[int, Step] = {}
    for nest in nests:
        for step in nest.steps:
            factors = Mul.make_args(step.expression)
            if nest.shape is not Shape.LOOPS or len(factors) != 2 or not all(isinstance(f, Element) for f in factors):
                continue
            factor, product = sorted(factors, key=lambda f: homes.get(f.tensor, -1))
            home = homes.get(product.tensor, -1)
            block = home >= 0 and (nests[home].shape, nests[home].innermost) == (Shape.CONTRACT, nest.innermost)
            alike = factor.indices == product.indices == step.target.indices
            alike = alike and nests[home].repeat == nest.repeat
            if block and alike and read[product.tensor] == 1 and homes.get(factor.tensor, home) < home:
                taken[home] = step
    for number, nest in enumerate(nests):
        own = tuple(step for step in nest.steps if step not in taken.values())
        own += (taken[number],) if number in taken else ()
        if own:
            yield replace(nest, steps=own)
