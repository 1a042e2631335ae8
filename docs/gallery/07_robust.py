"""
A regression that outliers do not sway
======================================

How many calls were made from Belgium between 1950 and 1973, in tens of millions? From 1964 to 1969 somebody wrote down
their minutes instead of their number, and 1970 is a mixture of both. The data are those of P. J. Rousseeuw and A. M.
Leroy, Robust Regression and Outlier Detection, 1987, page 26.
"""

import matplotlib.pyplot as plt
import numpy as np
from sympy import symbols

import nncodegen as nn

year = np.arange(1950, 1974)
calls = """
4.4 4.7 4.7 5.9 6.6 7.3 8.1 8.8 10.6 12.0 13.5 14.9 16.1 21.2 119.0 124.0 142.0 159.0 182.0
212.0 43.0 24.0 27.0 29.0
"""
calls = np.array(calls.split(), float)

# %%
# The same line, fitted four times. Least squares counts a residual as its square; ``huber`` counts residuals beyond the
# scale as their size, and ``cauchy`` as little more than their logarithm. The last fit leaves the wrong years out, as
# somebody could who knew them.

t, n = symbols("t n")
formula = "a + b*(t - 1960)"
line = nn.build(
    nn.Model("line", inputs=t, targets=n, parameters={"a": 10, "b": 1}, output=formula)
)
wrong = (year >= 1964) & (year <= 1970)
fits = {
    "least squares": line.fit(year, calls),
    "huber": line.fit(year, calls, loss="huber", f_scale=2),
    "cauchy": line.fit(year, calls, loss="cauchy", f_scale=2),
    "without 1964 to 1970": line.fit(year, np.where(wrong, np.nan, calls)),
}
for name, result in fits.items():
    slope, error = result["b"], result.standard_errors[1]
    print(f"{name:22} {slope:6.3f} ± {error:.3f} more a year, {result['a']:6.2f} in 1960")

# %%
# With the loss of Cauchy, the line is nearly that of the right years alone, although nobody said which these are.

fig, axes = plt.subplots(figsize=(7, 4))
axes.plot(year[~wrong], calls[~wrong], "o", color="black", label="calls")
axes.plot(year[wrong], calls[wrong], "x", color="black", label="counted otherwise")
for (name, result), style in zip(fits.items(), ("-", "-", "-", ":")):
    axes.plot(
        year, line.predict(result.parameters, year[:, None]), style, label=name, linewidth=2
    )
axes.set(ylabel="calls, in tens of millions", ylim=(-10, 225))
axes.legend()
plt.show()
