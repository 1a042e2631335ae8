"""
Lynx and hare: differential equations, fitted
=============================================

For two hundred years the Hudson's Bay Company counted the pelts that it bought. Those of the snowshoe hare and of the
lynx, which lives on it, rise and fall together every ten years. Lotka (1925) and Volterra (1926) explained this by two
equations: hares u multiply, and are eaten at a rate that grows with the number of lynxes v; lynxes starve, and multiply
with what they eat.

The data are those of 1900 to 1920, in thousands of pelts (E. P. Odum, Fundamentals of Ecology, 1953; as tabulated by
P. Howard, Modeling Basics, 2009).
"""

import matplotlib.pyplot as plt
import numpy as np

import nncodegen as nn

years = np.arange(1900.0, 1921)
hare = np.array(
    "30 47.2 70.2 77.4 36.3 20.6 18.1 21.4 22 25.4 27.1 40.3 57 76.6 52.3 19.5 11.2 7.6 "
    "14.6 16.2 24.7".split(),
    float,
)
lynx = np.array(
    "4 6.1 9.8 35.2 59.4 41.7 19 13 8.3 9.1 7.4 8 12.3 19.5 45.7 51.1 29.7 15.8 9.7 10.1 "
    "8.6".split(),
    float,
)

# %%
# The equations are texts. What is observed are the logarithms, as counts are wrong by a factor rather than by a number
# of pelts. The initial values are parameters as well. Twenty steps from year to year leave an error far below that of
# the data.

model = nn.Dynamics(
    ["u' = (a - b*v)*u", "v' = (d*u - c)*v"],
    initial={"u": "u0", "v": "v0"},
    parameters={"a": 0.5, "b": 0.03, "c": 0.8, "d": 0.02, "u0": 30, "v0": 4},
    observed={"hare": "log(u)", "lynx": "log(v)"},
    times=len(years),
    steps=20,
    name="lynx_and_hare",
)
module = nn.build(model)

# %%
# One trajectory is one sample: its times are a row of X, its observations a row of Y, first all of the hare, then all
# of the lynx.

X = years[None]
Y = np.log([*hare, *lynx])[None]
result = module.fit(X, Y)
print(result)

# %%
# The errors of the parameters come from exact derivatives of the steps. Fits, Jacobians and predictions take less than
# a millisecond each, so that a bootstrap, in which the fit is repeated for data with other errors, is one call.

random = np.random.default_rng(0)
fitted = module.predict(result.parameters, X)
repeated = fitted + (Y - fitted).std() * random.normal(size=(200, *Y.shape))
many = module.fit_many(X, repeated, p0=result.parameters)
print("standard errors of a, b, c, d, u0, v0")
print("by derivatives  ", result.standard_errors.round(4))
print("by a bootstrap  ", many.parameters.std(axis=0).round(4))

# %%
# Both agree, except where 21 years of data are few. The fitted equations, in steps of a month, and what was counted:

months = np.linspace(1900, 1920, 241)
fine = nn.build(
    nn.Dynamics(
        ["u' = (a - b*v)*u", "v' = (d*u - c)*v"],
        initial={"u": "u0", "v": "v0"},
        parameters=dict(zip("a b c d u0 v0".split(), result.parameters, strict=True)),
        times=len(months),
        steps=2,
        name="by_month",
    ),
    fit=False,
)
u, v = fine.predict(result.parameters, months[None]).reshape(2, -1)

figure, axes = plt.subplots(figsize=(7, 3.6))
for values, counted, name, color in (
    (u, hare, "hare", "tab:brown"),
    (v, lynx, "lynx", "tab:blue"),
):
    axes.plot(months, values, color=color, label=name)
    axes.plot(years, counted, "o", color=color)
axes.set(xlabel="year", ylabel="thousands of pelts")
axes.set_xticks(range(1900, 1921, 5))
axes.legend()
plt.show()
