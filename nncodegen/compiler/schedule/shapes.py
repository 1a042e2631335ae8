"""The shapes in which steps are computed: loops, or functions of the runtime."""

from __future__ import annotations

from enum import Enum

from nncodegen.compiler.ir import Element, Step


class Shape(Enum):
    """The shape in which steps are computed: loops, or a function of the runtime."""

    LOOPS = "loops"
    PACK = "a copy in padded rows"
    PLACES = "sums by lists of places"
    CONTRACT = "blocks of outputs in registers"
    ACCUMULATE = "blocks of weights in registers"
    LANE_SUMS = "blocks of weights in registers, summed across lanes"
    ADD_UP = "vectors"
    BLAS = "one call of BLAS"
    PATH = "steps in time chosen by their errors"
    MATRICES = "a product of matrices"
    DOT_PRODUCTS = "dot products of rows"
    DOT_PRODUCTS_OF_SAMPLES = "dot products along the samples"
    MATRIX_BY_ROW = "dot products of the rows of a matrix with one row"
    ROW_BY_MATRIX = "blocks of one row in registers"
    REDUCE_ROW = "a reduction of one row"


class Filling(Enum):
    """The padding of an array to whole vectors, after its samples or after the values of a row."""

    ZERO_ENDS = "zeros at the end of the rows of"
    ZERO_SAMPLES = "zeros after the samples of"
    LAST_SAMPLE = "the last sample again, after those of"


def matrix_and_row(step: Step) -> tuple[Element, Element]:
    """Return the factors of a product of a matrix and vectors: the former has the last index of the result."""
    first, second = step.operands
    return (first, second) if step.target.indices[-1] in first.indices else (second, first)
