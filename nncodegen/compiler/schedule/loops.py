"""The kernel of a tile of samples: the steps before, over and after the samples, their loops, and their places.

Steps are fused where they can share their loops (see ``fuse``), within loops over time where they depend on each other
(see ``recurrences``), or over segments of it (see ``segments``). The trees are rewritten before places are known:
products take over factors, and loops are split. The rewrites of the plan do the rest (see ``plans``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sympy import Add, Expr, S

from nncodegen.compiler.ir import SAMPLE, Element, Group, Program, Step, grouped, needed, slices_of
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.schedule.forms import MOST_UNROLLED, Form, forms_of, forms_of_results, lies_in_rows
from nncodegen.compiler.schedule.fuse import fuse
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.pairs import in_blocks
from nncodegen.compiler.schedule.phases import Phases, in_phases
from nncodegen.compiler.schedule.places import declared, place, transposed_strides
from nncodegen.compiler.schedule.plans import ONE_BY_ONE, TILE
from nncodegen.compiler.schedule.recurrences import in_groups, in_place
from nncodegen.compiler.schedule.rewrites.functions import MOST, functions
from nncodegen.compiler.schedule.rewrites.gather_loss_only import gather_loss_only
from nncodegen.compiler.schedule.rewrites.split import split
from nncodegen.compiler.schedule.rewrites.take_factors import take_factors
from nncodegen.compiler.schedule.segments import Segmented, in_segments
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.storage import Memory, Place, Storage
from nncodegen.compiler.schedule.tree import Compute, Tree, Trees
from nncodegen.compiler.schedule.tree_walks import computes, steps_in
from nncodegen.compiler.schedule.vectors import calls_functions, calls_library
from nncodegen.compiler.schedule.verify import verify_order

TERMS = 30
"""Most terms of a sum in one statement; further terms are added in separate statements."""

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
    """Return the kernel that computes some results: outputs for each sample, or the loss and its gradient.

    ``sums`` are the loss, unless it is left out (``with_loss``), followed by the gradient, if it is computed.
    ``measured`` are outputs that metrics need of a kernel of sums. ``with_gaps`` is for a kernel of outputs whose loops
    would read inputs or write outputs with gaps between samples (see ``vectors``).
    """
    if name != "gradient":
        layout = replace(layout, transposed=())
    wanted = needed(program.steps, outputs)
    in_vectors = name == "predict" and layout.tile > 1 and (with_gaps or any(map(calls_library, wanted)))
    plain = name == "predict" and not program.layered and layout.tile > 1
    long = plain and not in_vectors and len(wanted) > MOST
    chosen = _choose(program, layout, name, outputs, sums, int(with_loss), measured, in_vectors, long)
    trees, segmented, of_loss = _in_loops(chosen, program, layout, name)
    storage, memory = place(
        trees, program, layout, chosen.storage, chosen.loss, chosen.lasting, segmented.rows, segmented.whole
    )
    loops = all(each.shape is Shape.LOOPS for each in computes(trees.tile))
    padded = long and trees.long  # as all kernels of such a program are: no samples remain
    whole_vectors = plain and loops and not in_vectors and not padded and any(map(calls_functions, wanted))
    if whole_vectors and not _without_gaps(trees.tile, program):
        return make_kernel(program, layout, name, outputs, sums, measured, with_gaps=True)
    return Kernel(
        name,
        ONE_BY_ONE if layout.one_by_one else TILE,
        trees,
        storage,
        memory,
        outputs=chosen.kept,
        of_loss=of_loss,
        descends=not layout.one_by_one and _descends(trees, storage, memory),
        vector=layout.padding if in_vectors and loops else 0,
        whole_vectors=whole_vectors,
    )


# --- steps -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Chosen:
    """The steps of a kernel, and the facts about them before they are in loops.

    copies      the copies to places of the caller, which the storage has
    kept        the outputs that metrics compare
    lasting     the tensors that are read after the loops of a tile
    sums        the loss and the gradient
    loss        the loss, if it is among the sums
    apart       the tensors that share no loop with others
    few         the indices that are written out
    """

    steps: tuple[Step, ...]
    forms: dict[str, Form]
    phased: Phases
    storage: dict[str, Storage]
    copies: tuple[Element, ...]
    kept: tuple[Element, ...]
    lasting: frozenset[str]
    sums: tuple[Element, ...]
    loss: tuple[Element, ...]
    apart: frozenset[str]
    few: tuple[str, ...]


def _choose(
    program: Program,
    layout: Layout,
    name: str,
    outputs: Sequence[Element],
    sums: tuple[Element, ...],
    first: int,
    measured: Sequence[Element],
    in_vectors: bool,
    long: bool,
) -> _Chosen:
    """Return the steps of a kernel: those that its results need, with copies of what it reads and returns.

    ``first`` is the number of sums before the gradient; ``in_vectors`` says that all inputs are copied, ``long`` that
    results are copied, so that all other loops run over padded tiles.
    """
    storage = declared(program, layout)
    tiled = list(_tiled(program, layout, in_vectors))
    steps, renamed = _reading(tiled, program.steps if name == "gradient" else tuple(without_noise(program)))
    results = _results([renamed.get(element, element) for element in outputs], sums[first:], program, layout, storage)
    steps += _written_at_once(results, steps) if name == "jacobian" else results
    steps = list(in_parts(in_place(steps, layout.segmented), program))
    copies = tuple(step.target for step in steps if step.target.tensor in storage)
    kept = tuple(_kept([renamed.get(element, element) for element in measured], steps, program))
    steps, forms = forms_of(needed(steps, [*copies, *sums, *kept]), program, layout)
    written = frozenset(e.tensor for e in copies if storage[e.tensor].place is Place.OUTPUT)
    forms |= forms_of_results((step for step in steps if step.target.tensor in written), forms, program, layout)
    phased = in_phases(steps, program, name == "gradient" and program.batch is not None)
    forms |= {each: Form(Shape.LOOPS, SAMPLE) for each in (*phased.sums, *phased.copies)}
    # an output is written only for the samples of a tile, an array also for those that pad it
    apart = {e.tensor for e in copies if storage[e.tensor].place is Place.OUTPUT and (tiled or long)}
    apart |= {step.target.tensor for step in tiled if in_vectors}
    short = [index for index, size in program.sizes.items() if size is not None and size <= MOST_UNROLLED]
    writes_out = tiled and not layout.one_by_one
    few = (index for index in short if index not in (*layout.features, *layout.segmented) and writes_out)
    lasting = frozenset(_compared(kept, tiled, program) | phased.copies)
    return _Chosen(
        phased.steps, forms, phased, storage, copies, kept, lasting, sums, sums[:first], frozenset(apart), tuple(few)
    )


def _in_loops(chosen: _Chosen, program: Program, layout: Layout, name: str) -> tuple[Trees, Segmented, frozenset[str]]:
    """Return the trees of steps, what segments of time add, and the tensors of a tile that only the loss needs.

    Segments of time add kept elements and steps that are computed again.
    """
    forms, phased = chosen.forms, chosen.phased
    loss_steps = needed(chosen.steps, [*chosen.copies, *chosen.sums])
    names = {step.target.tensor for step in loss_steps}
    phases = _phases(loss_steps, chosen.storage, phased)
    besides = _phases([s for s in chosen.steps if s.target.tensor not in names], chosen.storage, phased)

    def fused(loop_steps: list[Step], index: str) -> Iterator[Compute]:
        return fuse(loop_steps, program, forms, chosen.apart, chosen.few, index)

    def in_time(loop_steps: list[Step]) -> Tree:
        return in_groups(loop_steps, program, forms, fused)

    def of_block(loop_steps: list[Step], index: str) -> Iterator[Compute]:
        return fuse(loop_steps, program, forms, chosen.apart, tuple(each for each in chosen.few if each != index))

    def without_samples(loop_steps: list[Step]) -> Tree:
        return tuple(fuse(loop_steps, program, forms, chosen.apart, ()))

    metrics = tuple(each for some in phased.in_turn(besides[1]) for each in in_time(some))
    segmented = Segmented()
    if layout.segmented or program.moves:
        whole = {*chosen.lasting, *chosen.storage, *(e.tensor for step in besides[1] for e in step.operands)}
    if layout.segmented:
        forwards = needed(chosen.steps, [*chosen.loss, *chosen.kept]) if name == "gradient" else chosen.steps
        segmented = in_segments(phases[1], program, layout, forms, fused, forwards, whole)
    elif program.moves:
        segmented = in_blocks([*phased.in_turn(phases[1])], program, layout, forms, in_time, of_block, whole)
    if segmented.parts:
        steps = (*phases[0], *besides[0], *segmented.steps, *besides[1], *phases[2])
        segmented = replace(segmented, steps=steps)
    else:
        segmented = Segmented(steps=chosen.steps)
    before = tuple(map(without_samples, phased.in_turn(phases[0] + besides[0])))
    parts = enumerate(segmented.parts or map(in_time, phased.in_turn(phases[1])))
    trees = Trees(before, tuple(parts), (metrics,), (without_samples(phases[2]),))
    verify_order(trees, chosen.storage, "fuse")
    others = {step.target.tensor for step in needed(segmented.steps, [*chosen.copies, *chosen.kept, *segmented.kept])}
    of_loss = frozenset(step.target.tensor for step in steps_in(trees.tile)) - others - chosen.lasting
    of_loss = of_loss if name == "gradient" else frozenset()
    for rewrite in _rewrites(segmented, of_loss, program, layout, name):
        trees = rewrite(trees)
        verify_order(trees, chosen.storage, rewrite.func.__name__)
    return trees, segmented, of_loss


def _rewrites(
    segmented: Segmented, of_loss: frozenset[str], program: Program, layout: Layout, name: str
) -> Iterator[partial[Trees]]:
    """Yield the rewrites of trees whose places are not known yet."""
    if name == "gradient":
        yield partial(take_factors, steps=segmented.steps)
        yield partial(gather_loss_only, of_loss=of_loss)
    if layout.tile > 1:
        yield partial(split, outside={tensor.name for tensor in (*program.targets, *program.inputs)})
    yield partial(functions)


def _compared(kept: Sequence[Element], tiled: Iterable[Step], program: Program) -> set[str]:
    """Return the tensors that metrics compare: the outputs kept for them, and copies of targets."""
    targets = {tensor.name for tensor in program.targets}
    copies = {step.target.tensor for step in tiled if kept and {operand.tensor for operand in step.operands} & targets}
    return copies | {element.tensor for element in kept}


def _reading(tiled: Sequence[Step], phase_steps: Sequence[Step]) -> tuple[list[Step], dict[Element, Element]]:
    """Return the copies of a tile with the steps that read them, and the replacements in what these steps read."""
    copied = {step.expression.tensor: step.target.tensor for step in tiled}
    read = {e for step in (*phase_steps, *tiled) for e in step.operands if e.tensor in copied}
    renamed = {element: Element(copied[element.tensor], element.indices) for element in read}
    return [*tiled, *(step.xreplace(renamed) for step in phase_steps)], renamed


def _results(
    outputs: Iterable[Element],
    gradient: tuple[Element, ...],
    program: Program,
    layout: Layout,
    storage: dict[str, Storage],
) -> Iterator[Step]:
    """Yield copies of outputs and derivatives to the memory of the caller, and add their places to the storage."""
    column = 0
    for k, element in enumerate(outputs):
        indices = element.indices if SAMPLE in element.indices else (SAMPLE, *element.indices)
        copy = Element(unused(f"output column {k}", program.shapes), indices)
        storage[copy.tensor] = Storage(Place.OUTPUT, column)
        column += program.count(indices)
        yield Step(copy, element)
    for (parameter, values), element in zip(slices_of(program.parameters), gradient, strict=False):
        copy = Element(unused(f"gradient of {parameter.name}", program.shapes), element.indices)
        strides = transposed_strides(element.tensor, parameter, layout)
        storage[copy.tensor] = Storage(Place.GRADIENT, values.start, strides)
        yield Step(copy, element)


def _written_at_once(results: Iterable[Step], steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the copies of results; a step whose only reader is a copy is computed in the copy, without an array."""
    defined = {step.target: step for step in steps if not step.over and not step.where}
    read = Counter(operand for step in steps for operand in step.operands)
    for copy in results:
        step = defined.get(copy.expression)
        alone = step is not None and read[step.target] == 0 and step.target.indices == copy.target.indices
        yield replace(copy, expression=step.expression) if step is not None and alone else copy


def _without_gaps(tile: Tree, program: Program) -> bool:
    """Return whether a single loop reads all inputs of a sample, and writes all of its outputs."""
    read = {operand.tensor for step in steps_in(tile) for operand in step.operands}
    return len(tile) == 1 and all(tensor.name in read for tensor in program.inputs)


def _descends(trees: Trees, storage: Mapping[str, Storage], memory: Memory) -> bool:
    """Return whether sums in place come after everything that reads parameters."""
    whole = [*computes(trees.tile)]
    first = next((k for k, each in enumerate(whole) if each.steps[0].target.tensor in memory.in_place), None)
    if first is None or trees.phases > 1:
        return False
    before = {step.target.tensor for tree in trees.before for step in steps_in(tree)}
    again = {name for name in before if storage[name].place is Place.LOCAL}
    finished = (step for step in steps_in(trees.after) if not memory.has_copied(step))
    later = (*(s for each in whole[first:] for s in each.steps), *steps_in(trees.measured), *finished)
    read = {operand.tensor for step in later for operand in step.operands}
    return Place.PARAMETER not in {storage[name].place for name in read} and not read & again


def _kept(measured: Iterable[Element], steps: list[Step], program: Program) -> Iterator[Element]:
    """Yield the elements that hold the outputs: targets of steps over samples, or copies, which are added to steps."""
    defined = {step.target for step in steps if SAMPLE in step.target.indices}
    for number, element in enumerate(measured):
        copy = Element(unused(f"measured {number}", program.shapes), dict.fromkeys((SAMPLE, *element.indices)))
        if element not in defined:
            steps.append(Step(copy, element))
        yield element if element in defined else copy


def without_noise(program: Program) -> Iterator[Step]:
    """Yield the steps with all noise set to 0, as it is outside of training."""
    names = {source.tensor.name for source in program.noise}
    known: dict[Element, Expr] = {}
    for step in program.steps:
        if names:
            known |= {operand: S.Zero for operand in step.operands if operand.tensor in names}
            step = replace(step, expression=step.expression.xreplace(known))
            value = step.expression
            copied = isinstance(value, Element) and value.indices == step.target.indices
            alone = step.operator is None and not step.where
            if alone and (value.is_number or copied) and step.target not in program.results:
                known[step.target] = value
        yield step


def in_parts(steps: Iterable[Step], program: Program) -> Iterator[Step]:
    """Yield the steps, where a sum of very many terms is divided into steps that continue each other."""
    for step in steps:
        terms = Add.make_args(step.expression)
        begun: tuple[Expr, ...] = ()
        while step.operator is None and len(begun) + len(terms) > TERMS + 1:
            part = Element(unused(f"{step.target.tensor} from {len(terms)}", program.shapes), step.target.indices)
            yield Step(part, Add(*begun, *terms[:TERMS]))
            begun, terms = (part,), terms[TERMS:]
        yield replace(step, expression=Add(*begun, *terms)) if begun else step


def _tiled(program: Program, layout: Layout, every: bool) -> Iterator[Step]:
    """Yield steps that copy inputs and targets of a tile to arrays: those with a second index, or ``every`` one.

    Loops over time would read those without a second index again at each time, with gaps between samples: they are
    copied as well. Noise is computed here, once. Rows that lie in whole vectors already are used in place.
    """
    groups = (item for item in grouped(program.steps) if isinstance(item, Group))
    again = {operand.tensor for group in groups for step in group.steps for operand in step.operands}
    used = {element.tensor: element for step in program.steps for element in step.operands}
    used |= {element.tensor: element for element in program.outputs}
    for tensor in (*program.inputs, *program.targets, *(source.tensor for source in program.noise)):
        if tensor.name in used and (every or len(tensor.shape) > 1 or tensor.name in again):
            element = used[tensor.name]
            if lies_in_rows(element, program, layout):
                continue
            yield Step(Element(unused(f"{tensor.name} tile", program.shapes), element.indices), element)


# --- phases ---------------------------------------------------------------------------------------------------


def _phases(
    steps: Iterable[Step], storage: dict[str, Storage], phased: Phases
) -> tuple[list[Step], list[Step], list[Step]]:
    """Return the steps before, over and after the samples.

    The steps before the samples include those that are computed between phases.
    """
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
