"""The table of all curves by name."""

from __future__ import annotations

from nncodegen.curves.curve import Record
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
    power,
    quadratic,
    rectangle,
    sine,
)

RECORDS: dict[str, Record] = {
    record.name: record
    for record in (
        constant, line, quadratic, cubic, power,
        gaussian, lorentzian, pseudo_voigt, thompson_voigt, skewed_gaussian, exponential_gaussian, log_normal,
        pearson7, moffat, fano, sech_squared,
        exponential, double_exponential, stretched_exponential, saturating_exponential, bateman, logistic, gompertz,
        richards, von_bertalanffy, weibull_growth,
        hill3, hill4, hill5, inhibition4, log_hill4, brain_cousens,
        michaelis_menten, substrate_inhibition, langmuir, freundlich, sips, tight_binding, arrhenius,
        sine, damped_sine, logistic_step, erf_step, arctan_step, rectangle, broken_line,
    )
}  # fmt: skip
"""All curves by name; those of other degrees are ``polynomial(degree)``."""
