"""Where the elements of a kernel lie, as text in C: their arrays, strides and positions."""

from __future__ import annotations

from collections.abc import Iterator

from nncodegen.emit.names import Names
from nncodegen.ir import SAMPLE, Element, Noise, Program
from nncodegen.schedule import Kernel, Layout, Nest, Place, Shape

COLUMNS = {
    Place.INPUT: ("inputs", "INPUTS"),
    Place.TARGET: ("targets", "TARGETS"),
    Place.OUTPUT: ("outputs", "OUTPUTS"),
}
"""Where columns of rows lie, and how many there are in a row."""

SUMS = {Place.SUM: "sums", Place.WHOLE: "whole", Place.GRADIENT: "gradient"}
"""The arrays of what is summed over the samples, and of what is made of it."""


class Elements:
    """The elements of a kernel; ``names`` are those of its tensors and local variables."""

    sample = SAMPLE
    """The number of the present sample, as text."""

    def __init__(self, program: Program, layout: Layout, kernel: Kernel) -> None:
        self.program, self.layout, self.kernel = program, layout, kernel
        packs = (nest for nest in kernel.before if nest.shape is Shape.PACK)
        self.copies = {step.target: step.expression for nest in packs for step in nest.steps}
        self.names = Names((*program.sizes, *(f"{index}_" for index in program.sizes)))
        for tensor in program.declared:
            self.names[tensor.name]

    def place(self, element: Element) -> Place:
        """The kind of place."""
        return self.kernel.storage[element.tensor].place

    def name(self, element: Element) -> str:
        """The local variable for an element."""
        return self.names[local_name(element)]

    def begin(self, element: Element) -> str:
        """Where the array of a tensor begins; rows from outside may be used where they are."""
        storage = self.kernel.storage[element.tensor]
        if storage.place in COLUMNS:
            array, _ = COLUMNS[storage.place]
            return f"{array} + {storage.offset}" if storage.offset else array
        return f"whole + {storage.offset}" if storage.place is Place.WHOLE else self.names[element.tensor]

    def size(self, index: str) -> int:
        """The values along an index, without those that pad it; as many samples as a tile has at most."""
        size = self.program.sizes[index]
        return self.layout.tile if size is None else size

    def extent(self, index: str, nest: Nest) -> str:
        """The values along an index in a nest; samples that are read in vectors with those that pad them."""
        if index == SAMPLE:
            return "padded" if nest.lanes == SAMPLE and not turns(nest, self.kernel) else "count"
        return str(self.size(index))

    def readers(self, nest: Nest) -> list[Nest]:
        """The nests that read what a nest computes."""
        targets = {step.target for step in nest.steps}
        return [n for n in self.kernel.nests_with_metrics if any(targets & {*step.operands} for step in n.steps)]

    def has_ends(self, target: Element, nest: Nest) -> bool:
        """Whether the lanes of a sum in place, whose rows follow each other at once, may not fill whole vectors."""
        size = self.size(nest.lanes)
        return target.tensor in self.kernel.in_place and size != self.layout.padded(size)

    def more(self, target: Element) -> str:
        """How many times a sum over samples is added to what is there; below 0 is meant for those in place alone."""
        return "more" if target.tensor in self.kernel.in_place else "(real) (more > 0)"

    def strides(self, element: Element) -> dict[str, int]:
        """The stride of each index of a tensor."""
        return dict(zip(element.indices, self.kernel.storage[element.tensor].strides, strict=True))

    def stride(self, element: Element, index: str) -> str:
        """The values from one of an index to the next."""
        if index == SAMPLE and self.place(element) in COLUMNS:
            return COLUMNS[self.place(element)][1]
        return self.stride_text(element, index, self.strides(element)[index])

    def stride_text(self, element: Element, index: str, stride: int) -> str:
        """A stride, by its name where that is what it is."""
        return "TILE" if stride == self.layout.tile and SAMPLE in element.indices and index != SAMPLE else str(stride)

    def stored(self, element: Element) -> str:
        """An element in memory."""
        place = self.place(element)
        if place in COLUMNS:
            array, width = COLUMNS[place]
            return f"{array}[{SAMPLE}*{width} + {self.position(element)}]"
        if place is Place.NOISE:
            number = self.kernel.storage[element.tensor].offset
            source = self.program.noise[number]
            given = f"noise_of_layer(noise, {number + 1}), noise.scale, rows[{self.sample}], {self.position(element)}"
            return f"{source.distribution}_noise({given}, {_noise_arguments(source)})"
        if place is Place.WEIGHT:
            return f"weights[{SAMPLE}]"
        return f"{SUMS.get(place) or self.names[element.tensor]}[{self.position(element)}]"

    def position(self, element: Element) -> str:
        """The number of a value in its array: behind a pointer of its own, or behind the offset of its tensor."""
        storage = self.kernel.storage[element.tensor]
        offset = 0 if storage.place in (Place.ARRAY, Place.PARAMETER, Place.NOISE) else storage.offset
        texts = []
        for index, stride in sorted(zip(element.indices, storage.strides, strict=False), key=lambda pair: -pair[1]):
            text = self.stride_text(element, index, stride)
            if index.isdigit() and text != "TILE":
                offset += int(text) * int(index)
            elif "0" not in (index, text):
                texts.append(index if text == "1" else f"{index}*{text}")
        return " + ".join([*([str(offset)] if offset or not texts else []), *texts])


def local_name(element: Element) -> str:
    """What the local variable for an element is named after: its tensor, and the values of its short indices."""
    return " ".join([element.tensor, *(index for index in element.indices if index.isdigit())])


def _noise_arguments(source: Noise) -> str:
    """What the function of a distribution is told besides."""
    if source.distribution == "normal":
        return f"(real) {source.scale!r}"
    return f"UINT32_C({round(source.scale * 2**32)}), (real) {source.scale / (1 - source.scale)!r}"


def turns(nest: Nest, kernel: Kernel) -> bool:
    """Whether a nest with the samples along its vectors turns them over as it reads them: a copy or product of rows."""
    if nest.shape is not Shape.CONTRACT:
        return nest.shape is Shape.PACK
    (read,) = (operand for operand in nest.steps[0].operands if SAMPLE in operand.indices)
    return dict(zip(read.indices, kernel.storage[read.tensor].strides, strict=True))[SAMPLE] != 1


def read_along(nest: Nest, kernel: Kernel) -> Iterator[Element]:
    """What a nest reads in vectors along the samples."""
    if nest.lanes == SAMPLE:
        steps = nest.steps[1:] if turns(nest, kernel) else nest.steps
        yield from (operand for step in steps for operand in step.operands)
