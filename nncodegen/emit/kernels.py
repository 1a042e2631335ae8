"""The kernels in C: for each, a function that works on one tile of samples, and one that finishes the sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product

from nncodegen.emit.blas import BlasEmitter
from nncodegen.emit.lines import Lines
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.ir import SAMPLE, Element, Noise, Program, Step, Tensor, needed
from nncodegen.schedule import Kernel, Layout, Nest, Place, Shape

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

    def __init__(self, program: Program, layout: Layout, kernel: Kernel, lines: Lines) -> None:
        self._program, self._layout, self._kernel, self._lines = program, layout, kernel, lines
        self._names = Names((*program.sizes, *(f"{index}_" for index in program.sizes)))
        for tensor in program.declared:
            self._names[tensor.name]
        self._blas = BlasEmitter(program, layout, kernel, self._names)
        self._padded = any(s.place is Place.ARRAY for s in kernel.storage.values())
        self._printer = Printer(program.precision, self._element)
        self._local: frozenset[str] = frozenset()  # the tensors that the present nest computes

    def emit(self) -> None:
        """The function of a tile and, where there are sums, the one that finishes them."""
        kernel, lines = self._kernel, self._lines
        self._emit_prepare()
        measures = "int metrics, const real *restrict counts"
        results = {"predict": "real *restrict outputs", "loss": f"double *restrict sums, {measures}"}
        results["gradient"] = (
            f"int more, double *restrict sums, real *restrict whole, real *restrict partials,\n    {measures}"
        )
        if self._program.noise:
            results["gradient"] += ", randomness noise, const size_t *restrict rows"
        arguments = ["parameters", "inputs", "targets", "weights", "count", "work"]
        arguments += [] if kernel.name == "predict" else ["metrics", "counts"]
        arguments += ["more", "sums", "whole", "partials"] if kernel.name == "gradient" else []
        lines.add(f"/* {TITLES[kernel.name]} */")
        head = (
            f"static void {kernel.name}_tile(const real *restrict parameters, const real *restrict inputs,\n"
            f"    const real *restrict targets, const real *restrict weights, size_t count, real *restrict work,\n"
            f"    {results[kernel.name]})"
        )
        with lines.block(head), lines.unused(*arguments):
            if self._padded:
                lines.add("const size_t padded = (count + PAD - 1)/PAD*PAD;")
            nests = (*self._before((*kernel.tile, *kernel.measured)), *kernel.tile)
            self._emit_pointers((*nests, *kernel.measured))
            self._emit_nests(nests)
            if kernel.outputs:
                self._emit_measured()
        lines.add("")
        if kernel.name == "gradient":
            self._emit_finish()

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
                    lines.add(f"measure_classes(metrics, count, {compared}, counts, sums + SUMS);")
                lines.add(
                    f"measure_errors(metrics, count, {target.size}, {number}, {compared},",
                    "    counts, sums + SUMS);",
                )
                number += target.size

    def _columns(self, element: Element) -> str:
        """Where the values of an array lie, and how far those of two samples, and of two columns, are apart."""
        strides = self._strides(element)
        column = next((stride for index, stride in strides.items() if index != SAMPLE), 0)
        return f"{self._names[element.tensor]}, {strides[SAMPLE]}, {column}"

    def _target_columns(self, target: Tensor) -> str:
        """The same for targets: where the loops of the tile have copied them to, or in the rows that were given."""
        for step in (step for nest in self._kernel.tile for step in nest.steps):
            copied = isinstance(step.expression, Element) and step.expression.tensor == target.name and not step.over
            if copied and self._kernel.storage[step.target.tensor].place is Place.ARRAY:
                return self._columns(step.target)
        offset = self._kernel.storage[target.name].offset
        return f"targets + {offset}, TARGETS, 1"

    def _emit_prepare(self) -> None:
        """What depends on the parameters alone and is kept in arrays, once for all tiles."""
        kernel, lines = self._kernel, self._lines
        if not self.prepares:
            return
        lines.add("/* What the tiles need of the parameters alone. */")
        head = f"static void {kernel.name}_prepare(const real *restrict parameters, real *restrict work)"
        with lines.block(head):
            self._emit_pointers(kernel.before)
            self._emit_nests(kernel.before)
        lines.add("")

    @property
    def prepares(self) -> bool:
        """Whether the kernel has a function that prepares its arrays."""
        stored = (self._kernel.storage[step.target.tensor] for nest in self._kernel.before for step in nest.steps)
        return any(storage.place is Place.ARRAY for storage in stored)

    def _before(self, nests: tuple[Nest, ...]) -> tuple[Nest, ...]:
        """What some nests need of the parameters alone and is not kept in arrays: it is computed again."""
        kernel = self._kernel
        steps = [s for n in kernel.before for s in n.steps if kernel.storage[s.target.tensor].place is Place.LOCAL]
        read = [element for nest in nests for step in nest.steps for element in step.operands]
        kept = needed(steps, read)
        again = (replace(n, steps=tuple(s for s in n.steps if s in kept)) for n in kernel.before)
        return tuple(nest for nest in again if nest.steps)

    def _emit_finish(self) -> None:
        kernel, lines = self._kernel, self._lines
        lines.add("/* The gradient, from the sums over all samples of a batch. */")
        with lines.block(
            "static void gradient_finish(const real *restrict parameters, const double *restrict sums,\n"
            "    const real *whole, real *restrict work, real *gradient)"
        ):
            nests = tuple(nest for nest in kernel.after if not self._in_place(nest))
            nests = (*self._before(nests), *nests)
            with lines.unused("parameters", "sums", "whole", "work", "gradient"):
                self._emit_pointers(nests)
                self._emit_nests(nests)
        lines.add("")

    def _in_place(self, nest: Nest) -> bool:
        """Whether a nest copies whole sums to the gradient, where they lie already."""
        read = (self._kernel.storage[element.tensor].place for step in nest.steps for element in step.operands)
        return self._kernel.in_place and all(place is Place.WHOLE for place in read)

    def _emit_pointers(self, nests: tuple[Nest, ...]) -> None:
        """Names for the parameters and arrays that the nests use."""
        read = {e.tensor: e for nest in nests for step in nest.steps for e in (*step.operands, step.target)}
        read |= {e.tensor: e for nest in nests for e in self._blas.originals(nest)}
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
            if self._blas.only_for_blocks(nest):
                with self._lines.block("if (!gemm)"):
                    self._emit_pack(nest)
            elif nest.shape is Shape.BLAS:
                self._emit_blas(nest)
            elif nest.shape is Shape.PACK:
                self._emit_pack(nest)
            elif nest.shape is Shape.CONTRACT:
                self._emit_contract(nest)
            elif nest.shape is Shape.ACCUMULATE:
                self._emit_accumulate(nest)
            elif nest.shape is Shape.ACROSS:
                self._emit_across(nest)
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
        self._local = frozenset(step.target.tensor for step in nest.steps if SAMPLE not in step.over)
        alone = len(sums) == len(nest.steps) == 1
        if not sums:
            steps = [numbered for step in nest.steps for numbered in self._written_out(step, nest)]
            with self._loops(nest.loops, nest):
                self._emit_loads(steps)
                for step in steps:
                    self._emit_statement(step)
            self._emit_padding(nest)
            return
        with self._loops(nest.outer, nest):
            for step in sums:
                self._lines.add(f"real {self._names[step.target.tensor]} = 0;")
            with self._loops(nest.reduced, nest), self._sample_loop(nest, sums[0] if alone else None):
                self._emit_loads(nest.steps)
                for step in nest.steps:
                    self._emit_statement(step)
            for step in sums:
                position = self._position(step.target)
                self._lines.add(f"sums[{position}] += {self._names[step.target.tensor]};")

    def _emit_padding(self, nest: Nest) -> None:
        """Zeros behind rows that were copied from outside, where nothing is to read behind."""
        if nest.lanes == SAMPLE:
            return
        size, padded = self._program.sizes[nest.lanes], self._layout.padded(self._program.sizes[nest.lanes] or 1)
        arrays = [s.target for s in nest.steps if self._kernel.storage[s.target.tensor].place is Place.ARRAY]
        if not arrays or self._bound(nest.lanes, nest) == padded:
            return
        index = nest.lanes
        with (
            self._sample_loop(nest),
            self._lines.block(f"for (size_t {index} = {size}; {index} < {padded}; {index}++)"),
        ):
            self._lines.add(*(f"{self._stored(element)} = 0;" for element in arrays))

    def _bound(self, index: str, nest: Nest) -> int:
        """Where a loop over features ends: lanes run over what pads a row as well, unless rows from outside end."""
        size = self._program.sizes[index] or 1
        if index != nest.lanes:
            return size
        elements = [e for step in nest.steps for e in (step.target, *step.operands) if index in e.indices]
        outside = any(self._kernel.storage[e.tensor].place in (*COLUMNS, Place.NOISE) for e in elements)
        return size if outside else self._layout.padded(size)

    def _emit_statement(self, step: Step) -> None:
        storage = self._kernel.storage[step.target.tensor]
        value = self._value(step)
        name = self._name(step.target)
        if SAMPLE in step.over:
            self._lines.add(f"{name} += {value};")
        elif storage.place is Place.LOCAL:
            self._lines.add(f"const real {name} = {value};")
        elif storage.place is Place.ARRAY:
            self._lines.add(f"const real {name}_ = {value};", f"{self._stored(step.target)} = {name}_;")
        else:
            self._lines.add(f"{self._stored(step.target)} = {value};")

    def _written_out(self, step: Step, nest: Nest) -> Iterator[Step]:
        """A step for each value of its short indices."""
        short = [index for index in step.target.indices if index in nest.few]
        for numbers in product(*(range(self._program.sizes[index] or 1) for index in short)):
            yield _numbered(step, dict(zip(short, numbers, strict=True)))

    def _terms(self, step: Step) -> list[Step]:
        """A step for each term of a reduction over few values; the step itself if it has none."""
        if not step.over or SAMPLE in step.over:
            return [step]
        (inner,) = step.over
        return [_numbered(step, {inner: k}) for k in range(self._program.sizes[inner] or 1)]

    def _value(self, step: Step) -> str:
        """The value of a step; the terms of a reduction over few values one after the other."""
        first, *others = (self._printer.print(term.expression) for term in self._terms(step))
        for term in others:
            first = f"({first} > {term} ? {first} : {term})" if step.operator == "max" else f"{first} + {term}"
        return first

    def _emit_loads(self, steps: Iterable[Step]) -> None:
        """Local variables for what is read from the rows of the inputs and targets, once for each sample."""
        read = {e: None for step in steps for term in self._terms(step) for e in term.operands}
        for element in sorted(read, key=str):
            if self._kernel.storage[element.tensor].place in (Place.INPUT, Place.TARGET):
                self._lines.add(f"const real {self._name(element)} = {self._stored(element)};")

    def _name(self, element: Element) -> str:
        """The local variable for an element: its tensor, and the values of its short indices."""
        return self._names[" ".join([element.tensor, *(index for index in element.indices if index.isdigit())])]

    # Blocks: calls of the functions in blocks.c.

    def _emit_pack(self, nest: Nest) -> None:
        """A copy of a matrix, which may lie transposed, in padded rows."""
        (step,) = nest.steps
        *rows, column = step.target.indices
        (matrix,) = step.operands
        strides, sizes = self._strides(matrix), self._program.sizes
        row_stride, stride = strides[rows[0]] if rows else 0, strides[column]
        source = f"{sizes[rows[0]] if rows else 1}, {sizes[column]}, {self._names[matrix.tensor]}"
        target = f"{self._names[step.target.tensor]}, {self._layout.padded(sizes[column] or 1)}"
        if row_stride == 1 and stride > 1:
            self._lines.add(f"turn({source}, {stride}, {target});")
        else:
            self._lines.add(f"pack({source}, {row_stride}, {stride}, {target});")

    def _emit_blas(self, nest: Nest) -> None:
        """A product by BLAS where there is one, and otherwise in blocks."""
        with self._lines.block("if (gemm)"):
            self._lines.add(*self._blas.product(nest))
        with self._lines.block("else"):
            if self._blas.turned(nest):
                self._lines.add(self._blas.dot_products(nest))
            elif SAMPLE in nest.steps[0].over:
                self._emit_accumulate(nest)
            else:
                self._emit_contract(nest)

    def _emit_contract(self, nest: Nest) -> None:
        """The product of a matrix and an array of samples: rows of outputs or of samples, and lanes of the others."""
        (step,) = nest.steps
        (inner,) = step.over
        (row,) = (index for index in step.target.indices if index != nest.lanes)
        b = next(element for element in step.operands if nest.lanes in element.indices)
        a = next(element for element in step.operands if element is not b)
        target = step.target
        self._lines.add(
            f"contract({self._extent(row)}, {self._extent(nest.lanes)}, {self._program.sizes[inner]}, "
            f"{self._array(a)}, {self._stride(a, row)}, {self._stride(a, inner)}, "
            f"{self._array(b)}, {self._stride(b, inner)}, {self._stride(b, nest.lanes)}, "
            f"{self._array(target)}, {self._stride(target, row)}, 0);"
        )

    def _emit_accumulate(self, nest: Nest) -> None:
        """The sums over samples of the products of two arrays, one of which lies in rows along the lanes."""
        (step,) = nest.steps
        (row,) = (index for index in step.target.indices if index != nest.lanes)
        b = next(element for element in step.operands if nest.lanes in element.indices)
        a = next(element for element in step.operands if element is not b)
        offset = self._kernel.storage[step.target.tensor].offset
        self._lines.add(
            f"contract({self._program.sizes[row]}, {self._extent(nest.lanes)}, padded, "
            f"{self._array(a)}, {self._stride(a, row)}, {self._stride(a, SAMPLE)}, "
            f"{self._array(b)}, {self._stride(b, SAMPLE)}, 1, "
            f"whole + {offset}, {self._stride(step.target, row)}, more);"
        )

    def _emit_across(self, nest: Nest) -> None:
        """The sums over samples of the products of two arrays, whose samples lie along the lanes."""
        (step,) = nest.steps
        row, column = step.target.indices
        first, second = sorted(step.operands, key=lambda element: row not in element.indices)
        sizes, names = self._program.sizes, self._names
        self._lines.add(
            f"accumulate({sizes[row]}, {sizes[column]}, {names[first.tensor]}, {names[second.tensor]}, "
            f"{self._across(step)}, padded);"
        )

    def _emit_add_up(self, nest: Nest) -> None:
        """The sums over samples of an array."""
        (step,) = nest.steps
        array = self._names[step.expression.tensor]
        if nest.lanes == SAMPLE:
            (row,) = step.target.indices
            self._lines.add(f"add_up({self._program.sizes[row]}, {array}, {self._across(step)}, padded);")
        else:
            offset = self._kernel.storage[step.target.tensor].offset
            stride = self._stride(step.expression, SAMPLE)
            self._lines.add(f"add_rows({self._extent(nest.lanes)}, {array}, {stride}, whole + {offset}, padded, more);")

    def _across(self, step: Step) -> str:
        """The places of sums that have a partial sum in every lane."""
        offset = self._kernel.storage[step.target.tensor].offset
        return f"partials + {offset}*LANES, sums + {offset}"

    def _extent(self, index: str) -> str:
        """The values along an index, with those that pad them."""
        return "padded" if index == SAMPLE else str(self._program.sizes[index])

    def _strides(self, element: Element) -> dict[str, int]:
        """The stride of each index of a tensor."""
        return dict(zip(element.indices, self._kernel.storage[element.tensor].strides, strict=True))

    def _array(self, element: Element) -> str:
        """Where a matrix begins: rows of the inputs may be used where they are."""
        of_inputs = self._kernel.storage[element.tensor].place is Place.INPUT
        return "inputs" if of_inputs else self._names[element.tensor]

    def _stride(self, element: Element, index: str) -> str:
        if index == SAMPLE and self._kernel.storage[element.tensor].place is Place.INPUT:
            return "INPUTS"
        return self._stride_text(element, index, self._strides(element)[index])

    def _stride_text(self, element: Element, index: str, stride: int) -> str:
        return "TILE" if stride == self._layout.tile and SAMPLE in element.indices and index != SAMPLE else str(stride)

    # Reductions over other indices than the samples: one array element for each sample, summed up in place.

    def _emit_reduction(self, nest: Nest) -> None:
        (step,) = nest.steps
        target = self._stored(step.target)
        self._local = frozenset()
        value = self._printer.print(step.expression)
        with self._loops(nest.outer, nest):
            with self._sample_loop(nest):
                self._lines.add(f"{target} = {NEUTRAL[step.operator or '']};")
            with self._loops(nest.reduced, nest), self._sample_loop(nest):
                if step.operator == "sum":
                    self._lines.add(f"{target} += {value};")
                else:
                    self._lines.add(f"const real value = {value};", f"{target} = {target} > value ? {target} : value;")

    # Loops and elements.

    @contextmanager
    def _loops(self, indices: tuple[str, ...], nest: Nest) -> Iterator[None]:
        if not indices:
            yield
            return
        index, *rest = indices
        if index == SAMPLE:
            with self._sample_loop(nest), self._loops(tuple(rest), nest):
                yield
            return
        head = f"for (size_t {index} = 0; {index} < {self._bound(index, nest)}; {index}++)"
        with self._lines.block(head), self._loops(tuple(rest), nest):
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
        if element.tensor in self._local:
            return f"{self._name(element)}_" if place is Place.ARRAY else self._name(element)
        if place in (Place.LOCAL, Place.INPUT, Place.TARGET) or (place is Place.PARAMETER and not element.indices):
            return self._name(element)
        if place is Place.SUM:
            return f"(real) {self._stored(element)}"
        return self._stored(element)

    def _stored(self, element: Element) -> str:
        """An element in memory."""
        place = self._kernel.storage[element.tensor].place
        if place in COLUMNS:
            array, width = COLUMNS[place]
            return f"{array}[{SAMPLE}*{width} + {self._position(element)}]"
        if place is Place.NOISE:
            number = self._kernel.storage[element.tensor].offset
            source = self._program.noise[number]
            given = f"noise_of_layer(noise, {number + 1}), noise.scale, rows[{SAMPLE}], {self._position(element)}"
            return f"{source.distribution}_noise({given}, {_noise_arguments(source)})"
        if place is Place.WEIGHT:
            return f"weights[{SAMPLE}]"
        if place is Place.SUM:
            return f"sums[{self._position(element)}]"
        if place is Place.WHOLE:
            return f"whole[{self._position(element)}]"
        if place is Place.GRADIENT:
            return f"gradient[{self._position(element)}]"
        return f"{self._names[element.tensor]}[{self._position(element)}]"

    def _position(self, element: Element) -> str:
        """The number of a value in its array: behind a pointer of its own, or behind the offset of its tensor."""
        storage = self._kernel.storage[element.tensor]
        offset = 0 if storage.place in (Place.ARRAY, Place.PARAMETER, Place.NOISE) else storage.offset
        texts = []
        for index, stride in sorted(zip(element.indices, storage.strides, strict=False), key=lambda pair: -pair[1]):
            text = self._stride_text(element, index, stride)
            if index.isdigit() and text != "TILE":
                offset += int(text) * int(index)
            elif "0" not in (index, text):
                texts.append(index if text == "1" else f"{index}*{text}")
        return " + ".join([*([str(offset)] if offset or not texts else []), *texts])


def _numbered(step: Step, numbers: dict[str, int]) -> Step:
    """A step for certain values of some of its indices."""

    def numbered(element: Element) -> Element:
        return Element(element.tensor, [str(numbers.get(index, index)) for index in element.indices])

    expression = step.expression.xreplace({element: numbered(element) for element in step.operands})
    over = tuple(index for index in step.over if index not in numbers)
    return Step(numbered(step.target), expression, step.operator if over else None, over)


def _noise_arguments(source: Noise) -> str:
    """What the function in noise.c is told of a distribution."""
    if source.distribution == "normal":
        return f"(real) {source.scale!r}"
    return f"UINT32_C({round(source.scale * 2**32)}), (real) {source.scale / (1 - source.scale)!r}"
