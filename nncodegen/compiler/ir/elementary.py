"""The elementary functions of formulas, one record each: all that nncodegen knows of ``exp``, ``atan2`` or ``erfc``.

Code that evaluates, prints, exports or certifies a formula reads these records by the name of a function in SymPy. A
new function needs only a new record; functions that consist of others, with a stable form, are in ``functions``.

* A record holds nothing of the packages that read it. Of ONNX, it has the name of an operator. How a function is
  composed of operators to the last digit, where a precision has no operator, is defined in ``export.onnx``, whose table
  has the same keys. Inline functions in C are defined elsewhere, too; a record has their name.
* ``exact`` and ``partials`` are the definitions by which certificates judge the compiler. No stage of the compiler
  reads ``partials``: it takes derivatives from ``fdiff`` and ``passes.derivatives``. Otherwise a wrong rule in these
  would go unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, ClassVar

import mpmath
import numpy as np
import sympy
from sympy import Expr, Function
from sympy.codegen.cfunctions import Cbrt, Sqrt, exp2, expm1, hypot, log1p, log2, log10

from nncodegen.compiler.ir import faddeeva
from nncodegen.compiler.ir.traits import NO_TRAITS, Trait

Number = Any
"""A real number of mpmath; NaN if undefined."""

INFINITY, NAN = mpmath.inf, mpmath.mpf("nan")


class Primitive(Function):
    """A real function that the generated C defines."""

    def _eval_is_extended_real(self) -> bool:
        return True


class decay(Primitive):
    """exp(-a) for a >= 0, cheaper than exp since it can only underflow."""

    nargs = 1


class half_expm1(Primitive):
    """(exp(2*|z|) - 1)/2, or infinity where exp(-2*|z|) is not a normal number.

    The hyperbolic functions share it. 1/(1 + half_expm1(z)) = 1 - tanh(|z|) keeps its digits where tanh saturates.
    Derivatives below 1e-37 (float32) or 1e-307 (float64) become 0.
    """

    nargs = 1

    @classmethod
    def eval(cls, z: Expr) -> Expr | None:
        return cls(-z) if z.could_extract_minus_sign() else None  # even


class tanh_of(Primitive):
    """tanh(z) from z, e = half_expm1(z) and r = 1/(1 + e); the derivative shares e and r."""

    nargs = 3


class FaddeevaPart(Primitive):
    """A part of the Faddeeva function at x + i*y, of which SymPy knows no value."""

    nargs = 2
    place: ClassVar[int]

    def _eval_evalf(self, prec: int) -> Expr | None:
        if not all(argument.is_number for argument in self.args):
            return None
        with mpmath.workprec(prec):
            parts = faddeeva.exact(*(argument._to_mpmath(prec) for argument in self.args))
        return Expr._from_mpmath(parts[self.place], prec)


class faddeeva_real_of(FaddeevaPart):
    """The real part of the Faddeeva function at x + i*y."""

    place = 0


class faddeeva_imag_of(FaddeevaPart):
    """The imaginary part of the Faddeeva function at x + i*y."""

    place = 1


@dataclass(frozen=True)
class Elementary:
    """A function of formulas.

    function    its class in SymPy, whose ``fdiff`` is the derivative that the compiler takes
    array       its values with NumPy, for arrays of floating-point numbers
    exact       its value with mpmath, for real numbers of any precision
    partials    its derivatives by all arguments, given its value and these; at a kink, the mean of those on both sides
    about       its description, a line of the documentation; empty if its docstring is the description
    arguments   its arguments in the documentation
    traits      its properties near infinity and at its poles
    c           its function in C, if SymPy's printer knows none: a name that ends in ``_of`` is that of a function
                of nncodegen, which is emitted inline, so that loops over it are vectorized; any other, of the library
    onnx        the operator of ONNX that computes it to the precision of a float32
    written     its expression by functions that C has, if it is not one of these
    """

    function: Any
    array: Callable[..., Any]
    exact: Callable[..., Number]
    partials: Callable[..., tuple[Number, ...]]
    about: str = ""
    arguments: str = "x"
    traits: Trait = NO_TRAITS
    c: str = ""
    onnx: str = ""
    written: Callable[..., Expr] | None = None

    @property
    def name(self) -> str:
        """Return the name of its class in SymPy, the key of all tables."""
        return str(self.function.__name__)

    @property
    def is_inline(self) -> bool:
        """Return whether it is emitted inline in C, without a branch."""
        return self.c.endswith("_of")

    @property
    def is_written_by_users(self) -> bool:
        """Return whether a user may write it. In C, primitives are the parts of other functions."""
        return not issubclass(self.function, Primitive)


# --- values and derivatives with mpmath --------------------------------------------------------------------------


def sign(z: Number) -> Number:
    """Return -1, 0 or 1; NaN of NaN."""
    return mpmath.mpf((z > 0) - (z < 0)) if z == z else z  # noqa: PLR0124 (NaN alone differs from itself)


def reciprocal(z: Number) -> Number:
    """Return 1/z, and infinity at 0."""
    return INFINITY if z == 0 else 1 / z


def power(base: Number, exponent: Number) -> Number:
    """Return a real power; infinity for a negative power of 0."""
    return INFINITY if base == 0 and exponent < 0 else base**exponent


def _power_partials(value: Number, base: Number, exponent: Number) -> tuple[Number, Number]:
    by_base = mpmath.mpf(0) if exponent == 0 else exponent * power(base, exponent - 1)
    by_exponent = mpmath.mpf(0) if value == 0 else value * mpmath.log(base)
    return by_base, by_exponent


def _root(z: Number) -> Number:
    return sign(z) * mpmath.cbrt(abs(z))


def _largest(*values: Number) -> Number:
    return NAN if any(v != v for v in values) else max(values)  # noqa: PLR0124


def _smallest(*values: Number) -> Number:
    return NAN if any(v != v for v in values) else min(values)  # noqa: PLR0124


def _shared(value: Number, *values: Number) -> tuple[Number, ...]:
    """Return the derivatives: 1 for the argument that equals the value, or equal parts for several such arguments."""
    ties = sum(v == value for v in values)
    return tuple(mpmath.mpf(v == value) / ties if ties else NAN for v in values)


def _corner(value: Number, u: Number, v: Number) -> tuple[Number, Number]:
    return (u / value, v / value) if value else (value, value)


def _one(derivative: Callable[[Number], Number]) -> Callable[..., tuple[Number, ...]]:
    """Return the partials of a function of one number, given its derivative as a function of the argument alone."""
    return lambda value, z: (derivative(z),)


@lru_cache(maxsize=5_000)
def _kept(function: Callable[[Number], Number], parts: Any, bits: int) -> Number:
    return function(mpmath.make_mpf(parts))


def _slow(function: Callable[[Number], Number]) -> Callable[[Number], Number]:
    """Return a function that caches its values, as erfc with 800 digits takes a hundredth of a second."""
    return lambda z: _kept(function, z._mpf_, mpmath.mp.prec) if type(z) is mpmath.mpf else function(z)


def _faddeeva_real(value: Number, x: Number, y: Number) -> tuple[Number, Number]:
    real, imaginary = faddeeva.exact_slope(x, y)
    return real, -imaginary


def _faddeeva_imag(value: Number, x: Number, y: Number) -> tuple[Number, Number]:
    real, imaginary = faddeeva.exact_slope(x, y)
    return imaginary, real


def _vector(function: Callable[[float], float]) -> Callable[..., Any]:
    return np.vectorize(function, otypes=[float])


# --- the records -------------------------------------------------------------------------------------------------

_SINE = Trait.BOUNDED | Trait.CARRYING | Trait.TOTAL
_LOGARITHM = Trait.CARRYING | Trait.SLOW_POLE
_INVERSE_SINE = Trait.BOUNDED | Trait.CARRYING | Trait.STEEP
_ERROR = Trait.BOUNDED | Trait.ABRUPT | Trait.TOTAL
_EXTREME = Trait.GROWING | Trait.ABRUPT | Trait.TOTAL

RECORDS = (
    Elementary(
        sympy.exp, np.exp, mpmath.exp, lambda f, z: (f,),
        about="the exponential function", traits=Trait.ABRUPT, c="exp_of", onnx="Exp",
    ),
    Elementary(
        sympy.log, np.log, mpmath.log, _one(reciprocal),
        about="the natural logarithm", traits=_LOGARITHM, c="log_of", onnx="Log",
    ),
    Elementary(
        Sqrt, np.sqrt, mpmath.sqrt, lambda f, z: (reciprocal(2 * f),),
        about="the square root", onnx="Sqrt",
    ),
    Elementary(
        Cbrt, np.cbrt, _root, lambda f, z: (reciprocal(3 * f * f),),
        about="the cube root", traits=Trait.GROWING | Trait.CARRYING | Trait.STEEP,
    ),
    Elementary(
        exp2, np.exp2, lambda z: mpmath.mpf(2) ** z, lambda f, z: (f * mpmath.log(2),),
        about="2**x", traits=Trait.ABRUPT,
    ),
    Elementary(
        log2, np.log2, lambda z: mpmath.log(z, 2), _one(lambda z: reciprocal(z * mpmath.log(2))),
        about="the logarithm to base 2", traits=_LOGARITHM,
    ),
    Elementary(
        log10, np.log10, mpmath.log10, _one(lambda z: reciprocal(z * mpmath.log(10))),
        about="the logarithm to base 10", traits=_LOGARITHM,
    ),
    Elementary(
        expm1, np.expm1, mpmath.expm1, lambda f, z: (f + 1,),
        about="exp(x) - 1, which keeps its digits near 0", traits=Trait.ABRUPT, c="expm1_of",
    ),
    Elementary(
        log1p, np.log1p, mpmath.log1p, _one(lambda z: reciprocal(1 + z)),
        about="log(1 + x), which keeps its digits near 0", traits=_LOGARITHM, c="log1p_of",
    ),
    Elementary(
        hypot, np.hypot, mpmath.hypot, _corner,
        about="sqrt(x**2 + y**2), without overflow on the way", arguments="x, y",
        traits=Trait.GROWING | Trait.CARRYING,
    ),
    Elementary(
        sympy.Abs, np.abs, abs, _one(sign),
        about="the absolute value; its derivative at 0 is 0", traits=Trait.GROWING | Trait.CARRYING | Trait.TOTAL,
        onnx="Abs",
    ),
    Elementary(
        sympy.sign, np.sign, mpmath.sign, lambda f, z: (mpmath.mpf(0),),
        about="-1, 0 or 1", traits=Trait.BOUNDED, onnx="Sign",
    ),
    Elementary(
        sympy.erf, _vector(math.erf), _slow(mpmath.erf),
        _one(lambda z: 2 * mpmath.exp(-z * z) / mpmath.sqrt(mpmath.pi)),
        about="the error function", traits=_ERROR, c="erf_of", onnx="Erf",
    ),
    Elementary(
        sympy.erfc, _vector(math.erfc), _slow(mpmath.erfc),
        _one(lambda z: -2 * mpmath.exp(-z * z) / mpmath.sqrt(mpmath.pi)),
        about="1 - erf(x), which keeps its digits where that is small", traits=_ERROR, c="erfc_of",
    ),
    Elementary(
        sympy.Heaviside, np.heaviside, lambda z, at_zero: mpmath.mpf(z > 0) if z != 0 else at_zero,
        lambda f, z, at_zero: (mpmath.mpf(0), mpmath.mpf(z == 0)),
        about="0 for x < 0, 1/2 at 0, 1 for x > 0",
    ),
    Elementary(
        sympy.sin, np.sin, mpmath.sin, _one(mpmath.cos),
        about="sine", traits=_SINE, onnx="Sin",
    ),
    Elementary(
        sympy.cos, np.cos, mpmath.cos, _one(lambda z: -mpmath.sin(z)),
        about="cosine", traits=_SINE, onnx="Cos",
    ),
    Elementary(
        sympy.tan, np.tan, mpmath.tan, lambda f, z: (1 + f * f,),
        about="tangent", traits=_LOGARITHM, onnx="Tan",
    ),
    Elementary(
        sympy.sec, lambda z: 1 / np.cos(z), mpmath.sec, lambda f, z: (f * mpmath.tan(z),),
        about="1/cos(x)", written=lambda z: 1 / sympy.cos(z),
    ),
    Elementary(
        sympy.csc, lambda z: 1 / np.sin(z), lambda z: mpmath.csc(z) if z else INFINITY,
        lambda f, z: (-f * f * mpmath.cos(z),),
        about="1/sin(x)", written=lambda z: 1 / sympy.sin(z),
    ),
    Elementary(
        sympy.cot, lambda z: 1 / np.tan(z), lambda z: mpmath.cot(z) if z else INFINITY, lambda f, z: (-1 - f * f,),
        about="1/tan(x)", written=lambda z: 1 / sympy.tan(z),
    ),
    Elementary(
        sympy.asin, np.arcsin, mpmath.asin, _one(lambda z: reciprocal(mpmath.sqrt(1 - z * z))),
        about="inverse sine, for -1 <= x <= 1", traits=_INVERSE_SINE, onnx="Asin",
    ),
    Elementary(
        sympy.acos, np.arccos, mpmath.acos, _one(lambda z: -reciprocal(mpmath.sqrt(1 - z * z))),
        about="inverse cosine, for -1 <= x <= 1", traits=_INVERSE_SINE, onnx="Acos",
    ),
    Elementary(
        sympy.atan, np.arctan, mpmath.atan, _one(lambda z: reciprocal(1 + z * z)),
        about="inverse tangent", traits=Trait.BOUNDED | Trait.TOTAL, onnx="Atan",
    ),
    Elementary(
        sympy.atan2, np.arctan2, mpmath.atan2,
        lambda f, y, x: (x * reciprocal(x * x + y * y), -y * reciprocal(x * x + y * y)),
        about="the angle of the point (y, x)", arguments="y, x", traits=Trait.BOUNDED,
    ),
    Elementary(
        sympy.sinh, np.sinh, mpmath.sinh, _one(mpmath.cosh),
        about="hyperbolic sine", traits=Trait.CARRYING, onnx="Sinh",
    ),
    Elementary(
        sympy.cosh, np.cosh, mpmath.cosh, _one(mpmath.sinh),
        about="hyperbolic cosine", traits=Trait.CARRYING, onnx="Cosh",
    ),
    Elementary(  # rewritten as nncodegen's own tanh, which has a docstring
        sympy.tanh, np.tanh, mpmath.tanh, _one(lambda z: mpmath.sech(z) ** 2),
        traits=Trait.BOUNDED | Trait.ABRUPT, onnx="Tanh",
    ),
    Elementary(
        sympy.csch, lambda z: 1 / np.sinh(z), mpmath.csch, lambda f, z: (-f * mpmath.coth(z),),
        about="1/sinh(x)", written=lambda z: 1 / sympy.sinh(z),
    ),
    Elementary(
        sympy.coth, lambda z: 1 / np.tanh(z), mpmath.coth, _one(lambda z: -(mpmath.csch(z) ** 2)),
        about="1/tanh(x)", written=lambda z: 1 / sympy.tanh(z),
    ),
    Elementary(  # rewritten as nncodegen's own sech
        sympy.sech, lambda z: 1 / np.cosh(z), mpmath.sech, lambda f, z: (-f * mpmath.tanh(z),),
        about="1/cosh(x)",
    ),
    Elementary(
        sympy.asinh, np.arcsinh, mpmath.asinh, _one(lambda z: reciprocal(mpmath.sqrt(1 + z * z))),
        about="inverse hyperbolic sine", traits=Trait.GROWING | Trait.CARRYING | Trait.TOTAL, onnx="Asinh",
    ),
    Elementary(
        sympy.acosh, np.arccosh, mpmath.acosh,
        _one(lambda z: reciprocal(mpmath.sqrt(z - 1) * mpmath.sqrt(z + 1))),
        about="inverse hyperbolic cosine, for x >= 1", traits=Trait.GROWING | Trait.CARRYING | Trait.STEEP,
        onnx="Acosh",
    ),
    Elementary(
        sympy.atanh, np.arctanh, mpmath.atanh, _one(lambda z: reciprocal(1 - z * z)),
        about="inverse hyperbolic tangent, for -1 < x < 1", traits=_LOGARITHM, onnx="Atanh",
    ),
    Elementary(
        sympy.Max, lambda *z: reduce(np.maximum, z), _largest, _shared,
        about="the largest of its arguments", arguments="x, y, ...", traits=_EXTREME, onnx="Max",
    ),
    Elementary(
        sympy.Min, lambda *z: reduce(np.minimum, z), _smallest, _shared,
        about="the least of its arguments", arguments="x, y, ...", traits=_EXTREME, onnx="Min",
    ),
    # Functions that the compiler calls in C; of the arguments of tanh_of only the first counts.
    Elementary(decay, lambda a: np.exp(-a), lambda a: mpmath.exp(-a), lambda f, a: (-f,), c="decay_of"),
    Elementary(
        half_expm1, lambda z: np.expm1(2 * abs(z)) / 2, lambda z: mpmath.expm1(2 * abs(z)) / 2,
        lambda f, z: (sign(z) * (2 * f + 1),), c="half_expm1_of",
    ),
    Elementary(
        tanh_of, lambda z, e, r: np.tanh(z), lambda z, e, r: mpmath.tanh(z),
        lambda f, z, e, r: (1 - f * f, mpmath.mpf(0), mpmath.mpf(0)), c="tanh_of",
    ),
    Elementary(
        faddeeva_real_of, lambda x, y: faddeeva.values(x, y)[0], lambda x, y: faddeeva.exact(x, y)[0], _faddeeva_real,
        traits=Trait.BOUNDED, c="faddeeva_real_of",
    ),
    Elementary(
        faddeeva_imag_of, lambda x, y: faddeeva.values(x, y)[1], lambda x, y: faddeeva.exact(x, y)[1], _faddeeva_imag,
        traits=Trait.BOUNDED, c="faddeeva_imag_of",
    ),
)  # fmt: skip
"""All records, in the order in which the documentation lists them."""

FUNCTIONS: dict[str, Elementary] = {record.name: record for record in RECORDS}
"""The records by the names of the functions in SymPy."""

POWER = Elementary(sympy.Pow, np.power, power, _power_partials, onnx="Pow")
"""The power x**y, which SymPy has as a separate class."""

INLINE = tuple(record.name for record in RECORDS if record.is_inline)
"""The functions that are emitted inline, without a branch, so that the compiler can vectorize loops over them.

Every stable function and activation consists of these, square roots and arithmetic. Only the other functions of
formulas are calls of the C library: sin, cos and tan, sinh and cosh, the inverse functions of them all, powers with an
exponent that is neither an integer nor ±1/2 or ±3/2, exp2, log2, log10, cbrt and hypot.
"""
