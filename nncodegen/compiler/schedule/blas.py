"""Choice of the products of a tile that are left to BLAS; the others run in blocks of our own.

A product ``out[r, c] = sum(k) a[r, k]*b[k, c]`` can be handed to dgemm or sgemm. BLAS copies both matrices into its own
order before it multiplies them. This pays for many weights: the more weights, the slower the caches from which our
blocks read them. Each of the three products of a layer (forward, to its inputs, to its weights) has the weights of the
layer as one of its three matrices, so the choice follows from their number:

    BLAS     weights >= LARGE
    blocks   weights < LARGE

A call copies the weights once for each tile, however few samples the tile has, so tiles are longer where BLAS is
called. If no BLAS is found when the module runs, it computes the same products in blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nncodegen.compiler.ir import SAMPLE, Program, Step
from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.compiler.schedule.layout import LONG_TILE, Layout, is_product, names_of, weights_of
from nncodegen.errors import ModelError

LARGE = 2**19
"""Number of weights of a layer from which on its products are left to BLAS."""

SHARED = 4096
"""Threads share samples in multiples of this number, which must be ends of tiles: how BLAS rounds depends on the tile
in which a sample lies, and must not depend on the threads."""

MOST = 2**31 - 2**7
"""The largest size, including its padding, that fits into the integers of BLAS."""


def choose_blas(program: Program, layout: Layout, choices: Mapping[str, object]) -> Layout:
    """Return a layout with the products that are left to BLAS, and with tiles that suit them.

    ``choices`` overrides it: {"blas": True or False, for all products, or a list of the tensors that they define}.
    Raises ModelError for invalid choices.
    """
    if program.bits == PORTABLE:
        if choices.get("blas"):
            raise ModelError(
                'bits="portable" goes without BLAS, whose sums depend on the CPU: leave out the choice "blas"'
            )
        return replace(
            layout, reasons=(*layout.reasons, "all products in blocks of our own, for the same bits everywhere")
        )
    asked = choices.get("blas") is not None
    products = {step.target.tensor: step for step in program.steps if is_product(step)}
    usual = (name for name, step in products.items() if weights_of(step, program) >= LARGE)
    wanted = names_of("blas", choices, products, usual, "product", "be left to BLAS")
    chosen = tuple(name for name, step in products.items() if name in wanted and max(_sizes(step, program)) <= MOST)
    reasons = (_reason(step, program, name in chosen, asked) for name, step in products.items())
    layout = replace(layout, blas=chosen, blas_asked=asked, reasons=(*layout.reasons, *reasons))
    if not chosen:
        return layout
    if "tile" not in choices:
        return replace(layout, tile=LONG_TILE)
    if SHARED % layout.tile:
        raise ModelError(f"where BLAS is called, tile must be a power of two up to {SHARED}, not {layout.tile}")
    return layout


def _sizes(step: Step, program: Program) -> tuple[int, int]:
    """Return the sizes of the indices of a product, without the samples."""
    first, second = (program.sizes[index] or 1 for index in step.indices if index != SAMPLE)
    return first, second


def _reason(step: Step, program: Program, chosen: bool, asked: bool) -> str:
    first, second = _sizes(step, program)
    weights = weights_of(step, program)
    why = "as asked for" if asked else f"as {weights:,} weights are {'not ' if chosen else ''}below {LARGE:,}"
    why = why if max(first, second) <= MOST else f"as BLAS counts to {MOST:,}"
    return f"{step.target.tensor} ({first} x {second}): {'BLAS' if chosen else 'blocks of our own'}, {why}"
