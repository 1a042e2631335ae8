"""Curves by name: formulas that people fit, each with bounds, the meaning of its parameters, and a start from data.

``gaussian("a_") + gaussian("b_") + line()`` is a formula with the parameters a_height, a_centre, ... and slope;
``print(nn.curves.gaussian)`` tells what they mean.
"""

from nncodegen.curves.curve import Curve, CurveParameter, Record, Term
from nncodegen.curves.dose import brain_cousens, hill3, hill4, hill5, inhibition4, log_hill4
from nncodegen.curves.growth import (
    bateman,
    double_exponential,
    exponential,
    gompertz,
    logistic,
    richards,
    saturating_exponential,
    stretched_exponential,
    von_bertalanffy,
    weibull_growth,
)
from nncodegen.curves.kinetics import (
    arrhenius,
    freundlich,
    langmuir,
    michaelis_menten,
    sips,
    substrate_inhibition,
    tight_binding,
)
from nncodegen.curves.named import read
from nncodegen.curves.peaks import (
    exponential_gaussian,
    fano,
    gaussian,
    log_normal,
    lorentzian,
    moffat,
    pearson7,
    pseudo_voigt,
    sech_squared,
    skewed_gaussian,
    thompson_voigt,
    voigt,
)
from nncodegen.curves.shapes import (
    arctan_step,
    broken_line,
    constant,
    cubic,
    damped_sine,
    erf_step,
    line,
    logistic_step,
    polynomial,
    power,
    quadratic,
    rectangle,
    sine,
)
from nncodegen.curves.table import RECORDS

__all__ = [
    "RECORDS", "Curve", "CurveParameter", "Record", "Term", "arctan_step", "arrhenius", "bateman", "brain_cousens",
    "broken_line", "constant", "cubic", "damped_sine", "double_exponential", "erf_step", "exponential",
    "exponential_gaussian", "fano", "freundlich", "gaussian", "gompertz", "hill3", "hill4", "hill5", "inhibition4",
    "langmuir", "line", "log_hill4", "log_normal", "logistic", "logistic_step", "lorentzian", "michaelis_menten",
    "moffat", "pearson7", "polynomial", "power", "pseudo_voigt", "quadratic", "read", "rectangle", "richards",
    "saturating_exponential", "sech_squared", "sine", "sips", "skewed_gaussian", "stretched_exponential",
    "substrate_inhibition", "thompson_voigt", "tight_binding", "voigt", "von_bertalanffy", "weibull_growth",
]  # fmt: skip
