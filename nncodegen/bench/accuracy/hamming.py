"""The problems of chapter 3 of Hamming, Numerical Methods for Scientists and Engineers (1962), with their domains.

They are known as the first benchmark of Herbie (Panchekha et al., 2015), whose names and preconditions these are.
"""

from __future__ import annotations

from nncodegen.bench.accuracy.problem import Problem

EPSILON = "(-1e4 <= x) & (x <= 1e4) & (1e-16*abs(x) < eps) & (eps < abs(x))"
SMALL_ANGLE = "(-0.026 < x) & (x < 0.026)"

HAMMING = (
    Problem("quadp", "(-b + sqrt(b*b - 4*a*c))/(2*a)", factor="b"),
    Problem("quadm", "(-b - sqrt(b*b - 4*a*c))/(2*a)", factor="b"),
    Problem("quad2p", "(-b + sqrt(b*b - a*c))/a", factor="b"),
    Problem("quad2m", "(-b - sqrt(b*b - a*c))/a", factor="b"),
    Problem("2sqrt", "sqrt(x + 1) - sqrt(x)", "(1 < x) & (x < 1e308)"),
    Problem("2sin", "sin(x + eps) - sin(x)", EPSILON),
    Problem("tanhf", "(1 - cos(x))/sin(x)"),
    Problem("2atan", "atan(x + 1) - atan(x)", "(1 < x) & (x < 1e100)"),
    Problem("2isqrt", "1/sqrt(x) - 1/sqrt(x + 1)", "(1 < x) & (x < 1e308)"),
    Problem("2tan", "tan(x + eps) - tan(x)", EPSILON),
    Problem("2frac", "1/(x + 1) - 1/x"),
    Problem("3frac", "1/(x + 1) - 2/x + 1/(x - 1)", "abs(x) > 1"),
    Problem("2cbrt", "cbrt(x + 1) - cbrt(x)", "(1 < x) & (x < 1e308)"),
    Problem("2cos", "cos(x + eps) - cos(x)", EPSILON),
    Problem("2log", "log(x + 1) - log(x)", "(1 < x) & (x < 1e40)"),
    Problem("exp2", "exp(x) - 2 + exp(-x)", "abs(x) <= 710"),
    Problem("cos2", "(1 - cos(x))/(x*x)"),
    Problem("expq3", "eps*(exp((a + b)*eps) - 1)/((exp(a*eps) - 1)*(exp(b*eps) - 1))",
            "(abs(a) <= 710) & (abs(b) <= 710) & (1e-27*minimum(abs(a), abs(b)) <= eps)"
            " & (eps <= minimum(abs(a), abs(b)))", factor="eps"),
    Problem("logq", "log((1 - x)/(1 + x))", "abs(x) < 1"),
    Problem("sqrtexp", "sqrt((exp(2*x) - 1)/(exp(x) - 1))", "x < 710"),
    Problem("sintan", "(x - sin(x))/(x - tan(x))", SMALL_ANGLE),
    Problem("2nthrt", "(x + 1)**(1/n) - x**(1/n)", "x > 0"),
    Problem("expm1", "exp(x) - 1", "x < 710"),
    Problem("logs", "((x + 1)*log(x + 1) - x*log(x)) - 1", "x > 6.8e15"),
    Problem("invcot", "1/x - 1/tan(x)", SMALL_ANGLE),
    Problem("qlog", "log(1 - x)/log(1 + x)", "abs(x) < 1"),
    Problem("expax", "exp(c*x) - 1", "c*x < 710"),
    Problem("expq2", "exp(x)/(exp(x) - 1)", "x < 710"),
)  # fmt: skip
