"""The two kinds of numbers of a test of identifiability: residues of whole numbers, and real numbers of many digits.

A rational model is evaluated with residues modulo a prime: exactly, and fast, as NumPy computes many of them at once. A
value that is 0 modulo the prime, but not 0, is as rare as one in 1e9 of random points, and a second prime repeats the
test. Other models (exp, powers with an unknown exponent, choices) are evaluated with many digits, in which what is 0
and what is not differ by tens of orders of magnitude.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from mpmath.libmp import from_man_exp
from numpy.typing import NDArray
from sympy import Expr, Float, Rational

from nncodegen.compiler.ir.elementary import Elementary

Array = NDArray[Any]

PRIMES = (2147483647, 2147483629)
"""The two largest primes below 2**31: the sum of two products of residues fits into 64 bits."""

DIGITS = (100, 150)
"""The digits of the two evaluations of a model that is not rational."""

LARGEST = 1000
"""The largest numerator and denominator of a rational number that is read from a residue."""


class NotRationalError(Exception):
    """The error for a number or function that has no residue: the model needs many digits."""


class SingularError(Exception):
    """The error for a division by 0, or another value that does not exist, at the point of an evaluation."""


class Field(ABC):
    """The numbers of an evaluation, in arrays of NumPy. Sums and products of arrays are cleaned after they are made."""

    dtype: Any
    is_rounded = False
    """True if numbers have rounding errors, so that a value that is 0 may be computed as a small one."""

    @abstractmethod
    def number(self, node: Expr) -> Any:
        """Return a number of SymPy. Raises NotRationalError."""

    @abstractmethod
    def clean(self, array: Any) -> Any:
        """Return an array of numbers after a sum, a difference or a product."""

    @abstractmethod
    def inverse(self, array: Array) -> Array:
        """Return the reciprocals of all elements. Raises SingularError where one is 0."""

    @abstractmethod
    def call(self, record: Elementary, arguments: Sequence[Array]) -> tuple[Array, list[Array]]:
        """Return a function of arrays, and its derivatives by each of them. Raises NotRationalError, SingularError."""

    @abstractmethod
    def draw(self, random: np.random.Generator, size: int, near: float | None = None) -> Array:
        """Return random numbers, (size,), of the order of magnitude of ``near``, if that has a meaning."""

    @abstractmethod
    def wide(self, random: np.random.Generator, size: int, decades: int) -> Array:
        """Return random numbers, (size,), of both signs and of magnitudes up to a power of 10, where these differ."""

    @abstractmethod
    def reduced(self, matrix: Array) -> tuple[Array, list[int]]:
        """Return the reduced echelon form of a matrix, (rank, columns), and the column of the 1 of each row."""

    @abstractmethod
    def fraction(self, value: Any) -> Fraction | None:
        """Return the rational number with small numerator and denominator that a number is; None if it is none."""

    @abstractmethod
    def is_zero(self, array: Any) -> Any:
        """Return whether each element is 0, to the accuracy of a reduced matrix."""

    def total(self, pairs: Sequence[tuple[Array, Array]]) -> Array:
        """Return the sum over the first axis, and over one or two pairs of arrays, of their products."""
        return np.asarray(self.clean(self.clean(sum(left * right for left, right in pairs)).sum(axis=0)))

    def normalized(self, matrix: Array) -> Array:
        """Return a matrix whose rows are scaled so that the largest element of each is 1, if that has a meaning."""
        return matrix

    def cleared(self, matrix: Array) -> Array:
        """Return a matrix with zeros in the places of elements that count as 0 beside the largest of their row."""
        return matrix

    def precision(self) -> AbstractContextManager[Any]:
        """Return the context of all evaluations."""
        return nullcontext()

    def rougher(self) -> AbstractContextManager[Any]:
        """Return the context of an evaluation with fewer digits."""
        return nullcontext()

    def without_noise(self, array: Array, rougher: Array) -> Array:
        """Return an array with zeros in the places of elements that are rounding errors, given one of fewer digits."""
        return array

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Return an array of zeros."""
        return np.full(shape, self.number(Rational(0)), self.dtype)

    def product(self, left: Array, right: Array) -> Array:
        """Return the product of two matrices."""
        if not left.shape[1]:
            return self.zeros((left.shape[0], right.shape[1]))
        total = self.clean(left[:, 0, None] * right[0])
        for k in range(1, left.shape[1]):
            total = self.clean(total + left[:, k, None] * right[k])
        return np.asarray(total)

    def null_space(self, matrix: Array) -> Array:
        """Return a basis of all vectors that a matrix takes to 0, as rows; each is 1 at a column of its own."""
        columns = matrix.shape[1]
        rows, pivots = self.reduced(matrix) if len(matrix) else (matrix, [])
        free = [column for column in range(columns) if column not in pivots]
        basis = self.zeros((len(free), columns))
        for row, column in enumerate(free):
            basis[row, column] = self.number(Rational(1))
            basis[row, pivots] = self.clean(-rows[:, column])
        return basis


class Residues(Field):
    """Whole numbers modulo a prime below 2**31."""

    dtype = np.int64

    def __init__(self, prime: int) -> None:
        self.prime = prime
        self._constants: dict[Expr, int] = {}

    def number(self, node: Expr) -> int:
        """Return the residue of a rational number; pi and other constants are like numbers of their own."""
        if node.is_Rational:
            below = int(node.q) % self.prime
            return int(node.p) * pow(below, -1, self.prime) % self.prime
        if isinstance(node, Float):
            return self.number(Rational(str(node)))
        if node.is_NumberSymbol:  # it is transcendental, as far as anybody knows
            return self._constants.setdefault(node, pow(7, 1000 + len(str(node)) + ord(str(node)[0]), self.prime))
        raise NotRationalError(node)

    def clean(self, array: Any) -> Any:
        """Return residues."""
        return array % self.prime

    def inverse(self, array: Array) -> Array:
        """Return the reciprocals, by Fermat's little theorem."""
        if not np.all(array):
            raise SingularError
        result, power = np.ones_like(array), array
        for bit in reversed(f"{self.prime - 2:b}"):
            if bit == "1":
                result = result * power % self.prime
            power = power * power % self.prime
        return result

    def call(self, record: Elementary, arguments: Sequence[Array]) -> tuple[Array, list[Array]]:
        """Raise NotRationalError."""
        raise NotRationalError(record.name)

    def draw(self, random: np.random.Generator, size: int, near: float | None = None) -> Array:
        """Return random residues."""
        return random.integers(1, self.prime, size)

    def wide(self, random: np.random.Generator, size: int, decades: int) -> Array:
        """Return random residues."""
        return self.draw(random, size)

    def reduced(self, matrix: Array) -> tuple[Array, list[int]]:
        """Return the reduced echelon form. Many rows are taken in parts."""
        columns = matrix.shape[1]
        basis, pivots = np.zeros((0, columns), np.int64), list[int]()
        step = max(2 * columns, 16)
        for start in range(0, len(matrix), step):
            basis, pivots = self._eliminated(np.concatenate([basis, matrix[start : start + step]]))
            if len(pivots) == columns:
                break
        return basis, pivots

    def _eliminated(self, matrix: Array) -> tuple[Array, list[int]]:
        matrix = matrix % self.prime
        pivots: list[int] = []
        for column in range(matrix.shape[1]):
            row = len(pivots)
            candidates = np.flatnonzero(matrix[row:, column])
            if not len(candidates):
                continue
            chosen = row + int(candidates[0])
            matrix[[row, chosen]] = matrix[[chosen, row]]
            matrix[row] = matrix[row] * pow(int(matrix[row, column]), -1, self.prime) % self.prime
            factors = matrix[:, column].copy()
            factors[row] = 0
            others = np.flatnonzero(factors)
            matrix[others] = (matrix[others] - factors[others, None] * matrix[row]) % self.prime
            pivots.append(column)
        return matrix[: len(pivots)], pivots

    def fraction(self, value: Any) -> Fraction | None:
        """Return a rational number by Euclid's algorithm (P. S. Wang, 1981)."""
        above, below = (self.prime, int(value) % self.prime), (0, 1)
        while above[1] > LARGEST:
            quotient = above[0] // above[1]
            above = (above[1], above[0] - quotient * above[1])
            below = (below[1], below[0] - quotient * below[1])
        return Fraction(above[1], below[1]) if 0 < abs(below[1]) <= LARGEST else None

    def is_zero(self, array: Any) -> Any:
        """Return whether each element is 0."""
        return np.asarray(array) % self.prime == 0


class Digits(Field):
    """Numbers of mpmath: all evaluations run within ``precision``."""

    dtype = object
    is_rounded = True

    def __init__(self, digits: int) -> None:
        self.digits = digits
        self.smallest = mpmath.mpf(10) ** (-digits * 3 // 4)
        """The least pivot, relative to the largest element of its row, that does not count as 0."""
        self.accuracy = mpmath.mpf(10) ** (-digits // 5)
        """The least element of a reduced matrix that does not count as 0."""

    def number(self, node: Expr) -> Any:
        """Return a number to all digits."""
        exact = Rational(str(node)) if isinstance(node, Float) else node
        return exact._to_mpmath(mpmath.mp.prec, allow_ints=False)  # a quotient of whole numbers would be a double

    def clean(self, array: Any) -> Any:
        """Return the array itself."""
        return array

    def inverse(self, array: Array) -> Array:
        """Return the reciprocals."""
        if any(each == 0 for each in array.flat):
            raise SingularError
        return np.asarray(1 / array)

    def call(self, record: Elementary, arguments: Sequence[Array]) -> tuple[Array, list[Array]]:
        """Return the value of a function with its derivatives, element by element."""
        shape = np.broadcast_shapes(*(argument.shape for argument in arguments))
        flat = [np.broadcast_to(argument, shape).ravel() for argument in arguments]
        values, slopes = [], []
        for numbers in zip(*flat, strict=True):
            try:
                value = record.exact(*numbers)
                values.append(value)
                slopes.append(record.partials(value, *numbers))
            except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
                raise SingularError from error
            if not all(mpmath.isfinite(number) for number in (value, *slopes[-1])):
                raise SingularError
        columns = [np.array(part, object).reshape(shape) for part in zip(*slopes, strict=True)]
        return np.array(values, object).reshape(shape), columns

    def draw(self, random: np.random.Generator, size: int, near: float | None = None) -> Array:
        """Return random numbers between the half of a number and its double; between 1/2 and 2 without one, or 0."""
        scale = mpmath.mpf(near) if near else mpmath.mpf(1)
        return np.array([scale * mpmath.mpf(2) ** (2 * self._unit(random) - 1) for _ in range(size)], object)

    def wide(self, random: np.random.Generator, size: int, decades: int) -> Array:
        """Return random numbers from 0.05 up to a power of 10, two thirds of them positive."""
        signs, least = [1, 1, -1], mpmath.log10(mpmath.mpf(1) / 20)
        exponents = [least + (decades - least) * self._unit(random) for _ in range(size)]
        return np.array([signs[k % 3] * mpmath.mpf(10) ** each for k, each in enumerate(exponents)], object)

    def reduced(self, matrix: Array) -> tuple[Array, list[int]]:
        """Return the reduced echelon form, with the largest pivot at each step."""
        matrix = matrix[[any(each != 0 for each in row) for row in matrix]]
        if not len(matrix):
            return matrix, []
        matrix = self.normalized(matrix)
        pivots: list[int] = []
        while len(pivots) < min(matrix.shape):
            row = len(pivots)
            sizes = np.abs(matrix[row:])
            sizes[:, pivots] = 0
            place = int(np.argmax(sizes))
            chosen, column = row + place // matrix.shape[1], place % matrix.shape[1]
            if sizes.flat[place] < self.smallest:
                break
            matrix[[row, chosen]] = matrix[[chosen, row]]
            matrix[row] = matrix[row] / matrix[row, column]
            factors = matrix[:, column].copy()
            factors[row] = mpmath.mpf(0)
            others = [k for k, factor in enumerate(factors) if factor != 0]
            matrix[others] = matrix[others] - factors[others, None] * matrix[row]
            pivots.append(column)
        return matrix[: len(pivots)], pivots

    def fraction(self, value: Any) -> Fraction | None:
        """Return the rational number with a small denominator that is equal to almost all digits."""
        for below in range(1, 61):
            above = mpmath.nint(value.real * below)
            if abs(value * below - above) < self.accuracy and abs(above) <= LARGEST:
                return Fraction(int(above), below)
        return None

    def is_zero(self, array: Any) -> Any:
        """Return whether each element is 0 to a fifth of the digits."""
        return np.vectorize(lambda each: bool(abs(each) < self.accuracy), otypes=[bool])(array)

    def total(self, pairs: Sequence[tuple[Array, Array]]) -> Array:
        """Return the sum of products. Whole numbers are added, and rounded once: that takes a fifth of the time."""
        shape = pairs[0][0].shape[1:]
        try:
            columns = [_products(left, right) for left, right in pairs]
        except AttributeError:  # complex numbers
            return np.asarray(sum((left * right).sum(axis=0) for left, right in pairs))
        result = np.empty(shape, object)
        result.ravel()[:] = [_sum_of_products(terms) for terms in zip(*columns, strict=True)]
        return result

    def normalized(self, matrix: Array) -> Array:
        """Return a matrix whose rows are scaled so that the largest element of each is 1; a row of zeros stays."""
        if not matrix.size:
            return matrix
        largest = np.abs(matrix).max(axis=1, keepdims=True)
        return np.asarray(matrix / np.where(largest == 0, mpmath.mpf(1), largest))

    def cleared(self, matrix: Array) -> Array:
        """Return a matrix with zeros for elements that count as 0 beside the largest of their row, or beside 1."""
        scaled = self.normalized(matrix)
        small = self.is_zero(scaled) | self.is_zero(matrix)
        return np.where(small, mpmath.mpf(0), matrix)

    def precision(self) -> AbstractContextManager[Any]:
        """Return the context of all digits."""
        return mpmath.workdps(self.digits)  # type: ignore[no-any-return]

    def rougher(self) -> AbstractContextManager[Any]:
        """Return the context of three fifths of the digits."""
        return mpmath.workdps(self.digits * 3 // 5)  # type: ignore[no-any-return]

    def without_noise(self, array: Array, rougher: Array) -> Array:
        """Return an array with zeros for elements of which one with fewer digits has no digit right."""
        noise = np.abs(array - rougher) * 10**10 > np.abs(array)
        return np.where(noise, mpmath.mpf(0), array)

    def _unit(self, random: np.random.Generator) -> Any:
        parts = (mpmath.mpf(int(random.integers(1 << 62))) / 2 ** (62 * k) for k in range(1, 9))
        return mpmath.fsum(parts)


def _products(left: Array, right: Array) -> list[tuple[list[Any], list[Any]]]:
    """Return the factors of the sum over the first axis, for each element of the others, as numbers of libmp."""
    parts = []
    for array in (left, right):
        raw = [[each._mpf_ for each in column] for column in array.reshape(len(array), -1).T]
        repeats = left[0].size // len(raw)
        parts.append([column for column in raw for _ in range(repeats)])
    return list(zip(*parts, strict=True))


def _sum_of_products(pairs: Sequence[tuple[list[Any], list[Any]]]) -> Any:
    """Return a sum of products of numbers of libmp, (sign, mantissa, exponent, bits), rounded once."""
    total, power = 0, 0
    for left, right in pairs:
        for (sign, above, exponent, _), (other_sign, other, other_exponent, _) in zip(left, right, strict=True):
            product = above * other
            if not product:
                continue
            shift = exponent + other_exponent - power
            if sign != other_sign:
                product = -product
            if not total:
                total, power = product, power + shift
            elif shift >= 0:
                total += product << shift
            else:
                total = (total << -shift) + product
                power += shift
    return mpmath.mp.make_mpf(from_man_exp(total, power, mpmath.mp.prec, "n"))
