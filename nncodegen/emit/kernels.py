"""The kernels in C: for each, a function that works on one tile of samples, and one that finishes the sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from nncodegen.emit.blas import BlasEmitter
from nncodegen.emit.calls import BlockCalls
from nncodegen.emit.elements import COLUMNS, Elements, read_along
from nncodegen.emit.lines import Lines
from nncodegen.emit.nests import emit_nests
from nncodegen.emit.printer import Printer
from nncodegen.emit.terms import NEUTRAL, accumulated, combined, statements, terms, written_out
from nncodegen.ir import SAMPLE, Element, Step, Tensor, needed
from nncodegen.schedule import Kernel, Nest, Place, Shape, only

TITLES = {
    "predict": "The outputs of a tile of samples.",
    "loss": "Adds the losses of a tile of samples to the sums.",
    "gradient": "Adds the losses of a tile of samples and their derivatives to the sums.",
}

PART = 240
"""Statements of a function, beyond which compilers take time that grows faster than these."""

INDEPENDENT, FEW = "INDEPENDENT", "INDEPENDENT_FEW"
"""What head.c says of loops that compilers need not check for arrays that overlap, and of those of few turns."""

MOST_OF_FEW = 16
"""Turns up to which GCC writes a loop out early."""


class KernelEmitter:
    """Writes the two functions of a kernel."""

    samples = "count"
    """How many there are, as text."""

    def __init__(self, elements: Elements, lines: Lines) -> None:
        program, kernel = elements.program, elements.kernel
        self._program, self._layout, self._kernel, self._lines = program, elements.layout, kernel, lines
        self._at, self._names = elements, elements.names
        self._calls, self._blas = BlockCalls(self._at), BlasEmitter(self._at)
        self._padded = any(s.place is Place.ARRAY for s in kernel.storage.values())
        self._weighted, self._along = _weighted(kernel), _read_along(kernel)
        self._printer = Printer(program.precision, self._element)
        self._local: frozenset[str] = frozenset()  # the tensors that the present nest computes

    def emit(self) -> None:
        """The function of a tile and, where there are sums, the one that finishes them."""
        kernel, lines = self._kernel, self._lines
        self._emit_prepare()
        *parts, last = self._parts()
        for number, nests in enumerate(parts):
            lines.add(f"/* Part {number + 1} of the loops for a tile. */")
            head = f"static HOT void {kernel.name}_part_{number + 1}({self._declarations})"
            with lines.block(head), lines.unused(*self._arguments):
                self._emit_loops(nests)
            lines.add("")
        lines.add(f"/* {TITLES[kernel.name]} */")
        head = f"static HOT void {kernel.name}_tile({self._declarations})"
        with lines.block(head), lines.unused(*(name for name in self._arguments if name != "outputs")):
            for number in range(len(parts)):
                lines.add(f"{kernel.name}_part_{number + 1}({', '.join(self._arguments)});")
            self._emit_loops(last, bool(kernel.outputs))
            if kernel.outputs:
                self._emit_measured()
        lines.add("")
        if kernel.name == "gradient":
            self._emit_finish()

    def _parts(self) -> list[tuple[Nest, ...]]:
        """The nests of a tile in functions of their own, where one would have very many statements."""
        parts: list[list[Nest]] = [[]]
        for nest in self._kernel.tile:
            if parts[-1] and sum(len(other.steps) for other in (*parts[-1], nest)) > PART:
                parts.append([])
            parts[-1].append(nest)
        return [tuple(nests) for nests in parts]

    @property
    def _arguments(self) -> list[str]:
        """What the function of a tile is given."""
        results = {
            "predict": ["outputs"],
            "loss": ["sums"],
            "gradient": ["with_loss", "alone", "more", "sums", "whole", "partials"],
        }
        names = ["parameters", "inputs", "targets", "weights", "count", "work", *results[self._kernel.name]]
        names += [] if self._kernel.name == "predict" else ["metrics", "counts"]
        return names + (["noise", "rows"] if self._program.noise and self._kernel.name == "gradient" else [])

    @property
    def _declarations(self) -> str:
        """The same with their types; parameters may change where they are."""
        alone = "" if self._kernel.descends else "restrict "
        measures = "int metrics, const real *restrict counts"
        results = {"predict": "real *restrict outputs", "loss": f"double *restrict sums, {measures}"}
        results["gradient"] = (
            f"int with_loss, int alone, real more, double *restrict sums, real *{alone}whole,\n"
            f"    real *restrict partials, {measures}"
        )
        if self._program.noise:
            results["gradient"] += ", randomness noise, const size_t *restrict rows"
        return (
            f"const real *{alone}parameters, const real *restrict inputs,\n"
            f"    const real *restrict targets, const real *restrict weights, size_t count, real *restrict work,\n"
            f"    {results[self._kernel.name]}"
        )

    def _emit_loops(self, tile: tuple[Nest, ...], measures: bool = False) -> None:
        """The loops of a tile, with what they need of the parameters; (measures) names for what metrics need, too."""
        measured = self._kernel.measured if measures else ()
        if self._padded:
            pad = str(self._layout.padding) if self._kernel.in_vectors else "PAD"
            self._lines.add(f"const size_t padded = (count + {pad} - 1)/{pad}*{pad};")
        nests = (*self._before((*tile, *measured)), *tile)
        with self._lines.unused(*(["padded"] if self._padded else [])):  # a part may loop over the outputs alone
            self._emit_pointers((*nests, *measured), self._compared() if measures else ())
            self._emit_nests(nests)

    def _emit_measured(self) -> None:
        """The sums of the metrics that are wanted."""
        lines = self._lines
        lines.add("")
        with lines.block("if (metrics)"):
            self._emit_nests(self._kernel.measured)
            number = 0
            for output, target in zip(self._kernel.outputs, self._program.targets, strict=True):
                compared = f"{self._columns(output)}, {self._target_columns(target)}"
                if self._program.labels:
                    lines.add(f"measure_classes(metrics, {self.samples}, {compared}, counts, sums + SUMS);")
                lines.add(
                    f"measure_errors(metrics, {self.samples}, {target.size}, {number}, {compared},",
                    "    counts, sums + SUMS);",
                )
                number += target.size

    def _compared(self) -> list[Element]:
        """The arrays that metrics compare: the outputs, and targets where they are copied."""
        return [*self._kernel.outputs, *filter(None, map(self._copy_of, self._program.targets))]

    def _columns(self, element: Element) -> str:
        """Where the values of an array lie, and how far those of two samples, and of two columns, are apart."""
        strides = self._at.strides(element)
        column = next((stride for index, stride in strides.items() if index != SAMPLE), 0)
        return f"{self._names[element.tensor]}, {strides[SAMPLE]}, {column}"

    def _target_columns(self, target: Tensor) -> str:
        """The same for targets: where the loops of the tile have copied them to, or in the rows that were given."""
        copy = self._copy_of(target)
        return self._columns(copy) if copy else f"targets + {self._kernel.storage[target.name].offset}, TARGETS, 1"

    def _copy_of(self, target: Tensor) -> Element | None:
        """The array to which the loops of the tile copy a target, if there is one."""
        for step in (step for nest in self._kernel.tile for step in nest.steps):
            copied = isinstance(step.expression, Element) and step.expression.tensor == target.name and not step.over
            if copied and self._kernel.storage[step.target.tensor].place is Place.ARRAY:
                return step.target
        return None

    def _emit_prepare(self) -> None:
        """What depends on the parameters alone and is kept in arrays, once for all tiles."""
        kernel, lines = self._kernel, self._lines
        if not self.prepares:
            return
        lines.add("/* What the tiles need of the parameters alone. */")
        head = (
            f"static void {kernel.name}_prepare(const real *restrict parameters, size_t samples, real *restrict work)"
        )
        stored = [s for n in kernel.before for s in n.steps if kernel.storage[s.target.tensor].place is Place.ARRAY]
        nests = self._before_for((*stored, *needed(self._local_before(), (e for s in stored for e in s.operands))))
        with lines.block(head), lines.unused("samples"):
            self._emit_pointers(nests)
            self._emit_nests(nests)
        lines.add("")

    @property
    def prepares(self) -> bool:
        """Whether the kernel has a function that prepares its arrays."""
        stored = (self._kernel.storage[step.target.tensor] for nest in self._kernel.before for step in nest.steps)
        return any(storage.place is Place.ARRAY for storage in stored)

    def _before(self, nests: tuple[Nest, ...]) -> tuple[Nest, ...]:
        """What some nests need of the parameters alone and is not kept in arrays: it is computed again."""
        read = [element for nest in nests for step in nest.steps for element in step.operands]
        return self._before_for(needed(self._local_before(), read))

    def _local_before(self) -> list[Step]:
        """What depends on the parameters alone and is not kept in arrays."""
        kernel = self._kernel
        return [s for n in kernel.before for s in n.steps if kernel.storage[s.target.tensor].place is Place.LOCAL]

    def _before_for(self, kept: Sequence[Step]) -> tuple[Nest, ...]:
        """The nests of some steps before the tile."""
        return only(self._kernel.before, lambda step: step in kept)

    def _emit_finish(self) -> None:
        kernel, lines = self._kernel, self._lines
        lines.add("/* The gradient, from the sums over all samples of a batch. */")
        with lines.block(
            "static HOT void gradient_finish(const real *restrict parameters, const double *restrict sums,\n"
            "    const real *whole, real *restrict work, real *gradient)"
        ):
            nests = (*self._before(kernel.finishing), *kernel.finishing)
            with lines.unused("parameters", "sums", "whole", "work", "gradient"):
                self._emit_pointers(nests)
                self._emit_nests(nests)
        lines.add("")

    def _emit_pointers(self, nests: tuple[Nest, ...], others: Iterable[Element] = ()) -> None:
        """Names for the parameters and arrays of nests, and for others; arrays that share memory share a pointer."""
        begun: dict[int, str] = {}
        unused: list[str] = []
        read = {e.tensor: e for nest in nests for step in nest.steps for e in (*step.operands, step.target)}
        read |= {e.tensor: e for nest in nests for e in self._blas.originals(nest)}
        read |= {e.tensor: e for nest in nests if (e := self._calls.original(nest))}
        read |= {e.tensor: e for e in others}
        for name, storage in self._kernel.storage.items():
            if name not in read:
                continue
            text = self._names[name]
            if storage.place is Place.PARAMETER and not read[name].indices:
                self._lines.add(f"const real {text} = parameters[{storage.offset}];")
            elif storage.place is Place.PARAMETER:
                self._lines.add(f"const real *const {text} = parameters + {storage.offset};")
            elif storage.place is Place.ARRAY:
                first = begun.setdefault(storage.offset, text)
                own = f"real *const restrict {text} = work + {storage.offset};"
                self._lines.add(own if first == text else f"real *const {text} = {first};")
                unused = [other for other in unused if other != first]
                unused += [text] if name in self._kernel.crossing else []
        self._lines.add(*(f"(void) {text}; /* of use where loops are cut */" for text in unused))

    def _emit_nests(self, nests: Iterable[Nest]) -> None:
        emit_nests(nests, self._kernel, self._names.__getitem__, self._lines, self._emit_nest)

    def _emit_nest(self, nest: Nest) -> None:
        self._emit_steps(nest)
        if nest.shape is not Shape.LOOPS or nest.lanes != SAMPLE:
            self._emit_last_samples(nest)

    def _emit_last_samples(self, nest: Nest) -> None:
        """The samples that pad a tile, in arrays that nests along the samples read, behind a nest that leaves them out.

        They are those of the last one again, with which copies and products pad their rows; but what has their weights,
        which are 0, is 0.
        """
        if self._at.extent(SAMPLE, nest) != "count":
            return
        for target in (step.target for step in nest.steps):
            padded = SAMPLE in target.indices and target.tensor in self._along
            if not padded or self._at.place(target) is not Place.ARRAY:
                continue
            if target.tensor in self._weighted:
                self._lines.add(self._calls.end(target, "zeros_behind"))
            elif nest.lanes != SAMPLE:
                self._lines.add(self._calls.end(target, "repeat_last"))

    def _emit_steps(self, nest: Nest) -> None:
        if self._blas.only_for_blocks(nest):
            with self._lines.block("if (!gemm)"):
                self._lines.add(self._calls.pack(nest))
        elif nest.shape is Shape.BLAS:
            self._emit_blas(nest)
        elif nest.shape is Shape.PACK and self._only_for_many(nest):
            self._lines.add("if (samples >= FEW)", f"    {self._calls.pack(nest)}")
        elif nest.shape is Shape.PACK:
            self._lines.add(self._calls.pack(nest))
        elif few := self._calls.few(nest):
            with self._lines.block("if (count < FEW)"):
                self._lines.add(few)
            with self._lines.block("else"):
                self._lines.add(*self._calls.contract(nest))
        elif nest.shape in (Shape.CONTRACT, Shape.ACCUMULATE):
            self._lines.add(*self._calls.contract(nest))
        elif nest.shape is Shape.ACROSS:
            self._lines.add(self._calls.across(nest))
        elif nest.shape is Shape.ADD_UP:
            self._lines.add(self._calls.add_up(nest))
        elif nest.reduced and not any(SAMPLE in step.over for step in nest.steps):
            self._emit_reduction(nest)
        else:
            self._emit_map(nest)

    def _only_for_many(self, nest: Nest) -> bool:
        """Whether a nest makes a copy that nothing reads but products that do without it where samples are few."""
        copies = {step.target for step in nest.steps}
        return copies <= self._at.copies.keys() and all(map(self._calls.original, self._at.readers(nest)))

    # Steps without a reduction, and sums over the samples.

    def _emit_map(self, nest: Nest) -> None:
        sums = [step for step in nest.steps if SAMPLE in step.over]
        if not sums:
            with self._loops(nest.loops, nest, INDEPENDENT):
                for number in range(len(nest.parts)):
                    self._emit_part(number, nest)
            self._emit_padding(nest)
            return
        self._local = frozenset(step.target.tensor for step in nest.steps if SAMPLE not in step.over)
        with self._loops(nest.outer, nest):
            names = [self._names[step.target.tensor] for step in sums]
            self._lines.add(*(f"real {name} = 0;" for name in names))
            with self._loops(nest.reduced, nest), self._sample_loop(nest, f"SUM_LOOP({', '.join(names)})"):
                self._emit_loads(nest.steps)
                for step in nest.steps:
                    self._emit_statement(step, terms(step, self._program))
            for step, name in zip(sums, names, strict=True):
                self._lines.add(f"sums[{self._at.position(step.target)}] += {name};")

    def _emit_part(self, number: int, nest: Nest) -> None:
        """The statements of one part of the steps of a nest.

        Where its loops are cut, what a part before has left in arrays is read again; elsewhere it is at hand.
        """
        parts = nest.parts[: number + 1]
        *before, steps = ([s for step in part for s in written_out(step, nest.few, self._program)] for part in parts)
        if before:
            arrays = [step.target for part in before for step in part]
            read = {operand for step in steps for operand in step.operands}
            left = [step.target for step in before[-1] if step.target.tensor in self._kernel.crossing]
            self._lines.again(
                "CUT",
                [f"{self._at.stored(element)} = {self._at.name(element)}_;" for element in left],
                self._heads(nest.loops, nest, INDEPENDENT),
                [f"const real {self._at.name(e)}_ = {self._at.stored(e)};" for e in arrays if e in read],
            )
        self._local = frozenset(step.target.tensor for part in (*before, steps) for step in part)
        self._emit_loads(steps)
        for statement in statements(steps, self._program, self._kernel.storage):
            self._emit_statement(*statement)

    def _emit_padding(self, nest: Nest) -> None:
        """Zeros behind rows that were copied from outside, where nothing is to read behind; the last row for others."""
        if nest.lanes == SAMPLE:
            if self._kernel.in_vectors and self._reads_rows(nest):
                self._emit_last_rows(nest)
            return
        size, padded = self._program.sizes[nest.lanes], self._layout.padded(self._program.sizes[nest.lanes] or 1)
        arrays = [s.target for s in nest.steps if self._kernel.storage[s.target.tensor].place is Place.ARRAY]
        if not arrays or self._bound(nest.lanes, nest) == str(padded):
            return
        index = nest.lanes
        with (
            self._sample_loop(nest),
            self._lines.block(f"for (size_t {index} = {size}; {index} < {padded}; {index}++)"),
        ):
            self._lines.add(*(f"{self._at.stored(element)} = 0;" for element in arrays))

    def _emit_last_rows(self, nest: Nest) -> None:
        """The last row, to the end of a vector, behind those that were copied from outside."""
        with self._loops(nest.outer, nest), self._lines.block("for (size_t n = count; n < padded; n++)"):
            for target in (each.target for step in nest.steps for each in written_out(step, nest.few, self._program)):
                last = Element(target.tensor, ["count - 1" if i == SAMPLE else i for i in target.indices])
                self._lines.add(f"{self._at.stored(target)} = {self._at.stored(last)};")

    def _bound(self, index: str, nest: Nest) -> str:
        """Where a loop ends. Lanes run over what pads a row or a tile as well, unless rows from outside end."""
        places = self._kernel.storage
        if index == SAMPLE:
            ends = any(places[step.target.tensor].place is Place.OUTPUT for step in nest.steps)
            ends = ends or nest.lanes != SAMPLE or (self._kernel.in_vectors and self._reads_rows(nest))
            return "padded" if self._padded and not ends else "count"
        elements = [e for step in nest.steps for e in (step.target, *step.operands) if index in e.indices]
        outside = any(places[e.tensor].place in (*COLUMNS, Place.NOISE, Place.GRADIENT) for e in elements)
        size = self._program.sizes[index] or 1
        return str(size if outside or index != nest.lanes else self._layout.padded(size))

    def _reads_rows(self, nest: Nest) -> bool:
        """Whether a nest reads rows of the inputs."""
        read = (self._kernel.storage[operand.tensor].place for step in nest.steps for operand in step.operands)
        return any(place is Place.INPUT for place in read)

    def _emit_statement(self, step: Step, terms: Iterable[Step]) -> None:
        storage = self._kernel.storage[step.target.tensor]
        value = combined(step, [self._printer.print(term.expression) for term in terms])
        name = self._at.name(step.target)
        if SAMPLE in step.over:
            self._lines.add(f"{name} += {value};")
        elif storage.place is Place.LOCAL:
            self._lines.add(f"const real {name} = {value};")
        elif storage.place is Place.ARRAY:
            self._lines.add(f"const real {name}_ = {value};")
            if step.target.tensor not in self._kernel.crossing:
                self._lines.add(f"{self._at.stored(step.target)} = {name}_;")
        else:
            self._lines.add(f"{self._at.stored(step.target)} = {value};")

    def _emit_loads(self, steps: Iterable[Step]) -> None:
        """Local variables for what is read from the rows of the inputs and targets, once for each sample."""
        read = {e: None for step in steps for term in terms(step, self._program) for e in term.operands}
        for element in sorted(read, key=str):
            if self._kernel.storage[element.tensor].place in (Place.INPUT, Place.TARGET):
                self._lines.add(f"const real {self._at.name(element)} = {self._at.stored(element)};")

    def _emit_blas(self, nest: Nest) -> None:
        """A product by BLAS where there is one, and otherwise in blocks."""
        with self._lines.block("if (gemm)"):
            self._lines.add(*self._blas.product(nest))
        with self._lines.block("else"):
            turned = self._blas.turned(nest)
            self._lines.add(*([self._blas.dot_products(nest)] if turned else self._calls.contract(nest)))

    # Reductions over other indices than the samples: one array element for each sample, summed up in place.

    def _emit_reduction(self, nest: Nest) -> None:
        (step,) = nest.steps
        target = self._at.stored(step.target)
        self._local = frozenset()
        value = self._printer.print(step.expression)
        with self._loops(nest.outer, nest):
            with self._sample_loop(nest, INDEPENDENT):
                self._lines.add(f"{target} = {NEUTRAL[step.operator or '']};")
            with self._loops(nest.reduced, nest), self._sample_loop(nest, INDEPENDENT):
                self._lines.add(*accumulated(step, target, value))

    # Loops and elements.

    @contextmanager
    def _loops(self, indices: tuple[str, ...], nest: Nest, note: str = "") -> Iterator[None]:
        """Loops over indices; the innermost behind a note for the compiler."""
        with ExitStack() as blocks:
            for head in self._heads(indices, nest, note):
                blocks.enter_context(self._lines.block(head))
            yield

    def _sample_loop(self, nest: Nest, note: str = "") -> AbstractContextManager[None]:
        """The loop over the samples, if there is one, behind a note for the compiler."""
        return self._loops((SAMPLE,) if nest.samples else (), nest, note)

    def _heads(self, indices: tuple[str, ...], nest: Nest, note: str = "") -> list[str]:
        """How the loops begin."""
        bounds = [self._bound(index, nest) for index in indices]
        if note == INDEPENDENT and bounds and bounds[-1].isdigit() and int(bounds[-1]) <= MOST_OF_FEW:
            note = FEW
        heads = [f"for (size_t {i} = 0; {i} < {bound}; {i}++)" for i, bound in zip(indices, bounds, strict=True)]
        return [*heads[:-1], *(f"{note}\n{head}".lstrip() for head in heads[-1:])]

    def _element(self, element: Element) -> str:
        place = self._kernel.storage[element.tensor].place
        if element.tensor in self._local:
            return f"{self._at.name(element)}_" if place is Place.ARRAY else self._at.name(element)
        if place in (Place.LOCAL, Place.INPUT, Place.TARGET) or (place is Place.PARAMETER and not element.indices):
            return self._at.name(element)
        if place is Place.SUM:
            return f"(real) {self._at.stored(element)}"
        return self._at.stored(element)


def _weighted(kernel: Kernel) -> frozenset[str]:
    """The tensors that are multiples of the weight of their sample: derivatives of the loss."""
    weighted = {name for name, storage in kernel.storage.items() if storage.place is Place.WEIGHT}
    for nest in kernel.nests:
        for step in nest.steps:
            if weighted & {element.tensor for element in step.operands}:
                weighted.add(step.target.tensor)
    return frozenset(weighted)


def _read_along(kernel: Kernel) -> frozenset[str]:
    """The tensors that nests read in vectors along the samples."""
    return frozenset(element.tensor for nest in kernel.nests_with_metrics for element in read_along(nest, kernel))
