"""Functions that SymPy lacks, or whose derivatives in the form of SymPy lose digits in floating point.

Each function has three parts:

* ``definition`` is the textbook formula; checks with 50 digits use it;
* ``fdiff`` is the derivative, in a form that keeps its relative precision everywhere: ``sigmoid(z)*sigmoid(-z)``, not
  ``s*(1 - s)``, which loses digits where ``s`` is close to 1;
* ``stable`` is the value in primitives of C, in a form in which no part overflows or loses digits. ``simplify`` writes
  it out, so that functions can share exponentials.

Plain combinations (``relu``, ``gelu``, ...) are expressions and need no class.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, reduce
from typing import Any, ClassVar

import mpmath
import sympy
from sympy import Abs, Basic, Eq, Expr, Float, Function, Max, Piecewise, Rational, S, Symbol, erf, erfc, exp, log, sqrt
from sympy.codegen.cfunctions import expm1, log1p
from sympy.logic.boolalg import ITE, Xor

from nncodegen.compiler.ir import elementary
from nncodegen.compiler.ir.graphs import contains, objects_of, rewritten
from nncodegen.compiler.ir.traits import NO_TRAITS, Trait
from nncodegen.errors import ModelError

Primitive = elementary.Primitive
decay, half_expm1, tanh_of = elementary.decay, elementary.half_expm1, elementary.tanh_of
faddeeva_real_of, faddeeva_imag_of = elementary.faddeeva_real_of, elementary.faddeeva_imag_of
INLINE = elementary.INLINE
"""The primitives of stable forms in C, also by these names."""


def _expression(z: Any) -> Any:
    """Return a value as a SymPy expression. Raises ModelError for a text, which SymPy would execute."""
    if isinstance(z, Basic):
        return z
    if getattr(z, "ndim", None) == 0 and hasattr(z, "item"):  # NumPy's scalars, and arrays of one
        z = z.item()
    try:
        value = None if isinstance(z, str) or hasattr(z, "__iter__") else sympy.sympify(z, strict=True)
    except sympy.SympifyError:
        value = None
    if not isinstance(value, Basic):
        raise ModelError(f"{z!r} is not an expression: write it with SymPy's symbols and functions")
    return value


class StableFunction(Function):
    """A real function of real arguments that has its own stable form; ``traits`` are its properties near infinity.

    A class that a function makes for single functions, such as f(z)/z, is ``made_by`` that one, with some arguments.
    """

    traits = NO_TRAITS
    made_by: ClassVar[tuple[Callable[..., Any], tuple[Any, ...]] | None] = None

    def __new__(cls, *args: Any, **options: Any) -> Any:
        return super().__new__(cls, *map(_expression, args), **options)

    def _eval_is_extended_real(self) -> bool:
        return True

    def _eval_evalf(self, prec: int) -> Expr:
        return self.definition(*self.args)._eval_evalf(prec)

    @staticmethod
    def definition(*args: Expr) -> Expr:
        raise NotImplementedError

    @staticmethod
    def stable(*args: Expr) -> Expr:
        raise NotImplementedError


class constant(StableFunction):
    """z itself, which the reverse sweep takes for a constant: for what has no part in a derivative."""

    nargs = 1
    traits = Trait.GROWING | Trait.CARRYING | Trait.TOTAL

    @staticmethod
    def definition(z: Expr) -> Expr:
        return z

    def fdiff(self, argindex: int = 1) -> Expr:
        return S.Zero

    @staticmethod
    def stable(z: Expr) -> Expr:
        return z


class sigmoid(StableFunction):
    """The logistic function 1/(1 + exp(-z))."""

    nargs = 1
    traits = Trait.BOUNDED | Trait.ABRUPT | Trait.TOTAL

    @staticmethod
    def definition(z: Expr) -> Expr:
        return 1 / (1 + exp(-z))

    def fdiff(self, argindex: int = 1) -> Expr:
        (z,) = self.args
        return sigmoid(z) * sigmoid(-z)

    @staticmethod
    def stable(z: Expr) -> Expr:
        e = decay(Abs(z))
        return Piecewise((1 / (1 + e), z >= 0), (e / (1 + e), True))


class softplus(StableFunction):
    """log(1 + exp(z))."""

    nargs = 1
    traits = Trait.GROWING | Trait.ABRUPT | Trait.TOTAL

    @staticmethod
    def definition(z: Expr) -> Expr:
        return log(1 + exp(z))

    def fdiff(self, argindex: int = 1) -> Expr:
        return sigmoid(self.args[0])

    @staticmethod
    def stable(z: Expr) -> Expr:
        return Max(0, z) + log1p(decay(Abs(z)))


def _distance(z: Expr) -> Expr:
    """Return 1 - tanh(|z|), the distance of tanh from its limit."""
    return 1 / (1 + half_expm1(z))


class tanh(StableFunction):
    """The hyperbolic tangent, with a derivative that keeps its digits where it saturates."""

    nargs = 1
    traits = Trait.BOUNDED | Trait.ABRUPT | Trait.TOTAL

    @classmethod
    def eval(cls, z: Expr) -> Expr | None:
        return -cls(-z) if z.could_extract_minus_sign() else None  # odd

    @staticmethod
    def definition(z: Expr) -> Expr:
        return sympy.tanh(z)

    def fdiff(self, argindex: int = 1) -> Expr:
        return sech2(self.args[0])

    @staticmethod
    def stable(z: Expr) -> Expr:
        return tanh_of(z, half_expm1(z), _distance(z))


class sech2(StableFunction):
    """1/cosh(z)**2, the derivative of tanh."""

    nargs = 1
    traits = Trait.BOUNDED | Trait.ABRUPT

    @classmethod
    def eval(cls, z: Expr) -> Expr | None:
        return cls(-z) if z.could_extract_minus_sign() else None  # even

    @staticmethod
    def definition(z: Expr) -> Expr:
        return 1 / sympy.cosh(z) ** 2

    def fdiff(self, argindex: int = 1) -> Expr:
        (z,) = self.args
        return -2 * tanh(z) * sech2(z)

    @staticmethod
    def stable(z: Expr) -> Expr:
        r = _distance(z)
        return r * (2 - r)  # (1 - tanh(|z|))*(1 + tanh(|z|))


class sech(StableFunction):
    """1/cosh(z)."""

    nargs = 1
    traits = Trait.BOUNDED | Trait.ABRUPT

    @classmethod
    def eval(cls, z: Expr) -> Expr | None:
        return cls(-z) if z.could_extract_minus_sign() else None  # even

    @staticmethod
    def definition(z: Expr) -> Expr:
        return 1 / sympy.cosh(z)

    def fdiff(self, argindex: int = 1) -> Expr:
        (z,) = self.args
        return -tanh(z) * sech(z)

    @staticmethod
    def stable(z: Expr) -> Expr:
        return decay(Abs(z)) * (2 - _distance(z))  # exp(-|z|)*(1 + tanh(|z|))


class logaddexp(StableFunction):
    """log(exp(u) + exp(v))."""

    nargs = 2
    traits = Trait.GROWING | Trait.ABRUPT

    @staticmethod
    def definition(u: Expr, v: Expr) -> Expr:
        return log(exp(u) + exp(v))

    def fdiff(self, argindex: int = 1) -> Expr:
        u, v = self.args
        return sigmoid(u - v) if argindex == 1 else sigmoid(v - u)

    @staticmethod
    def stable(u: Expr, v: Expr) -> Expr:
        return Max(u, v) + log1p(decay(Abs(u - v)))


class log_softplus(StableFunction):
    """log(log(1 + exp(z))), which approaches z where the softplus underflows."""

    nargs = 1
    traits = Trait.ABRUPT | Trait.SLOW_POLE

    @staticmethod
    def definition(z: Expr) -> Expr:
        return log(log(1 + exp(z)))

    def fdiff(self, argindex: int = 1) -> Expr:
        (z,) = self.args
        return Piecewise((1 - exp(z) / 2, z < -37), (sigmoid(z) / softplus(z), True))

    @staticmethod
    def stable(z: Expr) -> Expr:
        return Piecewise((z - exp(z) / 2, z < -37), (log(softplus(z)), True))


class exponential_ratio(StableFunction):
    """1/(c + b*exp(u)) with b and c of any sign, such as the curve of logistic growth, a/(1 + b*exp(-k*x))."""

    nargs = 3
    traits = Trait.ABRUPT | Trait.SLOW_POLE

    @staticmethod
    def definition(u: Expr, b: Expr, c: Expr) -> Expr:
        return 1 / (c + b * exp(u))

    def fdiff(self, argindex: int = 1) -> Expr:
        u, b, c = self.args
        ratio, opposite = exponential_ratio(u, b, c), exponential_ratio(-u, c, b)  # opposite = exp(u)/(c + b*exp(u))
        return {1: -b * ratio * opposite, 2: -ratio * opposite, 3: -(ratio**2)}[argindex]

    @staticmethod
    def stable(u: Expr, b: Expr, c: Expr) -> Expr:
        e = decay(Abs(u))
        return Piecewise((1 / (c + b * e), u <= 0), (e / (c * e + b), True))


class bose_einstein(StableFunction):
    """1/(exp(z) - 1), the mean occupation in Bose-Einstein statistics."""

    nargs = 1
    traits = Trait.ABRUPT | Trait.SLOW_POLE

    @staticmethod
    def definition(z: Expr) -> Expr:
        return 1 / (exp(z) - 1)

    def fdiff(self, argindex: int = 1) -> Expr:
        (z,) = self.args
        return bose_einstein(z) * bose_einstein(-z)

    @staticmethod
    def stable(z: Expr) -> Expr:
        return 1 / expm1(z)


class log_one_minus_exp(StableFunction):
    """log(1 - exp(-z)) for z > 0; neither of its two usual forms keeps its digits everywhere (Maechler, 2012)."""

    nargs = 1
    traits = Trait.SLOW_POLE

    @staticmethod
    def definition(z: Expr) -> Expr:
        return log(1 - exp(-z))

    def fdiff(self, argindex: int = 1) -> Expr:
        return bose_einstein(self.args[0])

    @staticmethod
    def stable(z: Expr) -> Expr:
        return Piecewise((log(-expm1(-z)), z < Rational(7, 10)), (log1p(-exp(-z)), True))


class log_cosh(StableFunction):
    """log(cosh(z))."""

    nargs = 1
    traits = Trait.GROWING | Trait.CARRYING

    @staticmethod
    def definition(z: Expr) -> Expr:
        return log(sympy.cosh(z))

    def fdiff(self, argindex: int = 1) -> Expr:
        return tanh(self.args[0])

    @staticmethod
    def stable(z: Expr) -> Expr:
        # cosh(z) - 1 = expm1(-|z|)**2/(2*exp(-|z|)) keeps its precision near 0, where log(cosh(z)) vanishes
        near = log1p(expm1(-Abs(z)) ** 2 / (2 * decay(Abs(z))))
        far = Abs(z) - log(2 - _distance(z))  # exp(|z|)/(1 + tanh(|z|))
        return Piecewise((near, Abs(z) < 1), (far, True))


class erfcx_derivative(StableFunction):
    """The derivative of the scaled complementary error function exp(z**2)*erfc(z), taken n times; see erfcx.

    Near 0 and for negative z, each derivative follows from those before it without a loss of digits. Far out, nothing
    would be left of 2*z*erfcx(z) - 2/sqrt(pi) = -1/(sqrt(pi)*z**2) + ...: there, it is a polynomial in 1/(z + 4) times
    1/(z + 1/2)**(n + 1).
    """

    nargs = 2

    @staticmethod
    def definition(z: Expr, n: Expr) -> Expr:
        return _derivatives_of_erfcx(exp(z**2) * erfc(z), z, int(n))

    @staticmethod
    def stable(z: Expr, n: Expr) -> Expr:
        inner = Piecewise((z, z < TAIL), (S.Zero, True))
        outer = Piecewise((TAIL, z < TAIL), (z, True))
        v = 2 * (TAIL + 4) / (outer + 4) - 1
        far = S.Zero
        for coefficient in _tail_of_erfcx(int(n)):
            far = far * v + coefficient
        near = _derivatives_of_erfcx(exp(inner**2) * erfc(inner), inner, int(n))
        return Piecewise((near, z < TAIL), (far / (outer + S.Half) ** (n + 1), True))

    def fdiff(self, argindex: int = 1) -> Expr:
        z, n = self.args
        return erfcx_derivative(z, n + 1)


class erfcx(StableFunction):
    """The scaled complementary error function, exp(z**2)*erfc(z), which approaches 1/(sqrt(pi)*z) far out."""

    nargs = 1

    @staticmethod
    def definition(z: Expr) -> Expr:
        return exp(z**2) * erfc(z)

    @staticmethod
    def stable(z: Expr) -> Expr:
        return erfcx_derivative(z, S.Zero)

    def fdiff(self, argindex: int = 1) -> Expr:
        return erfcx_derivative(self.args[0], S.One)


class log_erfc(StableFunction):
    """log(erfc(z)), which approaches -z**2 where erfc underflows."""

    nargs = 1
    traits = Trait.GROWING

    @staticmethod
    def definition(z: Expr) -> Expr:
        return log(erfc(z))

    @staticmethod
    def stable(z: Expr) -> Expr:
        near = log1p(-erf(Piecewise((z, z < TAIL), (S.Zero, True))))
        return Piecewise((near, z < TAIL), (log(erfcx(Piecewise((TAIL, z < TAIL), (z, True)))) - z**2, True))

    def fdiff(self, argindex: int = 1) -> Expr:
        return -2 / (sqrt(sympy.pi) * erfcx(self.args[0]))


TAIL = S.Half
"""From here on, erfcx and its derivatives are computed by polynomials."""

TAIL_TERMS = 24
"""Number of coefficients, enough for the last digit of the first derivatives."""


def _derivatives_of_erfcx(value: Expr, z: Expr, n: int) -> Expr:
    """Return the derivative of a function f, taken n times, where f' = 2*z*f - 2/sqrt(pi)."""
    derivatives = [value, 2 * z * value - 2 / sqrt(sympy.pi)]
    for k in range(1, n):  # the recurrence of Hermite's functions: Abramowitz and Stegun (1964), 7.2.7
        derivatives.append(2 * z * derivatives[k] + 2 * k * derivatives[k - 1])
    return derivatives[n]


@lru_cache
def _tail_of_erfcx(n: int) -> tuple[Float, ...]:
    """Return the n-th derivative of erfcx times (z + 1/2)**(n + 1), for z >= 1/2, as a polynomial in v = 9/(z + 4) - 1.

    It interpolates that product at Chebyshev's points; the coefficient of the highest power comes first.
    """
    with mpmath.workdps(60):

        def product(v: Any) -> Any:
            z = 2 * (mpmath.mpf(float(TAIL)) + 4) / (v + 1) - 4
            with mpmath.workdps(60 + int(2 * (n + 1) * mpmath.log10(2 + z))):  # this number of digits cancels
                derivatives = [mpmath.exp(z * z) * mpmath.erfc(z)]
                derivatives.append(2 * z * derivatives[0] - 2 / mpmath.sqrt(mpmath.pi))
                for k in range(1, n):
                    derivatives.append(2 * z * derivatives[k] + 2 * k * derivatives[k - 1])
                return derivatives[n] * (z + 0.5) ** (n + 1)

        coefficients = mpmath.chebyfit(product, [-1, 1], TAIL_TERMS)
        return tuple(Float(str(coefficient), 32) for coefficient in coefficients)


class faddeeva_derivative(StableFunction):
    """A part of the n-th derivative of the Faddeeva function w(z) by z = x + i*y, n > 0: 0 the real, 1 the imaginary.

    w' = 2*i/sqrt(pi) - 2*z*w (Abramowitz and Stegun, 1964, 7.1.20). Far out, where nothing would be left of this
    difference, it is a polynomial in 1/z**2 times 1/z**(n + 1); exp(-x**2), which is below 1e-62 there, is left out.
    """

    nargs = 4
    traits = Trait.BOUNDED

    @staticmethod
    def definition(x: Expr, y: Expr, n: Expr, part: Expr) -> Expr:
        return _derivative_of_faddeeva(x, y, int(n))[int(part)]

    @staticmethod
    def stable(x: Expr, y: Expr, n: Expr, part: Expr) -> Expr:
        size = x**2 + y**2
        near, far = _derivative_of_faddeeva(x, y, int(n)), _tail_of_faddeeva(x, y, Max(size, FAR), int(n))
        return Piecewise((near[int(part)], size < FAR), (far[int(part)], True))

    def fdiff(self, argindex: int = 1) -> Expr:
        x, y, n, part = self.args
        return _along(argindex, faddeeva_derivative(x, y, n + 1, S.Zero), faddeeva_derivative(x, y, n + 1, S.One), part)


class faddeeva_real(StableFunction):
    """The real part of the Faddeeva function w(x + i*y), the Voigt function: exp(-x**2) for y = 0."""

    nargs = 2
    traits = Trait.BOUNDED

    @classmethod
    def eval(cls, x: Expr, y: Expr) -> Expr | None:
        return cls(-x, y) if x.could_extract_minus_sign() else None  # even

    @staticmethod
    def definition(x: Expr, y: Expr) -> Expr:
        return faddeeva_real_of(x, y)

    @staticmethod
    def stable(x: Expr, y: Expr) -> Expr:
        return faddeeva_real_of(x, y)

    def fdiff(self, argindex: int = 1) -> Expr:
        return _along(argindex, *_first_derivative(*self.args), S.Zero)


class faddeeva_imag(StableFunction):
    """The imaginary part of the Faddeeva function w(x + i*y): 2/sqrt(pi) times Dawson's integral for y = 0."""

    nargs = 2
    traits = Trait.BOUNDED

    @classmethod
    def eval(cls, x: Expr, y: Expr) -> Expr | None:
        return -cls(-x, y) if x.could_extract_minus_sign() else None  # odd

    @staticmethod
    def definition(x: Expr, y: Expr) -> Expr:
        return faddeeva_imag_of(x, y)

    @staticmethod
    def stable(x: Expr, y: Expr) -> Expr:
        return faddeeva_imag_of(x, y)

    def fdiff(self, argindex: int = 1) -> Expr:
        return _along(argindex, *_first_derivative(*self.args), S.One)


def _first_derivative(x: Expr, y: Expr) -> tuple[Expr, Expr]:
    return faddeeva_derivative(x, y, S.One, S.Zero), faddeeva_derivative(x, y, S.One, S.One)


def _along(argindex: int, real: Expr, imaginary: Expr, part: Expr) -> Expr:
    """Return the derivative of a part of f(x + i*y) by x or y, given the parts of f': that by y is i*f'."""
    return (real, imaginary)[int(part)] if argindex == 1 else (-imaginary, real)[int(part)]


FAR = 144
"""From this |z|**2 on, derivatives of the Faddeeva function are polynomials; below, rounding grows by up to 2*FAR."""

FAR_TERMS = 12
"""Number of coefficients, enough for the last digit of the first derivatives."""


def _product(p: tuple[Expr, Expr], q: tuple[Expr, Expr]) -> tuple[Expr, Expr]:
    """Return the product of two complex numbers."""
    return p[0] * q[0] - p[1] * q[1], p[0] * q[1] + p[1] * q[0]


def _derivative_of_faddeeva(x: Expr, y: Expr, n: int) -> tuple[Expr, Expr]:
    """Return the parts of the n-th derivative of w, by the recurrence w(k + 1) = -2*z*w(k) - 2*k*w(k - 1)."""
    before: tuple[Expr, Expr] = (faddeeva_real(x, y), faddeeva_imag(x, y))
    u, v = _product((x, y), before)
    now: tuple[Expr, Expr] = (-2 * u, 2 / sqrt(sympy.pi) - 2 * v)
    for k in range(1, n):
        u, v = _product((x, y), now)
        before, now = now, (-2 * u - 2 * k * before[0], -2 * v - 2 * k * before[1])
    return now


def _tail_of_faddeeva(x: Expr, y: Expr, size: Expr, n: int) -> tuple[Expr, Expr]:
    """Return the parts of the n-th derivative of i/sqrt(pi)*(1/z + 1/(2*z**3) + ...), given |z|**2.

    The powers of 1/z**2 up to the fourth are used for each four coefficients, so that no part is written many times.
    """
    inverse = (x / size, -y / size)
    powers = [(S.One, S.Zero), ((x**2 - y**2) / size**2, -2 * x * y / size**2)]
    while len(powers) < 5:
        powers.append(_product(powers[-1], powers[1]))
    factors = [Rational(sympy.factorial2(2 * k - 1), 2**k) * sympy.rf(2 * k + 1, n) for k in range(FAR_TERMS)]
    total: tuple[Expr, Expr] = (S.Zero, S.Zero)
    for first in reversed(range(0, FAR_TERMS, 4)):
        few = [sympy.Add(*(factors[first + k] * powers[k][part] for k in range(4))) for part in (0, 1)]
        shifted = _product(total, powers[4])
        total = (shifted[0] + few[0], shifted[1] + few[1])
    factor = reduce(_product, [inverse] * (n + 1))
    real, imaginary = _product(total, factor)
    scale = (-1) ** n / sqrt(sympy.pi)
    return -scale * imaginary, scale * real


class softsign(StableFunction):
    """z/(1 + |z|), whose derivative as a quotient loses all digits far out: 1/(1 + |z|) - |z|/(1 + |z|)**2."""

    nargs = 1

    @staticmethod
    def definition(z: Expr) -> Expr:
        return z / (1 + Abs(z))

    def fdiff(self, argindex: int = 1) -> Expr:
        return (1 + Abs(self.args[0])) ** -2

    @staticmethod
    def stable(z: Expr) -> Expr:
        return z / (1 + Abs(z))


class xlogy(StableFunction):
    """x*log(y), but 0 where x is 0, for every y: a cross-entropy counts 0*log(0) as 0."""

    nargs = 2
    traits = Trait.STEEP | Trait.SLOW_POLE

    @staticmethod
    def definition(x: Expr, y: Expr) -> Expr:
        return Piecewise((S.Zero, Eq(x, 0)), (x * log(y), True))

    def fdiff(self, argindex: int = 1) -> Expr:
        x, y = self.args
        return log(y) if argindex == 1 else Piecewise((S.Zero, Eq(x, 0)), (x / y, True))

    @staticmethod
    def stable(x: Expr, y: Expr) -> Expr:
        return xlogy.definition(x, y)


NAN = Symbol("NAN", real=True)
"""NaN, where a formula has no value. It is a symbol, since SymPy cannot compare its own NaN."""

UNDEFINED = (S.ImaginaryUnit, S.ComplexInfinity, S.Infinity, S.NegativeInfinity, S.NaN)
"""Objects of SymPy in an expression that is not a real number."""


def plain_conditions(expression: Any) -> Any:
    """Return an expression with all its conditions written with And, Or and Not."""

    def plain(node: Any) -> Any:
        if isinstance(node, ITE):
            condition, p, q = node.args
            return (condition & p) | (~condition & q)
        return reduce(lambda p, q: (p & ~q) | (~p & q), node.args) if isinstance(node, Xor) else node

    return rewritten(expression, plain) if contains(expression, ITE, Xor) else expression


def defined(expression: Any) -> Any:
    """Return an expression with NAN for branches that are infinite, complex or undefined for all values of the symbols.

    It is NAN, too, where no branch applies: SymPy can compare a Piecewise only if one always does.
    """

    def plain(node: Any) -> Any:
        if not isinstance(node, Piecewise):
            return node
        values = [(NAN if _is_undefined(value) else value, condition) for value, condition in node.args]
        return Piecewise(*values, (NAN, True))

    return rewritten(expression, plain) if contains(expression, Piecewise) else expression


def _is_undefined(value: Expr) -> bool:
    """Return whether an expression contains an object of SymPy that is not a real number."""
    return any(part is undefined for part in objects_of(value) for undefined in UNDEFINED)


def relu(z: Any) -> Expr:
    """max(0, z); its derivative at 0 is 0. A NaN stays a NaN, since comparisons with it are false."""
    return Piecewise((S.Zero, z <= 0), (z, True))


SLOPE = Rational(1, 100)
"""The default slope of leaky_relu, as in PyTorch."""


def leaky_relu(z: Any, slope: float | Expr = SLOPE) -> Expr:
    """``z`` where it is positive, ``slope*z`` elsewhere."""
    return Piecewise((slope * z, z <= 0), (z, True))


def elu(z: Any, alpha: float | Expr = S.One) -> Expr:
    """``z`` where it is positive, ``alpha*(exp(z) - 1)`` elsewhere."""
    z = _expression(z)
    return Piecewise((alpha * expm1(z), z <= 0), (z, True))


SELU = Float("1.6732632423543772848170429916717", 32), Float("1.0507009873554804934193349852946", 32)
"""The alpha and the scale of selu, from Klambauer et al. (2017), arXiv:1706.02515."""


def selu(z: Any, alpha: float | Expr = SELU[0], scale: float | Expr = SELU[1]) -> Expr:
    """Self-normalizing elu: ``scale*elu(z, alpha)``; constants from Klambauer et al. (2017), arXiv:1706.02515."""
    return scale * elu(z, alpha)


def silu(z: Any) -> Expr:
    """z*sigmoid(z), also called swish."""
    return z * sigmoid(z)


def gelu(z: Any) -> Expr:
    """``z`` times the standard normal distribution function of z (the exact form, not the tanh approximation)."""
    return z * erfc(-z / sqrt(2)) / 2
