"""Operations on whole tensors: reductions, products, softmax; axes in another order, cut, and joined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import sympy
from sympy import Expr

from nncodegen.compiler.describe.attention import rows_of
from nncodegen.compiler.ir import SAMPLE, Element, Equation, elements
from nncodegen.compiler.ir.element import renamed
from nncodegen.compiler.ir.functions import sigmoid, softplus
from nncodegen.errors import ModelError
from nncodegen.formats.onnx.reading.axes import SAMPLES, UNIT, Sections
from nncodegen.formats.onnx.reading.broadcast import Broadcasting
from nncodegen.formats.onnx.reading.values import MOST_PRODUCTS, Shape, Value


class Builder(Broadcasting):
    """The methods that write operations on whole tensors as steps, while a graph is read."""

    def reduce(self, operator: str, value: Value, axes: Iterable[int]) -> Value:
        """Return the sum ("sum") or the maximum ("max") along some axes, which then have size one."""
        axes = tuple(axes)
        if any(self.axes.length(value.axes[axis]) is None for axis in axes):
            raise ModelError("the graph reduces the rows of a batch to one: a model computes row by row")
        result_axes = tuple(UNIT if k in axes else sections for k, sections in enumerate(value.axes))
        parts: dict[tuple[int, ...], list[Expr]] = {}
        for position, block in value.blocks.items():
            place = tuple(0 if k in axes else p for k, p in enumerate(position))
            over = tuple(index for k in axes for index in value.axes[k][position[k]])
            if over and block.is_number:  # such as the product with a state that begins with zeros
                block = block * self.axes.size(over) if operator == "sum" else block
            elif over:
                block = self.step("s", (i for i in value.indices(position) if i not in over), block, operator, over)
            parts.setdefault(place, []).append(block)
        join = sympy.Add if operator == "sum" else sympy.Max
        return self._checked(replace(value, axes=result_axes, blocks={p: join(*terms) for p, terms in parts.items()}))

    def product(self, a: Value, b: Value) -> Value:
        """Return the product of matrices, as ``numpy.matmul``."""
        if not a.axes or not b.axes:
            raise ModelError("a product of matrices with a number has no meaning")
        rows, columns = len(a.axes) > 1, len(b.axes) > 1
        a, b = self.held(a if rows else self.padded(a, 2), "h"), self.held(b if columns else self.inserted(b, 1), "h")
        rank = max(len(a.axes), len(b.axes))
        a, b = self.padded(a, rank), self.padded(b, rank)
        if self.shape(a)[-1] != self.shape(b)[-2]:
            raise ModelError(f"a product of matrices of the shapes {self.shape(a)} and {self.shape(b)} has no meaning")
        self.trained |= a.undecided | b.undecided
        undecided = a.undecided | b.undecided
        a, b = (replace(v, undecided=frozenset(), trained=v.trained or bool(v.undecided)) for v in (a, b))
        factors = self.inserted(a, rank), self.inserted(b, rank - 2)
        terms = self.elementwise(lambda p, q: p * q, *factors, largest=MOST_PRODUCTS)
        total = self.without(self.reduce("sum", terms, [rank - 1]), rank - 1)
        for axis in (rank - 1,) * (not columns) + (rank - 2,) * (not rows):
            total = self.without(total, axis)
        return replace(total, summed=True, trained=total.trained or bool(undecided))

    def normalized(self, value: Value, axes: Sequence[int], logarithm: bool) -> Value:
        """Return the softmax along some axes, or its logarithm."""
        if any(self.axes.length(value.axes[axis]) is None for axis in axes):
            raise ModelError("the graph has a softmax over the rows of a batch: a model computes row by row")
        value = self.held(value, "z")
        if all(len(value.axes[axis]) == 1 for axis in axes):
            blocks: dict[tuple[int, ...], Expr] = {}
            for position, z in value.blocks.items():
                over = tuple(index for axis in axes for index in value.axes[axis][0])
                v = self.step("v", value.indices(position), z, "log_softmax", over) if over else sympy.S.Zero
                blocks[position] = v if logarithm else sympy.exp(v)
            return replace(value, blocks=blocks, summed=False)
        below = self.held(self.elementwise(lambda z, m: z - m, value, self.reduce("max", value, axes)), "z")
        e = self.held(self.elementwise(sympy.exp, below), "e")
        total = self.reduce("sum", e, axes)
        if logarithm:
            return self.elementwise(lambda z, s: z - sympy.log(s), below, total)
        return self.elementwise(lambda p, s: p / s, e, total)

    def softmax_where(self, value: Value, allowed: Value | None, causal: bool, name: str) -> Value:
        """Return the softmax along the last axis of the values that exist; those that do not count as nothing.

        These are the ones where ``allowed`` is 1, and in a causal row those at or before the place in the axis before.
        """
        axis = len(value.axes) - 1
        sections = value.axes[axis]
        value = self.held(self.whole(value, axis, f"{name}:places"), "z")
        if allowed is not None:
            allowed = self.padded(self.held(allowed, "allowed"), axis + 1)
            if allowed.axes[axis] != UNIT:  # else what cuts the mask would cut the scores, too
                allowed = self.together(allowed, axis, value.axes[axis])
            value, allowed = self._met((value, allowed))
        if len(value.axes[axis]) != 1 or len(value.axes[axis][0]) > 1:
            raise ModelError("the graph hides values by a mask along an axis that it takes apart")
        over, blocks = value.axes[axis][0], dict[tuple[int, ...], Expr]()
        steps = value.axes[axis - 1]
        causal = causal and bool(over)
        if causal and (len(steps) != 1 or len(steps[0]) > 1):
            raise ModelError("the graph has a causal mask along an axis that it takes apart")
        for position, z in value.blocks.items():
            masks: list[Expr] = []
            if allowed is not None:
                mask = allowed.blocks[tuple(0 if s == UNIT else k for s, k in zip(allowed.axes, position, strict=True))]
                if not isinstance(mask, Element) and mask != 1:
                    raise ModelError("the graph hides all values of a softmax by a mask")
                masks = [mask] if isinstance(mask, Element) else []
            queries = tuple(index for index in value.indices(position) if index not in over)
            before = self.axes.copy_of(steps[0][0]) if causal and steps != UNIT else ""
            rows = rows_of(queries, over, masks, before)
            if causal and steps == UNIT:  # the only query is at the first place
                rows = replace(rows, where=(Equation(over[0], (), 0), *rows.where))
            blocks[position] = rows.softmax(self, z) if over else sympy.S.One
        weights = replace(value, blocks=blocks, summed=False)
        return self.apart(weights, axis, sections) if over else weights

    def shares(self, value: Value, total: Value) -> Value | None:
        """Return positive values divided by their sum along an axis as a softmax of their logarithms.

        Return None unless ``total`` is such a sum, and the logarithms are known. A loss that takes the logarithm of the
        result is then written without it, so that it is finite where values are too small for a division.
        """
        axes = [
            k for k, (section, sections) in enumerate(zip(total.axes, value.axes, strict=False)) if section != sections
        ]
        if len(total.axes) != len(value.axes) or len(axes) != 1 or total.axes[axes[0]] != UNIT:
            return None
        (axis,) = axes
        if len(value.axes[axis]) != 1 or len(total.blocks) != len(value.blocks):
            return None
        steps_by_target = {step.target: step for step in self.steps}
        logarithms = {}
        for position, block in value.blocks.items():
            (over,) = value.axes[axis]
            sum_of = steps_by_target.get(total.blocks[position])
            logarithm = _logarithm(steps_by_target[block].expression if block in steps_by_target else block)
            summed = sum_of is not None and sum_of.operator == "sum" and sum_of.over == over
            if sum_of is None or logarithm is None or not summed or sum_of.expression not in (block, sympy.Abs(block)):
                return None
            logarithms[position] = logarithm
        if all(
            z in steps_by_target
            and steps_by_target[z].operator == "log_softmax"
            and steps_by_target[z].over == value.axes[axis][0]
            for z in logarithms.values()
        ):
            return replace(value, blocks={p: sympy.exp(z) for p, z in logarithms.items()})  # they sum to 1 already
        return self.normalized(replace(value, blocks=logarithms), axes, logarithm=False)

    def contracted(self, values: Sequence[Value], letters: Sequence[str], result: str) -> Value:
        """Return the sum of products of values over the letters that ``result`` does not have.

        ``letters`` has the letters of the axes of each value.
        """
        every = "".join(dict.fromkeys("".join(letters)))
        order = (*result, *(letter for letter in every if letter not in result))
        aligned = []
        for value, term in zip(values, letters, strict=True):
            turned = self.transposed(value, [term.index(letter) for letter in order if letter in term])
            for place, letter in enumerate(order):
                turned = turned if letter in term else self.inserted(turned, place)
            aligned.append(self.held(turned, "h"))
        if len(aligned) > 1:
            undecided = frozenset().union(*(value.undecided for value in aligned))
            self.trained |= undecided
            aligned = [replace(v, undecided=frozenset(), trained=v.trained or bool(v.undecided)) for v in aligned]
            total = self.elementwise(sympy.Mul, *aligned, largest=MOST_PRODUCTS)
            total = replace(total, trained=total.trained or bool(undecided))
        else:
            (total,) = aligned
        summed = range(len(result), len(order))
        total = self.reduce("sum", total, summed)
        for axis in reversed(summed):
            total = self.without(total, axis)
        return replace(total, summed=len(aligned) > 1)

    # --- axes ----------------------------------------------------------------------------------------------------

    def expanded(self, value: Value, shape: Shape, name: str) -> Value:
        """Return a value broadcast to a shape, as by ``numpy.broadcast_to``."""
        value = self.padded(value, max(len(shape), len(value.axes)))
        shape = (*((1,) * (len(value.axes) - len(shape))), *shape)
        blocks, axes = dict(value.blocks), list(value.axes)
        for axis, size in enumerate(shape):
            if axes[axis] == UNIT and size != 1:
                axes[axis] = SAMPLES if size is None else self.axes.sections(f"{name}:{axis}", size)
                blocks = {
                    (*p[:axis], k, *p[axis + 1 :]): block for p, block in blocks.items() for k in range(len(axes[axis]))
                }
            elif size not in (1, self.axes.length(axes[axis])):
                raise ModelError(f"the shape {self.shape(value)} cannot be expanded to {shape}")
        return self._checked(replace(value, axes=tuple(axes), blocks=blocks))

    def at(self, value: Value, axis: int, place: int) -> Value:
        """Return the values at a place of an axis with one index, without that axis."""
        ((index,),) = value.axes[axis]
        where = (Equation(index, (), place),)
        value = self.held(value, "t")
        blocks: dict[tuple[int, ...], Expr] = {}
        for position, block in value.blocks.items():
            indices = [i for i in value.indices(position) if i != index]
            step = self.step("gate", indices, block, "sum", (index,), where=where)
            blocks[(*position[:axis], *position[axis + 1 :])] = step
        return replace(value, axes=(*value.axes[:axis], *value.axes[axis + 1 :]), blocks=blocks, summed=False)

    def whole(self, value: Value, axis: int, key: str) -> Value:
        """Return the value with one index along an axis, or no index if the axis has size 1."""
        if len(value.axes[axis]) == 1 and len(value.axes[axis][0]) < 2:
            return value
        _, whole = self.axis(key, self.axes.length(value.axes[axis]) or 1)
        return self.together(value, axis, whole)

    def axis(self, key: str, size: int) -> tuple[Sections, Sections]:
        """Return a new axis as other nodes see it, which may cut it, and the same with one index; none for size 1."""
        sections = self.axes.sections(key, size)
        if len(sections) > 1 or len(sections[0]) > 1:
            return sections, self.axes.sections(f"{key} together", size)
        return sections, sections

    def together(self, value: Value, axis: int, whole: Sections) -> Value:
        """Return the value with the one index of ``whole`` along an axis, or no index if the axis has size 1."""
        sections = value.axes[axis]
        if whole in (UNIT, sections):
            return value
        ((index,),) = whole
        axes = (*value.axes[:axis], whole, *value.axes[axis + 1 :])
        blocks: dict[tuple[int, ...], Expr] = {}
        if len(sections) == 1 and len(sections[0]) == 1:
            before = self.axes.find(sections[0][0])  # blocks may have any of the indices that are united with it
            read = {i for block in value.blocks.values() for element in elements(block) for i in element.indices}
            new = dict.fromkeys((i for i in read if self.axes.find(i) == before), index)
            return replace(value, axes=axes, blocks={p: renamed(block, new) for p, block in value.blocks.items()})
        for position, block in value.blocks.items():
            k = position[axis]
            section = sections[k]
            indices = [i for i in value.indices(position) if i not in section]
            where = (self.place(index, section, self._range(sections, k)[0]),)
            part = self.step("part", [index, *indices], block, "sum" if section else None, section, where=where)
            at = (*position[:axis], 0, *position[axis + 1 :])
            blocks[at] = blocks[at] + part if at in blocks else part
        return self.held(replace(value, axes=axes, blocks=blocks), "x")

    def apart(self, value: Value, axis: int, sections: Sections) -> Value:
        """Return the value, which has one index along an axis, with this axis cut into sections."""
        if sections == value.axes[axis]:
            return value
        ((index,),) = value.axes[axis]
        if len(sections) == 1 and len(sections[0]) == 1 and self.axes.unite(sections[0][0], index):
            return self.together(value, axis, sections)
        blocks: dict[tuple[int, ...], Expr] = {}
        for position, block in value.blocks.items():
            indices = [i for i in value.indices(position) if i != index]
            for k, section in enumerate(sections):
                where = (self.place(index, section, self._range(sections, k)[0]),)
                at = (*position[:axis], k, *position[axis + 1 :])
                blocks[at] = self.step("y", [*section, *indices], block, "sum", (index,), where=where)
        return replace(value, axes=(*value.axes[:axis], sections, *value.axes[axis + 1 :]), blocks=blocks)

    def place(self, index: str, section: Sequence[str], start: int) -> Equation:
        """Return the equation of an index and the indices of a section that begins at ``start``."""
        strides = [self.axes.size(tuple(section[k + 1 :])) for k in range(len(section))]
        return Equation(index, tuple(zip(section, strides, strict=True)), start)

    def transposed(self, value: Value, order: Sequence[int]) -> Value:
        """Return the value with its axes in another order."""
        blocks = {tuple(position[k] for k in order): block for position, block in value.blocks.items()}
        return replace(value, axes=tuple(value.axes[k] for k in order), blocks=blocks, summed=False)

    def inserted(self, value: Value, axis: int) -> Value:
        """Return the value with an axis of size one before an axis."""
        blocks = {(*position[:axis], 0, *position[axis:]): block for position, block in value.blocks.items()}
        return replace(value, axes=(*value.axes[:axis], UNIT, *value.axes[axis:]), blocks=blocks)

    def without(self, value: Value, axis: int) -> Value:
        """Return the value without an axis, which has size one."""
        if value.axes[axis] != UNIT:
            raise ModelError(f"an axis of size {self.shape(value)[axis]} cannot be left out")
        blocks = {(*position[:axis], *position[axis + 1 :]): block for position, block in value.blocks.items()}
        return replace(value, axes=(*value.axes[:axis], *value.axes[axis + 1 :]), blocks=blocks)

    def gathered(self, value: Value, axis: int, positions: Sequence[int]) -> Value:
        """Return the values at some positions of an axis, in this order."""
        sections = value.axes[axis]
        length = self.axes.length(sections)
        if list(positions) == list(range(length or 0)):
            return value
        if length is None:
            raise ModelError("the graph takes rows out of a batch: a model computes row by row")
        if not positions:
            raise ModelError("the graph has a tensor without values")
        self._cut_into_runs(sections, positions)
        chosen: list[int] = []
        at = 0
        while at < len(positions):
            k, _ = self._section_at(sections, positions[at])
            chosen.append(k)
            at += self.axes.size(sections[k])
        axes = (*value.axes[:axis], tuple(sections[k] for k in chosen), *value.axes[axis + 1 :])
        result = replace(value, axes=axes, blocks={}, summed=False)
        blocks = {p: value.blocks[(*p[:axis], chosen[p[axis]], *p[axis + 1 :])] for p in result.positions()}
        return self._checked(replace(result, blocks=blocks))

    def _cut_into_runs(self, sections: Sections, positions: Sequence[int]) -> None:
        """Cut sections where runs of consecutive positions begin and end."""
        steps = [k for k, (place, following) in enumerate(pairwise(positions), start=1) if following != place + 1]
        ends = {positions[k] for k in (0, *steps)} | {positions[k - 1] + 1 for k in (*steps, len(positions))}
        for k, section in enumerate(sections):
            start, end = self._range(sections, k)
            inside = sorted(position - start for position in ends if start < position < end)
            if inside:
                self.axes.cut(section, inside)

    def _section_at(self, sections: Sections, position: int) -> tuple[int, int]:
        """Return the number of the section with a position of the axis, and the position where it begins."""
        for k in range(len(sections)):
            start, end = self._range(sections, k)
            if start <= position < end:
                return k, start
        raise ModelError(f"the graph reads position {position} of an axis of size {self.axes.length(sections)}")

    def concatenated(self, values: Sequence[Value], axis: int) -> Value:
        """Return values concatenated along an axis."""
        if any(self.axes.length(value.axes[axis]) is None for value in values):
            raise ModelError("the graph puts batches one after the other: a model computes row by row")
        shapes = {(*shape[:axis], *shape[axis + 1 :]) for shape in map(self.shape, values)}
        if len(shapes) > 1:
            listed = ", ".join(str(self.shape(value)) for value in values)
            raise ModelError(f"tensors of the shapes {listed} do not fit together")
        values = self._met(values, but=axis)
        axes = (*values[0].axes[:axis], sum((v.axes[axis] for v in values), ()), *values[0].axes[axis + 1 :])
        blocks: dict[tuple[int, ...], Expr] = {}
        before = 0
        for value in values:
            for position, block in value.blocks.items():
                blocks[(*position[:axis], before + position[axis], *position[axis + 1 :])] = block
            before += len(value.axes[axis])
        return self._checked(Value(axes, blocks, **self._origin(values)))

    def reshaped(self, value: Value, shape: Shape) -> Value:
        """Return the values, in row-major order, in axes of other sizes.

        The samples stay the first axis, or one after axes that hold as many values as before.
        """
        old = self.shape(value)
        if old == tuple(shape):
            return value
        if None in old[1:] and None in shape:
            at, to = old.index(None), shape.index(None)
            if math.prod(n or 1 for n in old[:at]) != math.prod(n or 1 for n in shape[:to]):
                raise ModelError(
                    f"the shape {old} cannot become {tuple(shape)}, which mixes the samples with other axes"
                )
            others = [k for k in range(len(old)) if k != at]
            first = self.reshaped(self.transposed(value, (at, *others)), (None, *(n for n in shape if n is not None)))
            return self.transposed(first, (*range(1, to + 1), 0, *range(to + 1, len(shape))))
        if (None in old or None in shape) and (old[:1] != (None,) or tuple(shape[:1]) != (None,)):
            raise ModelError(f"the shape {old} cannot become {tuple(shape)}: the samples must stay the first axis")
        if math.prod(n or 1 for n in old) != math.prod(n or 1 for n in shape):
            raise ModelError(f"the shape {old} cannot become {tuple(shape)}, which has another number of values")
        for axis in reversed(range(len(old))):
            if value.axes[axis] == UNIT:
                value = self.without(value, axis)
        axis = 1 if None in old else 0
        sizes = [n for n in shape if n not in (None, 1)]
        while sizes:
            group = [sizes.pop(0)]  # the least number of axes, before and after, that hold equally many values
            while (length := self.axes.length(value.axes[axis])) != math.prod(group):
                if (length or 0) < math.prod(group):
                    value = self.merged(value, axis)
                else:
                    group.append(sizes.pop(0) or 1)
            value = self._split(value, axis, [n or 1 for n in group])
            axis += len(group)
        for axis, size in enumerate(shape):
            if size == 1:
                value = self.inserted(value, axis)
        return replace(value, summed=False)

    def folded(self, value: Value, before: Sequence[int], after: Sequence[int]) -> Value | None:
        """Return the value with axes of these sizes before and after one for the rest of each sample and the samples.

        The order is row-major, as for a product of matrices. This is correct only for operations on single rows, until
        a Reshape separates the axes again (``unfolded``). None if that is not how the values lie in memory.
        """
        old = self.shape(value)
        at = old.index(None)
        counts = [math.prod(n or 1 for n in part) for part in (old[:at], old[at + 1 :])]
        rest = []
        for count, sizes in zip(counts, (before, after), strict=True):
            if math.prod(sizes) < 1 or count % math.prod(sizes):
                return None
            rest.append(count // math.prod(sizes))
        value = self.reshaped(
            self.transposed(value, (at, *range(at), *range(at + 1, len(old)))),
            (None, *before, *(n for n in rest if n > 1), *after),
        )
        first = len(before) + (rest[0] > 1)
        value = self.transposed(value, (*range(1, first + 1), 0, *range(first + 1, len(value.axes))))
        for axis in (first,) * (rest[1] > 1) + (first - 1,) * (rest[0] > 1):
            if len(value.axes[axis]) > 1 or len(value.axes[axis + 1]) > 1:
                raise ModelError("the graph folds an axis that has several parts into the rows of a batch")
            value = self.merged(value, axis)
        return replace(value, summed=False)

    def unfolded(self, value: Value) -> Value:
        """Return the value with the samples as a separate axis, between those that were merged with it as one each."""
        folded = [k for k, axis in enumerate(value.axes) if axis != SAMPLES and self.axes.length(axis) is None]
        if not folded:
            return value
        (k,) = folded
        (section,) = value.axes[k]
        at = section.index(SAMPLE)
        parts: tuple[Sections, ...] = tuple((part,) for part in (section[:at], (SAMPLE,), section[at + 1 :]) if part)
        blocks = {(*p[:k], *(0,) * len(parts), *p[k + 1 :]): block for p, block in value.blocks.items()}
        return replace(value, axes=(*value.axes[:k], *parts, *value.axes[k + 1 :]), blocks=blocks)

    def merged(self, value: Value, axis: int) -> Value:
        """Return the value with an axis and the next merged into one."""
        first, second = value.axes[axis], value.axes[axis + 1]
        sections = self.axes.merged([first, second])
        blocks = {
            (*p[:axis], p[axis] * len(second) + p[axis + 1], *p[axis + 2 :]): block for p, block in value.blocks.items()
        }
        return replace(value, axes=(*value.axes[:axis], sections, *value.axes[axis + 2 :]), blocks=blocks)

    def _split(self, value: Value, axis: int, sizes: Sequence[int]) -> Value:
        """Return the value with an axis split into several of these sizes."""
        if len(sizes) == 1:
            return value
        sections, inner = value.axes[axis], math.prod(sizes[1:])
        if len(sections) > 1 and all(self.axes.size(section) % inner == 0 for section in sections):
            for section in sections:
                self.axes.into_indices(section, (self.axes.size(section) // inner, inner))
            lengths = [next(k for k in range(len(s) + 1) if self.axes.size(s[k:]) == inner) for s in sections]
            tails = [section[k:] for section, k in zip(sections, lengths, strict=True)]
            self.axes.same_sections([(tail,) for tail in tails])
            pairs = [pair for tail in tails[1:] for pair in zip(tails[0], tail, strict=True)]
            if all(self.axes.unite(*pair) for pair in pairs):  # sections follow each other along the first new axis
                outer = tuple(section[:k] for section, k in zip(sections, lengths, strict=True))
                blocks = {(*p[: axis + 1], 0, *p[axis + 1 :]): block for p, block in value.blocks.items()}
                axes = (*value.axes[:axis], outer, (tails[0],), *value.axes[axis + 1 :])
                return self._split(replace(value, axes=axes, blocks=blocks), axis + 1, sizes[1:])
        if len(sections) > 1:
            for section in sections:
                if section:
                    self.axes.into_columns(section)
            split: list[Sections] = [UNIT * size for size in sizes]
        else:
            self.axes.into_indices(sections[0], sizes)
            split, rest = [], list(sections[0])
            for size in sizes:
                taken: list[str] = []
                while self.axes.size(tuple(taken)) < size:
                    taken.append(rest.pop(0))
                split.append((tuple(taken),))
        counts = tuple(map(len, split))
        blocks = {
            (*p[:axis], *(int(k) for k in np.unravel_index(p[axis], counts)), *p[axis + 1 :]): block
            for p, block in value.blocks.items()
        }
        return replace(value, axes=(*value.axes[:axis], *split, *value.axes[axis + 1 :]), blocks=blocks)


def _logarithm(formula: Expr) -> Expr | None:
    """Return the logarithm of an exponential or a sigmoid; None for anything else."""
    if isinstance(formula, sympy.exp):
        return formula.args[0]
    return -softplus(-formula.args[0]) if isinstance(formula, sigmoid) else None
