"""The gradient of a group of models of a network: loops over samples and units, lanes of vectors are models.

Every value stands for those of all models of the group, side by side: ``h1[(j*8 + n)*MODELS + lane]``. The loops are
those of a tile of samples (see ``kernels``), each with one over the models innermost; products call the functions of
``lanes.c``. The sums over samples lie in the order of the parameters, behind the loss: they are the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from nncodegen.emit.elements import local_name
from nncodegen.emit.lines import Lines
from nncodegen.emit.names import Names
from nncodegen.emit.nests import emit_nests
from nncodegen.emit.printer import Printer
from nncodegen.emit.terms import NEUTRAL, accumulated, combined, statements, written_out
from nncodegen.ir import SAMPLE, Element, Program, Step
from nncodegen.schedule import Lanes, Nest, Place, Shape, Storage, only

ARRAYS = {
    Place.PARAMETER: "parameters", Place.INPUT: "x", Place.TARGET: "y", Place.SUM: "sums", Place.GRADIENT: "gradient",
}  # fmt: skip
"""The arrays that the functions are given."""

WIDTHS = {Place.INPUT: "INPUTS", Place.TARGET: "TARGETS"}
"""The values of a sample in those that have samples."""

OWN = ("lane", "x", "y", "values")
"""The names of variables and arguments, besides those that are never free."""


class NetworkGroup:
    """Writes the gradient of a tile of samples of each model of a group."""

    gradient_apart = False

    def __init__(self, program: Program, lanes: Lanes, lines: Lines) -> None:
        self._program, self._kernel, self._lines = program, lanes.kernel, lines
        self._names = Names((*program.sizes, *(f"{index}_" for index in program.sizes), *OWN))
        for tensor in (program.weight, *program.declared):
            self._names[tensor.name]
        self._printer = Printer(program.precision, self._element)
        self._local: frozenset[str] = frozenset()  # the tensors that the present nest computes
        steps = [step for nest in self._kernel.nests for step in nest.steps]
        self._copied = {s.target.tensor: s.expression.tensor for s in steps if self._copies_from_outside(s)}
        self._storage, self.sums, self.values = self._places()
        self._after = only(self._kernel.after, lambda step: not self._in_place(step))
        self.models, self.samples, self.finishes = str(lanes.models), lanes.samples, bool(self._after)

    def emit_gradient(self) -> None:
        """Adds some samples of each model to the sums of a group."""
        lines, kernel = self._lines, self._kernel
        lines.add(
            "/* The derivatives of the losses of some samples of each model, and the losses if they are asked for: the",
            "   sums, or (more) what is added to them. */",
        )
        head = (
            "static HOT void group_gradient(int more, int with_loss, const real *restrict parameters,\n"
            "    const real *restrict x, const real *restrict y, real weight, size_t count, real *restrict values,\n"
            "    real *restrict sums)"
        )
        arguments = ("more", "with_loss", "parameters", "x", "y", "weight", "count", "values", "sums")
        with lines.block(head), lines.unused(*arguments):
            nests = (*kernel.before, *kernel.tile)
            self._emit_nests(only(nests, lambda step: step.target.tensor not in self._copied))
        lines.add("")

    def emit_finish(self) -> None:
        """The rest of the gradient, from sums over the samples of a batch."""
        lines = self._lines
        lines.add("/* The derivatives that are not sums over the samples of a batch, but follow from them. */")
        head = (
            "static void group_finish(const real *restrict parameters, real *restrict values, const real *sums,\n"
            "    real *gradient)"
        )
        with lines.block(head), lines.unused("parameters", "values", "sums", "gradient"):
            self._emit_nests(self._after)
        lines.add("")

    # Where values are.

    def _copies_from_outside(self, step: Step) -> bool:
        """Whether a step copies rows from outside: those of a group are copied anyway, and used where they are then."""
        source = step.expression
        outside = isinstance(source, Element) and self._kernel.storage[source.tensor].place in WIDTHS
        return outside and not step.over and source.indices == step.target.indices

    def _places(self) -> tuple[dict[str, Storage], int, int]:
        """The places of all tensors, the sums and the values of a model.

        The loss is the first sum. Those that the gradient copies are where it has them; others follow it. A number that
        several nests use has a value of its own.
        """
        program, storage = self._program, dict(self._kernel.storage)
        behind = 1 + program.parameter_count
        taken: set[str] = set()
        for nest in self._kernel.after:
            for step in nest.steps:
                source, target = step.expression, storage[step.target.tensor]
                copied = isinstance(source, Element) and storage[source.tensor].place is Place.SUM
                alike = copied and source.indices == step.target.indices and source.tensor not in taken
                if alike and target.place is Place.GRADIENT:
                    taken.add(source.tensor)
                    storage[source.tensor] = Storage(Place.SUM, 1 + target.offset, target.strides)
        arrays = self._kernel.arrays
        for nest in self._kernel.nests:
            for step in nest.steps:
                name, place = step.target.tensor, storage[step.target.tensor].place
                if name == program.loss.tensor:
                    storage[name] = Storage(Place.SUM)
                elif place is Place.SUM and name not in taken:
                    storage[name] = replace(storage[name], offset=behind)
                    behind += program.count(step.target.indices)
                elif place is Place.LOCAL and not step.target.indices:
                    storage[name] = Storage(Place.ARRAY, arrays)
                    arrays += 1
        return storage, behind, arrays

    def _in_place(self, step: Step) -> bool:
        """Whether a step copies a sum to where it is."""
        source, target = step.expression, self._storage[step.target.tensor]
        if not isinstance(source, Element) or target.place is not Place.GRADIENT:
            return False
        return self._storage[source.tensor] == Storage(Place.SUM, 1 + target.offset, target.strides)

    def _array(self, element: Element) -> tuple[str, Storage]:
        """The array of an element, and its place there, with the stride of the samples."""
        name = self._copied.get(element.tensor, element.tensor)
        storage = self._storage[name]
        if storage.place is Place.ARRAY:
            return self._names[name], replace(storage, offset=0)
        return ARRAYS[storage.place], storage

    def _stride(self, element: Element, index: str) -> str:
        """The values of a model from one of an index to the next."""
        _, storage = self._array(element)
        if index == SAMPLE and storage.place in WIDTHS:
            return WIDTHS[storage.place]
        return str(dict(zip(element.indices, storage.strides, strict=True))[index])

    def _begin(self, element: Element) -> str:
        array, storage = self._array(element)
        return f"{array} + {storage.offset}*MODELS" if storage.offset else array

    def _stored(self, element: Element) -> str:
        """An element in memory."""
        array, storage = self._array(element)
        offset, texts = storage.offset, []
        for index, stride in zip(element.indices, storage.strides, strict=True):
            if index == SAMPLE and storage.place in WIDTHS:
                texts.append(f"n*{WIDTHS[storage.place]}")
            elif index.isdigit():
                offset += int(index) * stride
            else:
                texts.append(index if stride == 1 else f"{index}*{stride}")
        texts += [str(offset)] if offset else []
        row = " + ".join(texts)
        return f"{array}[{f'({row})' if len(texts) > 1 else row}*MODELS + lane]" if texts else f"{array}[lane]"

    def _name(self, element: Element) -> str:
        """The local variable for an element."""
        return self._names[local_name(element)]

    def _element(self, element: Element) -> str:
        place = self._storage[self._copied.get(element.tensor, element.tensor)].place
        if element.tensor in self._local:
            return f"{self._name(element)}_" if place is Place.ARRAY else self._name(element)
        if place is Place.WEIGHT:
            return "weight"
        return self._name(element) if place is Place.LOCAL else self._stored(element)

    # Nests.

    def _emit_nests(self, nests: tuple[Nest, ...]) -> None:
        """Nests, with names for the arrays that they use."""
        used = {e.tensor: None for nest in nests for step in nest.steps for e in (step.target, *step.operands)}
        for name in used:
            storage = self._storage[name]
            if storage.place is Place.ARRAY and name not in self._copied and name not in self._kernel.crossing:
                self._lines.add(f"real *const {self._names[name]} = values + {storage.offset}*MODELS;")
        emit_nests(nests, self._kernel, self._name_of, self._lines, self._emit_nest)

    def _name_of(self, tensor: str) -> str:
        """The name of a tensor, or of the rows from outside that it would be a copy of."""
        return self._names[self._copied.get(tensor, tensor)]

    def _emit_nest(self, nest: Nest) -> None:
        if nest.shape in (Shape.CONTRACT, Shape.ACROSS):
            self._emit_product(nest)
        elif nest.shape is Shape.ADD_UP:
            self._emit_sum(nest)
        elif any(SAMPLE in step.over for step in nest.steps):
            self._emit_sums(nest)
        elif nest.reduced:
            self._emit_reduction(nest)
        else:
            with self._loops(nest.outer, nest.samples):
                self._emit_statements(nest)

    def _emit_product(self, nest: Nest) -> None:
        """A product of matrices, times an array if there is a second step, or the derivatives by a matrix."""
        step, result = nest.steps[0], nest.steps[-1].target
        (inner,) = step.over
        row, column = sorted(step.target.indices, key=lambda index: index == SAMPLE)
        a, b = sorted(step.operands, key=lambda operand: row not in operand.indices)
        factor = next((e for s in nest.steps[1:] for e in s.operands if e.tensor != step.target.tensor), None)
        sizes = ", ".join(map(self._size, (row, column, inner)))
        first = f"{self._begin(a)}, {self._stride(a, row)}, {self._stride(a, inner)}"
        second = f"{self._begin(b)}, {self._stride(b, inner)}, {self._stride(b, column)}"
        out = f"{self._begin(result)}, {self._stride(result, row)}, {self._stride(result, column)}"
        more = "more" if inner == SAMPLE else "0"
        times = self._begin(factor) if factor else "NULL"
        self._lines.add(f"group_product({sizes}, {first}, {second}, {out}, {times}, {more});")

    def _emit_sum(self, nest: Nest) -> None:
        """The sums over samples of an array."""
        (step,) = nest.steps
        (summed,), (index,) = step.operands, step.target.indices
        array = f"{self._begin(summed)}, {self._stride(summed, index)}, {self._stride(summed, SAMPLE)}"
        self._lines.add(f"group_sum({self._size(index)}, count, {array}, {self._begin(step.target)}, more);")

    def _emit_sums(self, nest: Nest) -> None:
        """Other sums over samples."""
        sums = [self._stored(step.target) for step in nest.steps if SAMPLE in step.over]
        with self._lines.block("if (!more)"), self._loops(nest.outer, False):
            self._lines.add(*(f"{text} = 0;" for text in sums))
        with self._loops((*nest.outer, *nest.reduced), nest.samples):
            self._emit_statements(nest)

    def _emit_reduction(self, nest: Nest) -> None:
        """A reduction over other indices than the samples: of each sample, in memory."""
        (step,) = nest.steps
        target = self._stored(step.target)
        with self._loops(nest.outer, nest.samples):
            self._lines.add(f"{target} = {NEUTRAL[step.operator or '']};")
        with self._loops((*nest.outer, *nest.reduced), nest.samples):
            value = self._printer.print(step.expression)
            self._lines.add(*accumulated(step, target, value))

    def _emit_statements(self, nest: Nest) -> None:
        """The statements of one value of each index."""
        steps = [s for step in nest.steps for s in written_out(step, nest.few, self._program)]
        self._local = frozenset(step.target.tensor for step in steps if SAMPLE not in step.over)
        for step, terms in statements(steps, self._program, self._storage):
            value = combined(step, [self._printer.print(term.expression) for term in terms])
            place, name = self._storage[step.target.tensor].place, self._name(step.target)
            if SAMPLE in step.over:
                self._lines.add(f"{self._stored(step.target)} += {value};")
            elif place is Place.LOCAL:
                self._lines.add(f"const real {name} = {value};")
            elif place is Place.ARRAY:
                self._lines.add(f"const real {name}_ = {value};")
                if step.target.tensor not in self._kernel.crossing:
                    self._lines.add(f"{self._stored(step.target)} = {name}_;")
            else:
                self._lines.add(f"{self._stored(step.target)} = {value};")
        self._local = frozenset()

    def _size(self, index: str) -> str:
        return "count" if index == SAMPLE else str(self._program.sizes[index])

    @contextmanager
    def _loops(self, indices: tuple[str, ...], samples: bool) -> Iterator[None]:
        """Loops over indices, over the samples if there are any, and over the models."""
        with ExitStack() as blocks:
            for index in (*indices, *([SAMPLE] if samples else [])):
                head = f"for (size_t {index} = 0; {index} < {self._size(index)}; {index}++)"
                blocks.enter_context(self._lines.block(head))
            self._lines.add("MODELS_LOOP")
            blocks.enter_context(self._lines.block("for (size_t lane = 0; lane < MODELS; lane++)"))
            yield
