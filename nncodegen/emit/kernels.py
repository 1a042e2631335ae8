"""The kernels in C: for each, a function that works on one tile of samples, and one that finishes the sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from nncodegen.emit.lines import Lines
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.ir import SAMPLE, Element, Noise, Program, Step, needed
from nncodegen.schedule import Kernel, Nest, Place, Shape

TITLES = {
    "predict": "The outputs of a tile of samples.",
    "loss": "Adds the losses of a tile of samples to the sums.",
    "gradient": "Adds the losses of a tile of samples and their derivatives to the sums.",
}

NEUTRAL = {"sum": "0", "max": "-HUGE_VAL"}
"""What a reduction starts from."""

COLUMNS = {
    Place.INPUT: ("inputs", "INPUTS"),
    Place.TARGET: ("targets", "TARGETS"),
    Place.OUTPUT: ("outputs", "OUTPUTS"),
}
"""Where columns of rows lie, and how many there are in a row."""


class KernelEmitter:
    """Writes the two functions of a kernel."""

    def __init__(self, program: Program, kernel: Kernel, precision: str, lines: Lines) -> None:
        self._program, self._kernel, self._precision, self._lines = program, kernel, precision, lines
        self._names = Names((*program.sizes, *(f"{index}_" for index in program.sizes)))
        for tensor in program.declared:
            self._names[tensor.name]
        self._padded = kernel.arrays > 0
        self._printer = Printer(precision, self._element)
        self._local: frozenset[str] = frozenset()  # the tensors that the present nest computes

    def emit(self) -> None:
        """The function of a tile and, where there are sums, the one that finishes them."""
        kernel, lines = self._kernel, self._lines
        results = {"predict": "real *restrict outputs", "loss": "double *restrict sums"}
        results["gradient"] = "double *restrict sums, real *restrict partials"
        if self._program.noise:
            results["gradient"] += ", randomness noise"
        arguments = ("parameters", "inputs", "targets", "rows", "weights", "count", "work")
        lines.add(f"/* {TITLES[kernel.name]} */")
        head = (
            f"static void {kernel.name}_tile(const real *restrict parameters, const real *restrict inputs,\n"
            f"    const real *restrict targets, const size_t *restrict rows, const real *restrict weights,\n"
            f"    size_t count, real *restrict work, {results[kernel.name]})"
        )
        with lines.block(head), lines.unused(*arguments, *(["partials"] if kernel.name == "gradient" else [])):
            if self._padded:
                lines.add("const size_t padded = (count + PAD - 1)/PAD*PAD;")
            nests = (*kernel.before, *kernel.tile)
            self._emit_pointers(nests)
            self._emit_nests(nests)
        lines.add("")
        if kernel.name == "gradient":
            self._emit_finish()

    def _emit_finish(self) -> None:
        kernel, lines = self._kernel, self._lines
        lines.add("/* The gradient, from the sums over all samples of a batch. */")
        with lines.block(
            "static void gradient_finish(const real *restrict parameters, const double *restrict sums,\n"
            "    real *restrict work, real *restrict gradient)"
        ):
            after = tuple(step for nest in kernel.after for step in nest.steps)
            before = needed((s for nest in kernel.before for s in nest.steps), (e for s in after for e in s.operands))
            kept = [replace(n, steps=tuple(s for s in n.steps if s in before)) for n in kernel.before]
            nests = (*(nest for nest in kept if nest.steps), *kernel.after)
            with lines.unused("parameters", "sums", "work"):
                self._emit_pointers(nests)
                self._emit_nests(nests)
        lines.add("")

    def _emit_pointers(self, nests: tuple[Nest, ...]) -> None:
        """Names for the parameters and arrays that the nests use."""
        read = {e.tensor: e for nest in nests for step in nest.steps for e in (*step.operands, step.target)}
        for name, storage in self._kernel.storage.items():
            if name not in read:
                continue
            text = self._names[name]
            if storage.place is Place.PARAMETER and not read[name].indices:
                self._lines.add(f"const real {text} = parameters[{storage.offset}];")
            elif storage.place is Place.PARAMETER:
                self._lines.add(f"const real *const {text} = parameters + {storage.offset};")
            elif storage.place is Place.ARRAY:
                self._lines.add(f"real *const restrict {text} = work + {storage.offset};")

    def _emit_nests(self, nests: Iterable[Nest]) -> None:
        for nest in nests:
            self._lines.add("")
            self._emit_comment(nest)
            if nest.shape is Shape.CONTRACT:
                self._emit_contract(nest)
            elif nest.shape is Shape.ACCUMULATE:
                self._emit_accumulate(nest)
            elif nest.shape is Shape.ADD_UP:
                self._emit_add_up(nest)
            elif nest.reduced and not any(SAMPLE in step.over for step in nest.steps):
                self._emit_reduction(nest)
            else:
                self._emit_map(nest)

    def _emit_comment(self, nest: Nest) -> None:
        """Says which steps a nest came from, in names of C: a user's text could end the comment."""
        first, last = (self._names[nest.steps[k].target.tensor] for k in (0, -1))
        if not nest.outer and not nest.reduced and len(nest.steps) > 1:  # the statements are the steps
            self._lines.add(f"/* {first} to {last} */")
            return
        texts = []
        for step in nest.steps:
            names = {e: Element(self._names[e.tensor], e.indices) for e in (step.target, *step.operands)}
            expression = step.expression.xreplace(names)
            texts.append(str(Step(names[step.target], expression, step.operator, step.over)))
        self._lines.add("/* " + texts[0], *("   " + text for text in texts[1:]))
        self._lines.extend_last(" */")

    # Steps without a reduction, and sums over the samples.

    def _emit_map(self, nest: Nest) -> None:
        sums = [step for step in nest.steps if SAMPLE in step.over]
        self._local = frozenset(step.target.tensor for step in nest.steps if not step.over)
        alone = len(sums) == len(nest.steps) == 1
        with self._loops(nest.outer):
            for step in sums:
                self._lines.add(f"real {self._names[step.target.tensor]} = 0;")
            with self._loops(nest.reduced), self._sample_loop(nest, sums[0] if alone else None):
                self._emit_loads(nest)
                for step in nest.steps:
                    self._emit_statement(step)
            for step in sums:
                position = self._position(step.target, self._kernel.storage[step.target.tensor].offset)
                self._lines.add(f"sums[{position}] += {self._names[step.target.tensor]};")

    def _emit_statement(self, step: Step) -> None:
        storage = self._kernel.storage[step.target.tensor]
        value = self._printer.print(step.expression)
        name = self._names[step.target.tensor]
        if SAMPLE in step.over:
            self._lines.add(f"{name} += {value};")
        elif storage.place is Place.LOCAL:
            self._lines.add(f"const real {name} = {value};")
        elif storage.place is Place.ARRAY:
            self._lines.add(f"const real {name}_ = {value};", f"{self._stored(step.target)} = {name}_;")
        else:
            self._lines.add(f"{self._stored(step.target)} = {value};")

    def _emit_loads(self, nest: Nest) -> None:
        """Local variables for what is read from the rows of the inputs and targets, once for each sample."""
        read = {e: None for step in nest.steps for e in step.operands}
        for element in sorted(read, key=str):
            if self._kernel.storage[element.tensor].place in (Place.INPUT, Place.TARGET):
                self._lines.add(f"const real {self._names[element.tensor]} = {self._stored(element)};")

    # Blocks: calls of the functions in blocks.c.

    def _emit_contract(self, nest: Nest) -> None:
        """The product of a matrix, which may lie transposed, and an array of samples."""
        (step,) = nest.steps
        (outer,), (inner,) = nest.outer, nest.reduced
        array, matrix = sorted(step.operands, key=lambda element: SAMPLE not in element.indices)
        sizes, names = self._program.sizes, self._names
        strides = {matrix.indices[1]: 1, matrix.indices[0]: sizes[matrix.indices[1]]}
        self._lines.add(
            f"contract({sizes[outer]}, {sizes[inner]}, {names[matrix.tensor]}, {strides[outer]}, {strides[inner]}, "
            f"{names[array.tensor]}, {names[step.target.tensor]}, padded);"
        )

    def _emit_accumulate(self, nest: Nest) -> None:
        """The sums over samples of the products of two arrays."""
        (step,) = nest.steps
        row, column = step.target.indices
        first, second = sorted(step.operands, key=lambda element: row not in element.indices)
        sizes, names = self._program.sizes, self._names
        offset = self._kernel.storage[step.target.tensor].offset
        self._lines.add(
            f"accumulate({sizes[row]}, {sizes[column]}, {names[first.tensor]}, {names[second.tensor]}, "
            f"partials + {offset}*LANES, sums + {offset}, padded);"
        )

    def _emit_add_up(self, nest: Nest) -> None:
        """The sums over samples of an array."""
        (step,) = nest.steps
        (row,) = step.target.indices
        offset = self._kernel.storage[step.target.tensor].offset
        self._lines.add(
            f"add_up({self._program.sizes[row]}, {self._names[step.expression.tensor]}, "
            f"partials + {offset}*LANES, sums + {offset}, padded);"
        )

    # Reductions over other indices than the samples: one array element for each sample, summed up in place.

    def _emit_reduction(self, nest: Nest) -> None:
        (step,) = nest.steps
        target = self._stored(step.target)
        self._local = frozenset()
        value = self._printer.print(step.expression)
        with self._loops(nest.outer):
            with self._sample_loop(nest):
                self._lines.add(f"{target} = {NEUTRAL[step.operator or '']};")
            with self._loops(nest.reduced), self._sample_loop(nest):
                if step.operator == "sum":
                    self._lines.add(f"{target} += {value};")
                else:
                    self._lines.add(f"const real value = {value};", f"{target} = {target} > value ? {target} : value;")

    # Loops and elements.

    @contextmanager
    def _loops(self, indices: tuple[str, ...]) -> Iterator[None]:
        if not indices:
            yield
            return
        index, *rest = indices
        head = f"for (size_t {index} = 0; {index} < {self._program.sizes[index]}; {index}++)"
        with self._lines.block(head), self._loops(tuple(rest)):
            yield

    @contextmanager
    def _sample_loop(self, nest: Nest, accumulated: Step | None = None) -> Iterator[None]:
        if not nest.samples:
            yield
            return
        if accumulated is not None:
            self._lines.add(f"SUM_LOOP({self._names[accumulated.target.tensor]})")
        writes_rows = any(self._kernel.storage[s.target.tensor].place is Place.OUTPUT for s in nest.steps)
        end = "padded" if self._padded and not writes_rows else "count"
        with self._lines.block(f"for (size_t {SAMPLE} = 0; {SAMPLE} < {end}; {SAMPLE}++)"):
            yield

    def _element(self, element: Element) -> str:
        place = self._kernel.storage[element.tensor].place
        name = self._names[element.tensor]
        if element.tensor in self._local:
            return f"{name}_" if place is Place.ARRAY else name
        if place in (Place.LOCAL, Place.INPUT, Place.TARGET) or (place is Place.PARAMETER and not element.indices):
            return name
        if place is Place.SUM:
            return f"(real) {self._stored(element)}"
        return self._stored(element)

    def _stored(self, element: Element) -> str:
        """An element in memory."""
        storage = self._kernel.storage[element.tensor]
        if storage.place in COLUMNS:
            array, width = COLUMNS[storage.place]
            row = SAMPLE if storage.place is Place.OUTPUT else f"rows[{SAMPLE}]"
            rest = Element(element.tensor, element.indices[1:])
            return f"{array}[{row}*{width} + {self._position(rest, storage.offset)}]"
        if storage.place is Place.NOISE:
            source = self._program.noise[storage.offset]
            unit = self._position(Element(element.tensor, element.indices[1:]), 0)
            given = f"noise_of_layer(noise, {storage.offset + 1}), noise.scale, rows[{SAMPLE}], {unit}"
            return f"{source.distribution}_noise({given}, {_noise_arguments(source)})"
        if storage.place is Place.WEIGHT:
            return f"weights[{SAMPLE}]"
        if storage.place is Place.SUM:
            return f"sums[{self._position(element, storage.offset)}]"
        if storage.place is Place.GRADIENT:
            return f"gradient[{self._position(element, storage.offset)}]"
        return f"{self._names[element.tensor]}[{self._position(element, 0)}]"

    def _position(self, element: Element, offset: int) -> str:
        """The number of a value in its tensor: samples innermost, the other indices row by row."""
        indices = [index for index in element.indices if index != SAMPLE]
        of_samples = SAMPLE in element.indices
        terms = []
        for k, index in enumerate(indices, start=1):
            stride = self._program.count(indices[k:])
            factors = [index, *([str(stride)] if stride > 1 else []), *(["TILE"] if of_samples else [])]
            terms.append("*".join(factors))
        if of_samples:
            terms.append(SAMPLE)
        if offset or not terms:
            terms.insert(0, str(offset))
        return " + ".join(terms)


def _noise_arguments(source: Noise) -> str:
    """What the function in noise.c is told of a distribution."""
    if source.distribution == "normal":
        return f"(real) {source.scale!r}"
    return f"UINT32_C({round(source.scale * 2**32)}), (real) {source.scale / (1 - source.scale)!r}"
