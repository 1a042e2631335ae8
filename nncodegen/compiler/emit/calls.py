"""Calls of the functions of the runtime: products, sums and copies of the matrices of a kernel, for each plan."""

from __future__ import annotations

from math import prod

from nncodegen.compiler.emit.blas import blas_product, end_rows
from nncodegen.compiler.emit.elements import Elements
from nncodegen.compiler.emit.systems import path_call
from nncodegen.compiler.emit.windows import WindowPrinter
from nncodegen.compiler.ir import SAMPLE, Element, Step
from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.compiler.schedule import Filling, Place, Shape
from nncodegen.compiler.schedule.extents import END, PADDED
from nncodegen.compiler.schedule.products import factors, rest_of
from nncodegen.compiler.schedule.shapes import matrix_and_row
from nncodegen.compiler.schedule.tree import Call, Fill


class Calls:
    """Writer of the calls of a kernel."""

    def __init__(self, elements: Elements) -> None:
        self._at = elements

    def of(self, call: Call) -> tuple[str, ...]:
        """Return the calls that compute steps."""
        raise NotImplementedError

    def fill(self, fill: Fill) -> str:
        """Return the call that pads an array; only a tile has padding that affects results."""
        raise NotImplementedError


class CallsOfTile(Calls):
    """Writer of the calls for the kernel of a tile; all products are ``out[r, c] = sum(k) a[r, k]*b[k, c]``."""

    def of(self, call: Call) -> tuple[str, ...]:
        """Return the calls that compute steps."""
        if call.shape in (Shape.CONTRACT, Shape.ACCUMULATE):
            return self._contract(call)
        if call.shape is Shape.BLAS:
            return blas_product(call, self._at, self._scale(call.steps[0].target))
        if call.shape is Shape.MATRICES:
            return self._product(call)
        if call.shape is Shape.PACK:
            return (self._pack(call),)
        if call.shape is Shape.PLACES:
            return tuple(WindowPrinter(self._at).lines(call))
        if call.shape is Shape.PATH:
            return path_call(call, self._at)
        if call.shape is Shape.LANE_SUMS:
            return (self._across(call),)
        if call.shape is Shape.ADD_UP:
            return (self._add_up(call),)
        return (self._dot_products(call) if call.shape is Shape.DOT_PRODUCTS else self._dot_products_of_samples(call),)

    def fill(self, fill: Fill) -> str:
        """Return the call that pads an array of samples, or the rows of a result of BLAS."""
        at, element = self._at, fill.target
        if fill.filling is Filling.ZERO_ENDS:
            return end_rows(fill, at)
        (feature,) = (index for index in element.indices if index != SAMPLE)
        strides = f"{at.stride(element, SAMPLE)}, {at.stride(element, feature)}"
        function = "zeros_after" if fill.filling is Filling.ZERO_SAMPLES else "repeat_last"
        return f"{function}({at.names[element.tensor]}, {at.size(feature)}, {strides}, count, padded);"

    def _pack(self, call: Call) -> str:
        """Return the call that copies a vector or matrix, which may lie transposed, to padded rows."""
        at, (step,) = self._at, call.steps
        (matrix,) = step.operands
        if at.layout.one_by_one:
            return self._pack_groups(step, matrix)
        if at.place(step.target) is Place.OUTPUT:
            return self._write(call, matrix)
        (row,) = [index for index in step.target.indices if index != call.innermost] or [""]
        of_samples = call.innermost == SAMPLE
        end = PADDED if of_samples else str(at.layout.padded(at.size(call.innermost)))
        source = f"{at.size(row) if row else 1}, {call.end(call.innermost)}, {at.begin(matrix)}"
        stride = at.stride(matrix, call.innermost)
        target = f"{at.names[step.target.tensor]}, {at.stride(step.target, row) if row else end}, {end}"
        if row and at.stride(matrix, row) == "1" != stride:
            return f"transpose({source}, {stride}, {target});"
        return f"pack({source}, {at.stride(matrix, row) if row else 0}, {stride}, {target});"

    def _write(self, call: Call, matrix: Element) -> str:
        """Return the call that copies an array, along which the samples lie, to rows of samples of the caller."""
        at, (step,), size = self._at, call.steps, self._at.size(call.innermost)
        source = f"count, {size}, {at.begin_of(matrix, step.target.indices)}, {at.stride(matrix, call.innermost)}"
        return f"transpose({source}, {at.begin(step.target)}, {at.stride(step.target, SAMPLE)}, {size});"

    def _pack_groups(self, step: Step, matrix: Element) -> str:
        """Return the call that copies a matrix whose rows and columns are groups of indices, without padding."""
        at, indices, target = self._at, step.target.indices, self._at.names[step.target.tensor]
        size = prod(map(at.size, indices))
        if matrix.indices == indices:
            return f"pack(1, {size}, {at.begin(matrix)}, 0, 1, {target}, {size}, {size});"
        split = next(k for k in range(len(indices)) if matrix.indices == (*indices[k:], *indices[:k]))
        rows = prod(map(at.size, indices[:split]))
        columns = size // rows
        return f"transpose({rows}, {columns}, {at.begin(matrix)}, {rows}, {target}, {columns}, {columns});"

    def _product(self, call: Call) -> tuple[str, ...]:
        """Return the call for a product of matrices whose indices are in groups, and what ends its triangle."""
        at, (step,), matrices = self._at, call.steps, call.matrices
        assert matrices
        # it may be a copy of matrices.b
        b = next(each for each in step.operands if each not in (matrices.a, matrices.mask))
        groups = (matrices.rows, matrices.columns, matrices.inner)
        block = next((group[0] for group in groups if any(call.end(index) == END for index in group)), "")
        rows, columns, inner = ("end - begin" if block in group else str(prod(map(at.size, group))) for group in groups)
        within = (SAMPLE, *matrices.rows, *matrices.columns, *matrices.inner)

        def given(element: Element, *groups: tuple[str, ...]) -> str:
            strides = (at.stride(element, group[-1]) if group else "0" for group in groups)
            return ", ".join([at.begin_of(element, within, block), *strides])

        out = given(step.target, matrices.rows)
        arguments = (
            f"{given(matrices.a, matrices.rows, matrices.inner)}, {given(b, matrices.inner, matrices.columns)}, {out}"
        )
        scale = self._scale(step.target) if SAMPLE in step.over else "0"
        if block in matrices.inner:  # the first block sets the sums, the others add to them
            scale = f"segment > 0 ? 1 : {scale}"
        in_block = (
            bool(block) and matrices.triangle is not None and block in (matrices.triangle.high, matrices.triangle.low)
        )
        limit, first = "_matrices", "begin, " if in_block else ""
        if matrices.triangle and not matrices.of_result:
            limit = "_below" if matrices.triangle.high in matrices.rows else "_above"
            limit = f"{limit}{'_from' * in_block}"
            arguments = f"{first}{rows}, {columns}, {inner}, {arguments}"
        else:
            arguments = f"{rows}, {columns}, {inner}, {arguments}"
        if matrices.mask:
            (row,), (term,) = matrices.rows, matrices.inner
            strides = (
                at.stride(matrices.mask, index) if index in matrices.mask.indices else "0" for index in (row, term)
            )
            limit, arguments = (
                "_where",
                f"{', '.join([at.begin_of(matrices.mask, within, block), *strides])}, {arguments}",
            )
        calls = [f"multiply{limit}({arguments}, {scale});"]
        if matrices.triangle and matrices.of_result:
            side = "above" if matrices.triangle.high in matrices.rows else "below"
            calls.append(f"clear_{side}{'_from' * in_block}({first}{rows}, {columns}, {out});")
        return tuple(calls)

    def _contract(self, call: Call) -> tuple[str, ...]:
        """Return the calls for the product of a matrix and samples, or for sums over samples of products of two arrays.

        Its columns lie along the vectors: samples, units or weights. A second step multiplies the result with an array.
        If rows have no padding, the columns after their last whole vector have a separate call.
        """
        at, result = self._at, call.steps[-1].target
        (inner,), (row,) = call.steps[0].over, rest_of(call)
        (a, b), factor = factors(call), _factor(call)
        rows, columns, inners = (call.end(index) for index in (row, call.innermost, inner))
        scale = self._scale(result) if inner == SAMPLE else "0"
        first = f"{at.begin(a)}, {at.stride(a, row)}, {at.stride(a, inner)}"
        second, column = f"{at.begin(b)}, {at.stride(b, inner)}", at.stride(b, call.innermost)
        out, times = f"{at.begin(result)}, {at.stride(result, row)}", at.begin(factor) if factor else "NULL"
        whole = f"{columns}/LANES*LANES" if call.ragged else columns
        calls = (f"contract({rows}, {whole}, {inners}, {first}, {second}, {column}, {out}, {times}, {scale});",)
        if not call.ragged:
            return calls
        return (*calls, f"contract_ends({rows}, {columns}, {inners}, {first}, {second}, {column}, {out}, {scale});")

    def _dot_products(self, call: Call) -> str:
        """Return the call for the product of a layer for a few samples: both factors lie along the summed index."""
        at, target, (row,), (a, b) = self._at, call.steps[0].target, rest_of(call), factors(call)
        (inner,) = call.steps[0].over
        function = "column_products" if call.innermost == SAMPLE else "row_products"
        sizes = f"{call.end(row)}, {call.end(call.innermost)}, {at.size(inner)}"
        first, second = f"{at.begin(a)}, {at.stride(a, row)}", f"{at.begin(b)}, {at.stride(b, call.innermost)}"
        return f"{function}({sizes}, {first}, {second}, {at.begin(target)}, {at.stride(target, row)});"

    def _dot_products_of_samples(self, call: Call) -> str:
        """Return the call for sums over samples of products of two arrays in which the samples are contiguous."""
        at, (step,) = self._at, call.steps
        row, column = step.target.indices
        a, b = sorted(step.operands, key=lambda element: row not in element.indices)
        operands_text = ", ".join(f"{at.begin(e)}, {at.kernel.stride(e, i)}" for e, i in ((a, row), (b, column)))
        out, scale = f"{at.begin(step.target)}, {at.kernel.stride(step.target, row)}", self._scale(step.target)
        return f"dot_products({at.size(row)}, {at.size(column)}, padded, {operands_text}, {out}, {scale});"

    def _across(self, call: Call) -> str:
        """Return the call for sums over samples of products of two arrays, whose samples lie along the vectors."""
        at, (step,) = self._at, call.steps
        row, column = step.target.indices
        first, second = sorted(step.operands, key=lambda element: row not in element.indices)
        return (
            f"accumulate({at.size(row)}, {at.size(column)}, {at.names[first.tensor]}, {at.names[second.tensor]}, "
            f"{self._partials(step)}, padded, single_tile);"
        )

    def _add_up(self, call: Call) -> str:
        """Return the call for sums over samples of an array."""
        at, (step,) = self._at, call.steps
        array = at.names[step.operands[0].tensor]
        if call.innermost == SAMPLE:
            (row,) = step.target.indices
            return f"add_up({at.size(row)}, {array}, {self._partials(step)}, padded, single_tile);"
        stride, out = at.stride(step.operands[0], SAMPLE), at.begin(step.target)
        return f"add_rows({at.size(call.innermost)}, {array}, {stride}, {out}, count, {self._scale(step.target)});"

    def _scale(self, target: Element) -> str:
        """Return the scale of a sum over samples, 0 if it is not added; only sums in place have a scale below 0."""
        return "scale" if target.tensor in self._at.kernel.memory.in_place else "(real) (scale > 0)"

    def _partials(self, step: Step) -> str:
        """Return the places of sums that have a partial sum in every lane."""
        offset = self._at.kernel.storage[step.target.tensor].offset
        lanes = "SUM_LANES" if self._at.program.bits == PORTABLE else "LANES"
        return f"partials + {offset}*{lanes}, sums + {offset}"


class CallsOfSample(Calls):
    """Writer of the calls for the kernel of one sample: products of a matrix and a vector, and reductions of a row."""

    def of(self, call: Call) -> tuple[str, ...]:
        """Return the call that computes steps."""
        at, step = self._at, call.steps[0]
        (inner,) = step.over
        if call.shape is Shape.REDUCE_ROW:
            function = {"sum": "row_sum", "max": "row_largest"}[step.operator or ""]
            equals = "+=" if at.place(step.target) is Place.SUM else "="
            return (f"{at.stored(step.target)} {equals} {function}({at.size(inner)}, {at.begin(step.operands[0])});",)
        matrix, vector = matrix_and_row(step)
        outer = [index for index in step.target.indices if index in matrix.indices]
        sizes = f"{prod(map(at.size, outer))}, {at.size(inner)}"
        rows, values, out = (at.begin_of(element, (*outer, inner)) for element in (matrix, vector, step.target))
        if call.shape is Shape.MATRIX_BY_ROW:
            return (f"row_product({sizes}, {rows}, {at.stride(matrix, outer[-1])}, {values}, {out}, 1);",)
        return (f"row_times({sizes}, {values}, {rows}, {at.stride(matrix, inner)}, {out});",)


class CallsOfModels(Calls):
    """Writer of the calls for the kernel of a group of models: products and sums of each, with a model in each lane."""

    def of(self, call: Call) -> tuple[str, ...]:
        """Return the call that computes steps: a product of matrices, sums over samples of an array, or paths."""
        at, step, result = self._at, call.steps[0], call.steps[-1].target
        if call.shape is Shape.PATH:
            return path_call(call, at)
        if call.shape is Shape.ADD_UP:
            (summed,), (index,) = step.operands, step.target.indices
            array = f"{at.begin(summed)}, {at.stride(summed, index)}, {at.stride(summed, SAMPLE)}"
            return (f"group_sum({call.end(index)}, count, {array}, {at.begin(result)}, add);",)
        (inner,) = step.over
        row, column = sorted(step.target.indices, key=lambda index: index == SAMPLE)
        a, b = sorted(step.operands, key=lambda operand: row not in operand.indices)
        factor = _factor(call)
        sizes = ", ".join(str(call.end(index)) for index in (row, column, inner))
        first = f"{at.begin(a)}, {at.stride(a, row)}, {at.stride(a, inner)}"
        second = f"{at.begin(b)}, {at.stride(b, inner)}, {at.stride(b, column)}"
        out = f"{at.begin(result)}, {at.stride(result, row)}, {at.stride(result, column)}"
        add, times = "add" if inner == SAMPLE else "0", at.begin(factor) if factor else "NULL"
        return (f"group_product({sizes}, {first}, {second}, {out}, {times}, {add});",)


def _factor(call: Call) -> Element | None:
    """Return the array with which a second step multiplies a product; None if there is no such step."""
    product = call.steps[0].target.tensor
    return next((e for step in call.steps[1:] for e in step.operands if e.tensor != product), None)
