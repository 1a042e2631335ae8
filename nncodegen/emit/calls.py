"""Calls of the functions in blocks.c: products, sums and copies of the matrices of a kernel."""

from __future__ import annotations

from nncodegen.emit.elements import Elements
from nncodegen.ir import SAMPLE, Element, Step
from nncodegen.schedule import Nest, Shape


def factors(nest: Nest) -> tuple[Element, Element]:
    """The factors of a product: the one without the lanes of its result, and the one that has them."""
    step = nest.steps[0]
    b = next(element for element in step.operands if nest.lanes in element.indices)
    return next(element for element in step.operands if element is not b), b


class BlockCalls:
    """The calls for the nests of a kernel that run in blocks."""

    def __init__(self, elements: Elements) -> None:
        self._elements = elements

    def pack(self, nest: Nest) -> str:
        """A copy of a vector or matrix, which may lie transposed, in padded rows."""
        at, (step,) = self._elements, nest.steps
        (matrix,) = step.operands
        (row,) = [index for index in step.target.indices if index != nest.lanes] or [""]
        width = at.stride(step.target, row) if row else at.layout.padded(at.size(nest.lanes))
        columns = "count" if nest.lanes == SAMPLE else at.size(nest.lanes)
        source = f"{at.size(row) if row else 1}, {columns}, {at.begin(matrix)}"
        padded = "padded" if nest.lanes == SAMPLE else at.layout.padded(at.size(nest.lanes))
        stride, target = at.stride(matrix, nest.lanes), f"{at.names[step.target.tensor]}, {width}, {padded}"
        if row and at.stride(matrix, row) == "1" != stride:
            return f"turn({source}, {stride}, {target});"
        return f"pack({source}, {at.stride(matrix, row) if row else 0}, {stride}, {target});"

    def contract(self, nest: Nest) -> tuple[str, ...]:
        """The product of a matrix and an array of samples, or the sum over samples of the products of two arrays.

        Rows of outputs, of samples or of weights, and lanes of the others. A second step multiplies the result with
        an array. Where rows have no padding, what is behind their last whole vector has a call of its own.
        """
        at, (step, *multiplied) = self._elements, nest.steps
        (inner,) = step.over
        (row,) = (index for index in step.target.indices if index != nest.lanes)
        a, b = factors(nest)
        result = nest.steps[-1].target
        factor = next((e for other in multiplied for e in other.operands if e.tensor != step.target.tensor), None)
        lanes, out = at.extent(nest.lanes, nest), f"{at.begin(result)}, {at.stride(result, row)}"
        rows, inners, more = at.extent(row, nest), at.extent(inner, nest), at.more(result) if inner == SAMPLE else "0"
        first = f"{at.begin(a)}, {at.stride(a, row)}, {at.stride(a, inner)}"
        second, lane = f"{at.begin(b)}, {at.stride(b, inner)}", at.stride(b, nest.lanes)
        times = at.begin(factor) if factor else "NULL"
        if not at.has_ends(result, nest):
            return (f"contract({rows}, {lanes}, {inners}, {first}, {second}, {lane}, {out}, {times}, {more});",)
        return (
            f"contract({rows}, {lanes}/LANES*LANES, {inners}, {first}, {second}, {lane}, {out}, {times}, {more});",
            f"contract_ends({rows}, {lanes}, {inners}, {first}, {second}, {out}, {more});",
        )

    def original(self, nest: Nest) -> Element | None:
        """The matrix of parameters of which a product reads a copy that is turned over, if it does.

        A few samples are multiplied with the matrix as it is: to turn it over would take longer than that.
        """
        at, step = self._elements, nest.steps[0]
        if nest.shape is not Shape.CONTRACT or len(nest.steps) > 1 or SAMPLE not in step.target.indices:
            return None
        a, b = factors(nest)
        original = at.copies.get(b)
        along = original and at.stride(original, *step.over) == at.stride(a, *step.over) == "1"
        return original if along else None

    def few(self, nest: Nest) -> str:
        """The product of a layer for a few samples, one by one, if both factors lie along what is summed up; else none.

        Blocks would turn one of them over, which takes longer than that.
        """
        at, step = self._elements, nest.steps[0]
        if nest.shape is not Shape.CONTRACT or len(nest.steps) > 1 or SAMPLE not in step.target.indices:
            return ""
        (inner,), (a, b) = step.over, factors(nest)
        b = self.original(nest) or b
        if at.stride(a, inner) != "1" or at.stride(b, inner) != "1":
            return ""
        (row,) = (index for index in step.target.indices if index != nest.lanes)
        function = "column_products" if nest.lanes == SAMPLE else "row_products"
        rows, lanes = (at.extent(index, nest) for index in (row, nest.lanes))
        first, second = f"{at.begin(a)}, {at.stride(a, row)}", f"{at.begin(b)}, {at.stride(b, nest.lanes)}"
        out = f"{at.begin(step.target)}, {at.stride(step.target, row)}"
        return f"{function}({rows}, {lanes}, {at.size(inner)}, {first}, {second}, {out});"

    def across(self, nest: Nest) -> str:
        """The sums over samples of the products of two arrays, whose samples lie along the lanes."""
        at, (step,) = self._elements, nest.steps
        row, column = step.target.indices
        first, second = sorted(step.operands, key=lambda element: row not in element.indices)
        return (
            f"accumulate({at.size(row)}, {at.size(column)}, {at.names[first.tensor]}, {at.names[second.tensor]}, "
            f"{self._partials(step)}, padded, alone);"
        )

    def add_up(self, nest: Nest) -> str:
        """The sums over samples of an array."""
        at, (step,) = self._elements, nest.steps
        array = at.names[step.expression.tensor]
        if nest.lanes == SAMPLE:
            (row,) = step.target.indices
            return f"add_up({at.size(row)}, {array}, {self._partials(step)}, padded, alone);"
        stride, out = at.stride(step.expression, SAMPLE), at.begin(step.target)
        return f"add_rows({at.size(nest.lanes)}, {array}, {stride}, {out}, count, {at.more(step.target)});"

    def end(self, element: Element, function: str) -> str:
        """What pads an array of samples, by one of the two functions for that."""
        at = self._elements
        (feature,) = (index for index in element.indices if index != SAMPLE)
        strides = f"{at.stride(element, SAMPLE)}, {at.stride(element, feature)}"
        return f"{function}({at.names[element.tensor]}, {at.size(feature)}, {strides}, count, padded);"

    def _partials(self, step: Step) -> str:
        """The places of sums that have a partial sum in every lane."""
        offset = self._elements.kernel.storage[step.target.tensor].offset
        return f"partials + {offset}*LANES, sums + {offset}"
