"""The problems of chapter 3 of Hamming, Numerical Methods for Scientists and Engineers (1962), with their domains.

They are known as the first benchmark of Herbie (Panchekha et al., 2015), whose names and preconditions these are.
"""

from __future__ import annotations

from nncodegen.bench.accuracy.problem import AccuracyProblem

EPSILON = "(-1e4 <= x) & (x <= 1e4) & (1e-16*abs(x) < eps) & (eps < abs(x))"
SMALL_ANGLE = "(-0.026 < x) & (x < 0.026)"

HAMMING = (
    AccuracyProblem("quadp", "(-b + sqrt(b*b - 4*a*c))/(2*a)", factor="b"),
    AccuracyProblem("quadm", "(-b - sqrt(b*b - 4*a*c))/(2*a)", factor="b"),
    AccuracyProblem("quad2p", "(-b + sqrt(b*b - a*c))/a", factor="b"),
    AccuracyProblem("quad2m", "(-b - sqrt(b*b - a*c))/a", factor="b"),
    AccuracyProblem("2sqrt", "sqrt(x + 1) - sqrt(x)", "(1 < x) & (x < 1e308)"),
    AccuracyProblem("2sin", "sin(x + eps) - sin(x)", EPSILON),
    AccuracyProblem("tanhf", "(1 - cos(x))/sin(x)"),
    AccuracyProblem("2atan", "atan(x + 1) - atan(x)", "(1 < x) & (x < 1e100)"),
    AccuracyProblem("2isqrt", "1/sqrt(x) - 1/sqrt(x + 1)", "(1 < x) & (x < 1e308)"),
    AccuracyProblem("2tan", "tan(x + eps) - tan(x)", EPSILON),
    AccuracyProblem("2frac", "1/(x + 1) - 1/x"),
    AccuracyProblem("3frac", "1/(x + 1) - 2/x + 1/(x - 1)", "abs(x) > 1"),
    AccuracyProblem("2cbrt", "cbrt(x + 1) - cbrt(x)", "(1 < x) & (x < 1e308)"),
    AccuracyProblem("2cos", "cos(x + eps) - cos(x)", EPSILON),
    AccuracyProblem("2log", "log(x + 1) - log(x)", "(1 < x) & (x < 1e40)"),
    AccuracyProblem("exp2", "exp(x) - 2 + exp(-x)", "abs(x) <= 710"),
    AccuracyProblem("cos2", "(1 - cos(x))/(x*x)"),
    AccuracyProblem(
        "expq3",
        "eps*(exp((a + b)*eps) - 1)/((exp(a*eps) - 1)*(exp(b*eps) - 1))",
        "(abs(a) <= 710) & (abs(b) <= 710) & (1e-27*minimum(abs(a), abs(b)) <= eps) & (eps <= minimum(abs(a), abs(b)))",
        factor="eps",
    ),
    AccuracyProblem("logq", "log((1 - x)/(1 + x))", "abs(x) < 1"),
    AccuracyProblem("sqrtexp", "sqrt((exp(2*x) - 1)/(exp(x) - 1))", "x < 710"),
    AccuracyProblem("sintan", "(x - sin(x))/(x - tan(x))", SMALL_ANGLE),
    AccuracyProblem("2nthrt", "(x + 1)**(1/n) - x**(1/n)", "x > 0"),
    AccuracyProblem("expm1", "exp(x) - 1", "x < 710"),
    AccuracyProblem("logs", "((x + 1)*log(x + 1) - x*log(x)) - 1", "x > 6.8e15"),
    AccuracyProblem("invcot", "1/x - 1/tan(x)", SMALL_ANGLE),
    AccuracyProblem("qlog", "log(1 - x)/log(1 + x)", "abs(x) < 1"),
    AccuracyProblem("expax", "exp(c*x) - 1", "c*x < 710"),
    AccuracyProblem("expq2", "exp(x)/(exp(x) - 1)", "x < 710"),
)
