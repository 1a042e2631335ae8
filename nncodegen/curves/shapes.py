"""Polynomials, powers, waves and steps."""

from __future__ import annotations

from nncodegen.curves.curve import Curve, CurveParameter, Record, linear
from nncodegen.errors import ModelError

LEAST_SQUARES = "A. M. Legendre, Nouvelles methodes pour la determination des orbites des cometes, 1805"
MOST_DEGREE = 20
"""The highest degree of a polynomial: beyond it, powers of x are hardly independent in double precision."""

AMPLITUDE = linear("amplitude", "greatest deviation from the mean")
FREQUENCY = CurveParameter("frequency", "angular frequency, 2*pi divided by the period", 0)
PHASE = CurveParameter("phase", "angle at x = 0, in radians")
HEIGHT = linear("height", "value after the step")
CENTRE = CurveParameter("centre", "place of the step")
WIDTH = CurveParameter("width", "width of the step", 0)

constant = Record("constant", "level", "a constant", (linear("level", "value everywhere"),), LEAST_SQUARES)

line = Record(
    "line",
    "intercept + slope*x",
    "a straight line",
    (linear("intercept", "value at x = 0"), linear("slope", "change per unit of x")),
    LEAST_SQUARES,
)


def polynomial(degree: int, prefix: str = "", x: str = "x") -> Curve:
    """Return the polynomial c0 + c1*x + c2*x**2 + ... of a degree from 0 to 20. Raises ModelError for another."""
    if not isinstance(degree, int) or isinstance(degree, bool) or not 0 <= degree <= MOST_DEGREE:
        raise ModelError(f"the degree of a polynomial is a whole number from 0 to {MOST_DEGREE}, not {degree!r}")
    return _polynomial(f"polynomial({degree})", degree)(prefix, x)


def _polynomial(name: str, degree: int) -> Record:
    powers = ["", "*x", *(f"*x**{k}" for k in range(2, degree + 1))][: degree + 1]
    return Record(
        name,
        " + ".join(f"c{k}{power}" for k, power in enumerate(powers)),
        f"a polynomial of degree {degree}",
        tuple(linear(f"c{k}", f"coefficient of x**{k}") for k in range(degree + 1)),
        LEAST_SQUARES,
    )


quadratic = _polynomial("quadratic", 2)
cubic = _polynomial("cubic", 3)


WAVE = ("largest_frequency(x, y)", "phase_of_wave(x, y, frequency)")

power = Record(
    "power",
    "amplitude*x**exponent",
    "a power of x, for x above 0",
    (linear("amplitude", "value at x = 1"), CurveParameter("exponent", "slope in a picture with two logarithmic axes")),
    "G. Galilei, Discorsi, 1638",
    ("slope_of_logs(x, y)",),
)

sine = Record(
    "sine",
    "amplitude*sin(frequency*x + phase)",
    "a wave",
    (AMPLITUDE, FREQUENCY, PHASE),
    "J. Fourier, Theorie analytique de la chaleur, 1822",
    WAVE,
)

damped_sine = Record(
    "damped_sine",
    "amplitude*exp(-rate*x)*sin(frequency*x + phase)",
    "a wave that decays",
    (AMPLITUDE, CurveParameter("rate", "relative decrease per unit of x"), FREQUENCY, PHASE),
    "J. W. Strutt (Lord Rayleigh), The Theory of Sound, 1877",
    ("min(positive_rate(x, abs(y)), 10/span(x))", *WAVE),
)


STEP = ("middle_of_step(x, y)", "width_of_step(x, y)")

logistic_step = Record(
    "logistic_step",
    "height/(1 + exp(-(x - centre)/width))",
    "a step, the distribution of the logistic density",
    (HEIGHT, CENTRE, WIDTH),
    "P.-F. Verhulst, Corresp. math. phys. 10, 113, 1838",
    STEP,
)

erf_step = Record(
    "erf_step",
    "height*(1 + erf((x - centre)/(sqrt(2)*width)))/2",
    "a step, the distribution of the normal density",
    (HEIGHT, CENTRE, CurveParameter("width", "standard deviation of the density", 0)),
    "J. W. L. Glaisher, Phil. Mag. 42, 294, 1871",
    STEP,
)

arctan_step = Record(
    "arctan_step",
    "height*(1/2 + atan((x - centre)/width)/\N{GREEK SMALL LETTER PI})",
    "a step, the distribution of the Lorentzian density",
    (HEIGHT, CENTRE, WIDTH),
    "F. K. Richtmyer et al., Phys. Rev. 46, 843, 1934",
    STEP,
)

rectangle = Record(
    "rectangle",
    "height*(1/(1 + exp(-(x - left)/width)) - 1/(1 + exp(-(x - right)/width)))",
    "a step up and a step down",
    (
        linear("height", "value between the steps"),
        CurveParameter("left", "place of the step up"),
        CurveParameter("right", "place of the step down"),
        WIDTH,
    ),
    "R. D. Woods, D. S. Saxon, Phys. Rev. 95, 577, 1954",
    ("middle(x) - span(x)/4", "middle(x) + span(x)/4", "span(x)/20"),
)

broken_line = Record(
    "broken_line",
    "level + before*Min(x - corner, 0) + after*Max(x - corner, 0)",
    "two straight lines that meet",
    (
        linear("level", "value at the corner"),
        linear("before", "slope before the corner"),
        linear("after", "slope after the corner"),
        CurveParameter("corner", "place where the lines meet"),
    ),
    "D. J. Hudson, J. Am. Statist. Assoc. 61, 1097, 1966",
    ("middle(x)",),
)
