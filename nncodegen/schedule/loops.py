"""The loops of one kernel: what comes before, over and after the samples, and which steps share a nest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace

from sympy import Add, Expr, Mul, S

from nncodegen.errors import ProgramError
from nncodegen.ir import SAMPLE, Element, Program, Step, needed
from nncodegen.schedule.chains import without_chains
from nncodegen.schedule.kernel import Kernel
from nncodegen.schedule.layout import Layout, is_product
from nncodegen.schedule.nest import Nest, Place, Shape, Storage
from nncodegen.schedule.places import declared, place, turned_over
from nncodegen.schedule.vectors import calls_functions, calls_library

Loops = tuple[tuple[str, ...], tuple[str, ...], bool]
"""The indices looped over outside, those reduced inside of them, and whether the samples are looped over."""

FEW = 4
"""Values of an index that are written out, one after the other, in a loop over the samples; products also where their
sum runs over so few terms."""

LONG = 96
"""Terms beyond which a sum of products is worked through in parts, for which a panel of its second factor is copied to
where it stays in the first-level cache."""

GATHERED = 8
"""Values of a vector that are gathered from as many rows about as fast as squares of them are turned over."""

MOST = 60
"""Statements of a loop. Beyond, the time of compilers grows with their square; the next loop then reads from memory
what this one has left."""

TERMS = 30
"""Terms of a sum in one statement; further ones are added in statements of their own."""

USUAL = 8
"""Terms of a sum that make no difference; beyond, each counts as a statement."""

SUM = 2
"""Statements that a sum over the samples counts as: it keeps a register as long as its loop runs."""

_LOCAL = Storage(Place.LOCAL)


@dataclass(frozen=True)
class Form:
    """How a step is run: the shape of its nest, and the index along the vectors."""

    shape: Shape
    lanes: str


def make_kernel(
    program: Program,
    layout: Layout,
    name: str,
    outputs: tuple[Element, ...],
    sums: tuple[Element, ...],
    measured: tuple[Element, ...] = (),
    with_gaps: bool = False,
) -> Kernel:
    """The loops that compute some results of a program: outputs for each sample, or the loss and its gradient.

    ``measured`` are outputs that metrics need of a kernel of the latter kind. ``with_gaps``: one of the former kind,
    whose loops would read rows, or write them, with gaps (see ``vectors``).
    """
    if name != "gradient":
        layout = replace(layout, turned=())
    storage = declared(program, layout)
    wanted = needed(program.steps, outputs)
    in_vectors = name == "predict" and layout.tile > 1 and (with_gaps or any(map(calls_library, wanted)))
    tiled = list(_tiled(program, layout, in_vectors))
    renamed = {step.expression: step.target for step in tiled}
    own = program.steps if name == "gradient" else without_noise(program)
    steps = [*tiled, *(replace(s, expression=s.expression.xreplace(renamed)) for s in own)]
    column = offset = 0
    for k, element in enumerate(outputs):
        element = renamed.get(element, element)
        indices = element.indices if SAMPLE in element.indices else (SAMPLE, *element.indices)
        copy = Element(free(f"output column {k}", program), indices)
        steps.append(Step(copy, element))
        storage[copy.tensor] = Storage(Place.OUTPUT, column)
        column += program.count(indices)
    for parameter, element in zip(program.parameters, sums[1:], strict=bool(sums[1:])):
        copy = Element(free(f"gradient of {parameter.name}", program), element.indices)
        steps.append(Step(copy, element))
        storage[copy.tensor] = Storage(Place.GRADIENT, offset, turned_over(element.tensor, parameter, layout))
        offset += parameter.size
    steps = list(in_parts(steps, program))
    copies = [s.target for s in steps if s.target.tensor in storage]
    kept = tuple(_kept([renamed.get(element, element) for element in measured], steps, program))
    steps, forms = _forms(needed(steps, [*copies, *sums, *kept]), program, layout)
    own = needed(steps, [*copies, *sums])
    names = {step.target.tensor for step in own}
    phases, besides = _phases(own, storage), _phases([s for s in steps if s.target.tensor not in names], storage)
    # an output is written for the samples of a tile alone, an array also for those that pad it
    apart = {s.target.tensor for s in steps if storage.get(s.target.tensor, _LOCAL).place is Place.OUTPUT and tiled}
    apart |= {step.target.tensor for step in tiled if in_vectors}
    few = [i for i, size in program.sizes.items() if size is not None and size <= FEW and i not in layout.features]
    before, tile, after, metrics = (
        tuple(nests_of(phase, program, forms, apart, few if tiled and over_samples else ()))
        for phase, over_samples in (
            (phases[0] + besides[0], False),
            (phases[1], True),
            (phases[2], False),
            (besides[1], True),
        )
    )
    if name == "gradient":
        tile = tuple(_with_factors(tile, steps))
    targets = {tensor.name for tensor in program.targets}
    if layout.tile > 1:
        tile = tuple(without_chains(tile, targets | {tensor.name for tensor in program.inputs}))
    compared = {s.target.tensor for s in tiled if kept and {o.tensor for o in s.operands} & targets}
    lasting = compared | {element.tensor for element in kept}
    places = place(program, layout, (before, tile, after, metrics), storage, sums[:1], lasting)
    of_loss: frozenset[str] = frozenset()
    if name == "gradient":
        others = {step.target.tensor for step in needed(steps, [*copies, *kept])}
        of_loss = frozenset(s.target.tensor for n in tile for s in n.steps if s.target.tensor not in others)
    in_vectors = in_vectors and all(nest.shape is Shape.LOOPS for nest in tile)
    formula = name == "predict" and not program.layered and all(nest.shape is Shape.LOOPS for nest in tile)
    whole_rows = formula and layout.tile > 1 and not in_vectors and any(map(calls_functions, wanted))
    if whole_rows and not _without_gaps(tile, program):
        return make_kernel(program, layout, name, outputs, sums, measured, with_gaps=True)
    return Kernel(name, before, tile, after, *places, metrics, kept, of_loss, in_vectors, whole_rows)


def _without_gaps(tile: tuple[Nest, ...], program: Program) -> bool:
    """Whether a single loop reads all of a row, and writes all of its outputs."""
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
    """Steps that copy the rows of a tile to where it lies together, for those with an index of their own, or ``every``.

    Noise is computed there, once. Rows that lie in whole vectors already are used where they are.
    """
    used = {element.tensor: element for step in program.steps for element in step.operands}
    used |= {element.tensor: element for element in program.outputs}
    for tensor in (*program.inputs, *program.targets, *(source.tensor for source in program.noise)):
        if tensor.name in used and (every or len(tensor.shape) > 1):
            element = used[tensor.name]
            if _in_rows(element, program, layout):
                continue
            yield Step(Element(free(f"{tensor.name} tile", program), element.indices), element)


def _in_rows(element: Element, program: Program, layout: Layout) -> bool:
    """Whether an element is of the only input, in products alone, and its features run innermost in whole vectors."""
    if [tensor.name for tensor in program.inputs] != [element.tensor] or len(element.indices) != 2:
        return False
    readers = [step for step in program.steps if element.tensor in {operand.tensor for operand in step.operands}]
    sizes = [program.sizes[index] or 1 for index in element.indices if index in layout.features]
    return all(map(is_product, readers)) and [layout.padded(size) for size in sizes] == sizes != []


def free(name: str, program: Program) -> str:
    """The name, with underscores behind it where a tensor of the program has it."""
    while name in program.shapes:
        name += "_"
    return name


# --- the form of each step ---------------------------------------------------------------------------------------


def _forms(steps: Iterable[Step], program: Program, layout: Layout) -> tuple[list[Step], dict[str, Form]]:
    """The steps, with copies of matrices where a product needs them in rows of its own, and the form of each."""
    result: list[Step] = []
    forms: dict[str, Form] = {}
    elements = {element for step in program.steps for element in step.operands}
    in_rows = {e.tensor for e in elements if _in_rows(e, program, layout)}  # tensors whose features lie side by side
    for step in steps:
        form = _form(step, program, layout, in_rows)
        if SAMPLE in step.target.indices and form.lanes != SAMPLE:
            for element in step.operands:
                if SAMPLE not in element.indices and form.lanes in element.indices:
                    panels = form.shape in (Shape.CONTRACT, Shape.BLAS) and _in_panels(step, element, program, layout)
                    turned = element.tensor in layout.turned
                    if panels or turned or _in_whole_vectors(element, form.lanes, program, layout):
                        continue
                    packed = _packed(element, form.lanes, program, result, forms)
                    step = replace(step, expression=step.expression.xreplace({element: packed}))
            in_rows.add(step.target.tensor)
        result.append(step)
        forms[step.target.tensor] = form
    return result, forms


def _in_panels(step: Step, element: Element, program: Program, layout: Layout) -> bool:
    """Whether a product copies a matrix panel by panel anyway: no copy in padded rows is made of it before."""
    (inner,) = step.over
    (lanes,) = (index for index in element.indices if index != inner)
    size = program.sizes[lanes] or 1
    whole = element.indices[-1] == inner or layout.padded(size) == size
    return (program.sizes[inner] or 1) > LONG and whole


def _in_whole_vectors(element: Element, lanes: str, program: Program, layout: Layout) -> bool:
    """Whether the lanes of an element lie side by side, in whole vectors."""
    size = program.sizes[lanes] or 1
    return element.indices[-1] == lanes and layout.padded(size) == size


def _packed(element: Element, lanes: str, program: Program, steps: list[Step], forms: dict[str, Form]) -> Element:
    """The copy of a vector or matrix of parameters in padded rows along the lanes, made where there is none yet."""
    indices = (*(index for index in element.indices if index != lanes), lanes)
    packed = Element(free(f"{element.tensor} by {lanes}", program), indices)
    if packed.tensor not in forms:
        steps.append(Step(packed, element))
        forms[packed.tensor] = Form(Shape.PACK, lanes)
    return packed


def _form(step: Step, program: Program, layout: Layout, in_rows: Container[str]) -> Form:
    """Blocks for products of more than a few values, vectors for sums over the samples, loops for others."""
    features = [index for index in step.target.indices if index != SAMPLE]
    innermost = next((index for index in features if index in layout.features), SAMPLE)
    if is_product(step):
        blas = step.target.tensor in layout.blas
        if is_written_out(step, program) and not blas:
            return Form(Shape.LOOPS, innermost)
        if SAMPLE in step.target.indices:
            array = next(e for e in step.operands if SAMPLE in e.indices)
            (lanes,) = features
            turned = array.tensor not in in_rows or layout.turns(program.count(features), program.count(step.over))
            lanes = lanes if lanes == innermost or not turned else SAMPLE
            return Form(Shape.BLAS if blas else Shape.CONTRACT, lanes)
        indices = step.target.indices
        for index in indices if step.target.tensor in layout.turned else reversed(indices):
            if next(e for e in step.operands if index in e.indices).tensor in in_rows:
                return Form(Shape.BLAS if blas else Shape.ACCUMULATE, index)
        return Form(Shape.BLAS, step.target.indices[-1]) if blas else Form(Shape.ACROSS, SAMPLE)
    copied = not step.over and len(features) == 1 and _is_from_outside(step.expression, program)
    in_squares = innermost == SAMPLE and layout.tile > 1 and layout.padding > GATHERED
    if copied and in_squares and program.count(features) > FEW:
        return Form(Shape.PACK, SAMPLE)
    if step.over == (SAMPLE,) and isinstance(step.expression, Element) and len(step.expression.indices) == 2:
        return Form(Shape.ADD_UP, features[0] if step.expression.tensor in in_rows else SAMPLE)
    return Form(Shape.LOOPS, innermost if SAMPLE in step.target.indices and not step.over else SAMPLE)


def _is_from_outside(value: Expr, program: Program) -> bool:
    """Whether a value is that of an input or target, whose samples the caller has in rows."""
    outside = {tensor.name for tensor in (*program.inputs, *program.targets)}
    return isinstance(value, Element) and value.tensor in outside


def is_written_out(step: Step, program: Program) -> bool:
    """Whether a step is a product of so few values that its terms stand in the loop that uses them."""
    return is_product(step) and SAMPLE in step.target.indices and program.count(step.over) <= FEW


# --- phases and nests --------------------------------------------------------------------------------------------


def _phases(steps: Iterable[Step], storage: dict[str, Storage]) -> tuple[list[Step], list[Step], list[Step]]:
    """The steps before, over, and after the samples."""
    before: list[Step] = []
    tile: list[Step] = []
    after: list[Step] = []
    finished: set[str] = set()
    for step in steps:
        waits = any(operand.tensor in finished for operand in step.operands)
        if SAMPLE in step.indices:
            if waits:
                raise ProgramError(f"the sample index is reduced and used again, in: {step}")
            tile.append(step)
            if SAMPLE in step.over:
                finished.add(step.target.tensor)
        elif waits or storage.get(step.target.tensor, _LOCAL).place is Place.GRADIENT:
            after.append(step)
            finished.add(step.target.tensor)
        else:
            before.append(step)
    return before, tile, after


def nests_of(
    steps: Iterable[Step], program: Program, forms: dict[str, Form], apart: Container[str], few: Container[str]
) -> Iterator[Nest]:
    """Steps in nests: each joins the first nest over the same indices that comes late enough for its operands.

    The steps that define the tensors ``apart`` get nests of their own. Indices of ``few`` values are written out where
    loops run over samples; there sums over samples stay apart.
    """
    nests: list[tuple[Loops, Form, list[Step]]] = []
    sizes: list[int] = []
    homes: dict[str, tuple[int, bool]] = {}  # the nest that defines a tensor, and whether it must be left first
    for step in steps:
        form = forms[step.target.tensor]
        short = [index for index in step.indices if index in few and _can_be_written_out(step, form)]
        written_out = (is_written_out(step, program) and form.shape is Shape.LOOPS) or bool(
            step.over and set(step.over) <= set(short)
        )
        outer = tuple(index for index in step.target.indices if index != SAMPLE and index not in short)
        reduced = tuple(index for index in step.over if index != SAMPLE and not written_out)
        loops = (outer, reduced, SAMPLE in step.indices)
        first = 0
        for operand in step.operands:
            if operand.tensor in homes:
                position, complete_first = homes[operand.tensor]
                same = nests[position][:2] == (loops, form) and not complete_first
                first = max(first, position if same else position + 1)
        alone = reduced or form.shape is not Shape.LOOPS or step.target.tensor in apart
        alone = bool(alone or (few and SAMPLE in step.over))
        candidates = range(first, len(nests)) if not alone else ()
        size = _statements(step)
        fits = (k for k in candidates if nests[k][:2] == (loops, form) and sizes[k] + size <= MOST)
        position = next(fits, len(nests))
        if position == len(nests):
            nests.append((loops, form, []))
            sizes.append(MOST if alone else 0)  # so that no other joins one that stays alone
        nests[position][2].append(step)
        sizes[position] += size
        homes[step.target.tensor] = (position, bool(step.over) and not written_out)
    for loops, form, members in nests:
        inside = [index for step in members for index in step.indices if form.shape is Shape.LOOPS]
        written = tuple(dict.fromkeys(index for index in inside if index in few and index not in loops[0] + loops[1]))
        yield Nest(*loops, tuple(members), form.lanes, form.shape, written)


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
            block = home >= 0 and (nests[home].shape, nests[home].lanes) == (Shape.CONTRACT, nest.lanes)
            alike = factor.indices == product.indices == step.target.indices
            if block and alike and read[product.tensor] == 1 and homes.get(factor.tensor, home) < home:
                taken[home] = step
    for number, nest in enumerate(nests):
        own = tuple(step for step in nest.steps if step not in taken.values())
        own += (taken[number],) if number in taken else ()
        if own:
            yield replace(nest, steps=own)


def _can_be_written_out(step: Step, form: Form) -> bool:
    """Whether the short indices of a step need no loops: it runs over samples, which lie innermost, and is no block."""
    sums = step.operator in (None, "sum") or isinstance(step.expression, Element)
    return form.shape is Shape.LOOPS and form.lanes == SAMPLE and SAMPLE in step.target.indices and sums
