"""Doses and responses. x is a dose from 0 on, or in ``log_hill4`` its logarithm to the base 10."""

from __future__ import annotations

from nncodegen.curves.curve import CurveParameter, Record, linear

BOTTOM = linear("bottom", "response without a dose")
TOP = linear("top", "response to a very large dose")
EC50 = CurveParameter("ec50", "dose of half of the response", 0)
SLOPE = CurveParameter("slope", "Hill's coefficient, the steepness", 0)

DOSE = "half_dose(x, y)"

hill3 = Record(
    "hill3",
    "top*x**slope/(x**slope + ec50**slope)",
    "Hill's equation",
    (TOP, EC50, SLOPE),
    "A. V. Hill, J. Physiol. 40, iv, 1910",
    (DOSE, "1"),
)

hill4 = Record(
    "hill4",
    "bottom + (top - bottom)*x**slope/(x**slope + ec50**slope)",
    "the logistic curve of four parameters, over the logarithm of a dose",
    (BOTTOM, TOP, EC50, SLOPE),
    "A. DeLean, P. J. Munson, D. Rodbard, Am. J. Physiol. 235, E97, 1978",
    (DOSE, "1"),
)

hill5 = Record(
    "hill5",
    "bottom + (top - bottom)*(x**slope/(x**slope + ec50**slope))**asymmetry",
    "the logistic curve of five parameters: hill4 for asymmetry = 1",
    (
        BOTTOM,
        TOP,
        CurveParameter("ec50", "dose of half of the response, for asymmetry = 1", 0),
        SLOPE,
        CurveParameter("asymmetry", "steepness of the beginning", 0),
    ),
    "P. G. Gottschalk, J. R. Dunn, Anal. Biochem. 343, 54, 2005",
    (DOSE, "1", "1"),
)

brain_cousens = Record(
    "brain_cousens",
    "bottom + (top - bottom + stimulation*x)*ec50**slope/(x**slope + ec50**slope)",
    "a response that small doses stimulate, and large ones inhibit",
    (
        linear("bottom", "response to a very large dose"),
        linear("top", "response without a dose"),
        CurveParameter("ec50", "dose of half of the inhibition, without stimulation", 0),
        CurveParameter("slope", "steepness, above 1", 1),
        linear("stimulation", "initial slope of the stimulation"),
    ),
    "P. Brain, R. Cousens, Weed Res. 29, 93, 1989",
    (DOSE, "2"),
)

inhibition4 = Record(
    "inhibition4",
    "bottom + (top - bottom)*ec50**slope/(x**slope + ec50**slope)",
    "the logistic curve of four parameters for a response that a dose inhibits",
    (linear("bottom", "response to a very large dose"), linear("top", "response without a dose"), EC50, SLOPE),
    "D. J. Finney, Statistical Method in Biological Assay, 1978",
    (DOSE, "1"),
)

log_hill4 = Record(
    "log_hill4",
    "bottom + (top - bottom)/(1 + 10**(slope*(log_ec50 - x)))",
    "hill4 over the logarithm of the dose",
    (BOTTOM, TOP, CurveParameter("log_ec50", "logarithm of the dose of half of the response"), SLOPE),
    "A. DeLean, P. J. Munson, D. Rodbard, Am. J. Physiol. 235, E97, 1978",
    ("middle_of_step(x, y)", "1/width_of_step(x, y)"),
)
