"""The places of the elements of a kernel, as text in C: their arrays, strides and positions.

The plans of ``schedule.kernel`` differ in how a value is addressed: in a tile ``h1[j*TILE + n]``, of a single sample
``h1[j]``, of models side by side ``h1[(j*8 + n)*MODELS + lane]``.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cached_property

from nncodegen.compiler.emit.names import Names
from nncodegen.compiler.ir import SAMPLE, Element, Noise, Program
from nncodegen.compiler.schedule import Kernel, Layout, Place, Role
from nncodegen.compiler.schedule.extents import BEGIN
from nncodegen.compiler.schedule.tree import Tree
from nncodegen.compiler.schedule.tree_walks import elements, targets

COLUMNS = {
    Place.INPUT: ("inputs", "INPUTS"),
    Place.TARGET: ("targets", "TARGETS"),
    Place.OUTPUT: ("outputs", "OUTPUTS"),
}
"""The arrays of samples that the caller passes, and the length of a row in them."""

SUMS = {Place.SUM: "sums", Place.GRADIENT_SUM: "gradient_sums", Place.GRADIENT: "gradient"}
"""The arrays of sums over samples, and of results that are computed from them."""

PER_SAMPLE = {Place.WEIGHT: f"weights[{SAMPLE}]", Place.PRESENT: f"(real) ({SAMPLE} < count)"}
"""Factors of each sample; they are 0 for samples that only pad a tile."""

OWN_POINTERS = (Place.ARRAY, Place.PARAMETER)
"""Places in which each tensor has a separate pointer."""


class Elements:
    """The elements of the kernel of a tile; ``names`` are the C names of its tensors and local variables."""

    sample = SAMPLE
    """The number of the current sample, as text."""
    loaded: frozenset[Place] = frozenset((Place.INPUT, Place.TARGET))
    """The places whose values are read into local variables where a loop begins."""
    group = "MODELS"
    """The number of models that lie side by side, as text."""
    sums_are_double = True
    """True if sums over samples are double, whatever the type of other values is."""

    def __init__(self, program: Program, layout: Layout, kernel: Kernel) -> None:
        self.program, self.layout, self.kernel = program, layout, kernel
        self.names = Names(program.sizes)
        for tensor in program.declared:
            self.names[tensor.name]

    def named(self, element: Element) -> str:
        """Return the name of a tensor in comments."""
        return self.names[element.tensor]

    def place(self, element: Element) -> Place:
        """Return the kind of place."""
        return self.kernel.place(element)

    def name(self, element: Element) -> str:
        """Return the local variable for an element: its tensor, and the values of its short indices."""
        return self.names[" ".join([element.tensor, *(index for index in element.indices if index.isdigit())])]

    def local(self, element: Element) -> str:
        """Return the local variable for the current value of an array, such as h1_now, which may be stored later."""
        return f"{self.name(element).removesuffix('_')}_now"

    def variable(self, element: Element) -> str:
        """Return the local variable of a value, which may lie in an array as well."""
        return self.local(element) if self.place(element) is Place.ARRAY else self.name(element)

    def value(self, element: Element, local: Container[str]) -> str:
        """Return the value of an element, given the tensors that the current loop computes."""
        place = self.place(element)
        if element.tensor in local:
            return self.variable(element)
        if place is Place.LOCAL or place in self.loaded or self._is_named(element):
            return self.name(element)
        double = place is Place.SUM and self.sums_are_double
        return f"(real) {self.stored(element)}" if double else self.stored(element)

    def _is_named(self, element: Element) -> bool:
        """Return whether an element is a single parameter, which has a separate variable."""
        return self.place(element) is Place.PARAMETER and not element.indices

    def begin(self, element: Element) -> str:
        """Return the begin of the array of a tensor; inputs and targets may be used in place."""
        storage = self.kernel.storage[element.tensor]
        if storage.place in COLUMNS:
            array, _ = COLUMNS[storage.place]
            return f"{array} + {storage.offset}" if storage.offset else array
        if storage.place is Place.GRADIENT_SUM:
            return f"gradient_sums + {storage.offset}"
        return f"{self.names[element.tensor]}{f' + {storage.shift}' if storage.shift else ''}"

    def begin_of(self, element: Element, within: Container[str], block: str = "") -> str:
        """Return the address of the values of some indices, for the current values of the others.

        The values of the index ``block`` begin with those of a segment.
        """
        begin = "0" if self.kernel.storage[element.tensor].within == block else BEGIN
        begins = {block: begin} if block else {}
        first = Element(
            element.tensor, [begins.get(index, "0") if index in within else index for index in element.indices]
        )
        return f"&{self.stored(first)}" if any(index != "0" for index in first.indices) else self.begin(element)

    def size(self, index: str) -> int:
        """Return the number of values along an index other than the samples, without padding."""
        return self.program.sizes[index] or 1

    def stride(self, element: Element, index: str) -> str:
        """Return the distance between neighbouring values of an index."""
        if index == SAMPLE and self.place(element) in COLUMNS:
            return COLUMNS[self.place(element)][1]
        return self.stride_text(element, index, self.kernel.stride(element, index))

    def distance(self, element: Element, index: str) -> str:
        """Return the distance in memory between neighbouring values of an index: SAMPLE for those side by side."""
        return self.stride(element, index)

    def row(self, element: Element) -> str:
        """Return the address of the values that lie side by side."""
        return f"&{self.stored(element)}"

    @property
    def in_row(self) -> str:
        """Return the number of values that lie side by side, as text."""
        return "1" if self.kernel.plan.samples is Role.ABSENT else "TILE"

    def stride_text(self, element: Element, index: str, stride: int) -> str:
        """Return a stride as text: by its name if it has one."""
        wide = stride == self.layout.tile and not self.layout.one_by_one
        return "TILE" if wide and SAMPLE in element.indices and index != SAMPLE else str(stride)

    def stored(self, element: Element) -> str:
        """Return the text of an element in memory."""
        place = self.place(element)
        if place in COLUMNS:
            array, width = COLUMNS[place]
            return f"{array}[{SAMPLE}*{width} + {self.position(element)}]"
        if place is Place.NOISE:
            number = self.kernel.storage[element.tensor].offset
            source = self.program.noise[number]
            key, sample = f"noise_of_layer(more->noise, {number + 1})", f"more->sample_numbers[{self.sample}]"
            drawn_by = f"{key}, more->noise.scale, {sample}, {self.position(element)}"
            return f"{source.distribution}_noise({drawn_by}, {noise_arguments(source)})"
        if place in PER_SAMPLE:
            return PER_SAMPLE[place]
        return f"{SUMS.get(place) or self.names[element.tensor]}[{self.position(element)}]"

    def position(self, element: Element) -> str:
        """Return the index of a value in its array, from the pointer of its tensor, or with its offset."""
        storage = self.kernel.storage[element.tensor]
        offset = storage.shift if storage.place in (*OWN_POINTERS, Place.NOISE) else storage.offset
        return self._sum_of(element, offset)

    def _sum_of(self, element: Element, offset: int) -> str:
        """Return the text of an offset plus the indices of an element times their strides."""
        texts = []
        strides = zip(element.indices, self.kernel.storage[element.tensor].strides, strict=False)
        for index, stride in sorted(strides, key=lambda pair: -pair[1]):
            text = self.stride_text(element, index, stride)
            if index == SAMPLE and self.kernel.plan.samples is Role.ABSENT:
                continue
            if index == self.kernel.storage[element.tensor].within:
                index = f"({index} - begin)"
            if index.isdigit() and text != "TILE":
                offset += int(text) * int(index)
            elif "0" not in (index, text):
                texts.append(index if text == "1" else f"{index}*{text}")
        return " + ".join([*([str(offset)] if offset or not texts else []), *texts])

    @cached_property
    def _order(self) -> Mapping[str, int]:
        """Return the place of each tensor in the order of the kernel's storage."""
        return {name: number for number, name in enumerate(self.kernel.storage)}

    def declarations(self, tree: Tree, also_read: Iterable[Element] = ()) -> Iterator[str]:
        """Yield declarations of the parameters and arrays of a tree, and of others.

        Arrays that share memory share a pointer.
        """
        begun: dict[int, str] = {}
        read = {element.tensor: element for element in (*elements(tree), *also_read)}
        for name in sorted(read.keys() & self._order.keys(), key=self._order.__getitem__):
            storage, text = self.kernel.storage[name], self.names[name]
            if self._is_named(read[name]):
                yield f"const real {text} = parameters[{storage.offset}];"
            elif storage.place is Place.PARAMETER:
                yield f"const real *const {text} = parameters + {storage.offset};"
            elif storage.place is Place.ARRAY:
                first = begun.setdefault(storage.offset, text)
                declaration = f"real *const restrict {text} = work + {storage.offset};"
                yield declaration if first == text else f"real *const {text} = {first};"


OF_MODELS = {
    Place.PARAMETER: "parameters",
    Place.INPUT: "inputs",
    Place.TARGET: "targets",
    Place.SUM: "sums",
    Place.GRADIENT: "gradient",
    Place.OUTPUT: "rows",
    Place.NEXT: "next",
    Place.OPTION: "learning_rates",
}
"""The arrays with the values of several models, side by side, that functions have as arguments."""


class ElementsOfSample(Elements):
    """The elements of a kernel of one sample."""

    sample = "0"
    loaded = frozenset()

    def stored(self, element: Element) -> str:
        """Return the text of an element in memory."""
        place = self.place(element)
        if place is Place.WEIGHT:
            return "weight"
        if place is Place.VARIABLE:
            return self.names[element.tensor]
        return f"{COLUMNS[place][0]}[{self.position(element)}]" if place in COLUMNS else super().stored(element)

    @cached_property
    def _order(self) -> Mapping[str, int]:
        """Return the place of each tensor in the order of the kernel's storage."""
        return {name: number for number, name in enumerate(self.kernel.storage)}

    def declarations(self, tree: Tree, also_read: Iterable[Element] = ()) -> Iterator[str]:
        """Yield declarations of arrays and parameters, and of the variables that have no index."""
        yield from super().declarations(tree, also_read)
        variables = [
            self.stored(target) for target in dict.fromkeys(targets(tree)) if self.place(target) is Place.VARIABLE
        ]
        if variables:
            yield f"real {', '.join(f'{name} = 0' for name in variables)};"


class ElementsOfOne(Elements):
    """The elements of the kernel of a tile that is one sample: without its number."""

    sample = "0"
    loaded = frozenset()

    def stored(self, element: Element) -> str:
        """Return the text of an element in memory."""
        place = self.place(element)
        if place in PER_SAMPLE:
            return PER_SAMPLE[place].replace(SAMPLE, self.sample)
        return f"{COLUMNS[place][0]}[{self.position(element)}]" if place in COLUMNS else super().stored(element)


def elements_of(program: Program, layout: Layout, kernel: Kernel) -> Elements:
    """Return the elements of the kernel of a tile."""
    return (ElementsOfOne if layout.one_by_one else Elements)(program, layout, kernel)


class ElementsOfModels(Elements):
    """The elements of a kernel in which each stands for the values of several models, side by side.

    ``group`` is the name of the number of models: MODELS, or FITS.
    """

    sums_are_double = False

    def __init__(self, program: Program, layout: Layout, kernel: Kernel) -> None:
        super().__init__(program, layout, kernel)
        self.group = kernel.plan.lanes
        outside = (Place.PARAMETER, Place.INPUT, Place.TARGET) if kernel.plan.units is Role.UNROLLED else ()
        self.loaded = frozenset(outside)

    def _is_named(self, element: Element) -> bool:
        return False

    def _array(self, element: Element) -> tuple[str, int]:
        """Return the array of an element, and the number of the first value of its tensor in it."""
        storage = self.kernel.storage[element.tensor]
        if storage.place is Place.ARRAY:
            return self.names[element.tensor], storage.shift
        return OF_MODELS[storage.place], storage.offset

    def begin(self, element: Element) -> str:
        """Return the begin of the array of a tensor."""
        array, offset = self._array(element)
        return f"{array} + {offset}*{self.group}" if offset else array

    def stride_text(self, element: Element, index: str, stride: int) -> str:
        """Return a stride as text: that of inputs and targets by its name."""
        rows = index == SAMPLE and self.place(element) in COLUMNS
        return COLUMNS[self.place(element)][1] if rows else str(stride)

    def distance(self, element: Element, index: str) -> str:
        """Return the distance in memory between neighbouring values of an index: SAMPLE for those side by side."""
        return "1" if index == SAMPLE else f"{self.kernel.stride(element, index)}*{self.group}"

    def row(self, element: Element) -> str:
        """Return the address of the values that lie side by side."""
        array, place = self._position(element)
        return f"{array} + {place}" if place else array

    @property
    def in_row(self) -> str:
        """Return the number of values that lie side by side, as text."""
        return self.group

    def stored(self, element: Element) -> str:
        """Return the text of an element in memory."""
        if self.place(element) is Place.WEIGHT:
            return "weight"
        array, place = self._position(element)
        return f"{array}[{place} + lane]" if place else f"{array}[lane]"

    def _position(self, element: Element) -> tuple[str, str]:
        """Return the array of an element, and where the values of all models begin in it; nothing for its begin."""
        array, offset = self._array(element)
        row = self._sum_of(element, offset)
        return array, "" if row == "0" else f"{f'({row})' if ' ' in row else row}*{self.group}"

    @cached_property
    def _order(self) -> Mapping[str, int]:
        """Return the place of each tensor in the order of the kernel's storage."""
        return {name: number for number, name in enumerate(self.kernel.storage)}

    def declarations(self, tree: Tree, also_read: Iterable[Element] = ()) -> Iterator[str]:
        """Yield declarations of the arrays of a tree."""
        read = {element.tensor for element in elements(tree)}
        for name, storage in self.kernel.storage.items():
            if name in read and storage.place is Place.ARRAY and name not in self.kernel.memory.crossing:
                yield f"real *const {self.names[name]} = values + {storage.offset}*{self.group};"


def noise_arguments(source: Noise) -> str:
    """Return the further arguments of the function of a distribution."""
    if source.distribution == "normal":
        return f"(real) {source.scale!r}"
    return f"UINT32_C({round(source.scale * 2**32)}), (real) {source.scale / (1 - source.scale)!r}"
