"""
Rosenbrock's valley
===================

H. H. Rosenbrock's function of 1960 is the classic test of minimizers: a curved valley whose floor is nearly flat. A
formula needs neither a network nor data, so it can be minimized as it stands, by first or by second derivatives.
"""

import matplotlib.pyplot as plt
import numpy as np
from sympy import symbols

import nncodegen as nn

a, b = symbols("a b")
valley = nn.build(
    nn.Model("valley", parameters={a: -1.2, b: 1}, loss=(1 - a) ** 2 + 100 * (b - a**2) ** 2)
)
start = valley.initial_parameters()
print("gradient at the start", valley.loss_and_gradient(start)[1])
print("second derivatives   ", *valley.hessian(start).tolist())

# %%
# Three ways down. A callback of ``train`` sees the parameters after every epoch; ``minimize`` hands loss, gradient and
# Hessian to SciPy, whose callback sees them, too.

paths = {"Adam": [start], "BFGS": [start], "Newton": [start]}
adam = valley.train(
    optimizer="adam",
    learning_rate=0.02,
    epochs=3000,
    callback=lambda p: paths["Adam"].append(p.parameters.copy()),
)
quasi = valley.minimize(method="BFGS", callback=lambda x: paths["BFGS"].append(x.copy()))
newton = valley.minimize(
    method="trust-exact", callback=lambda x: paths["Newton"].append(x.copy())
)
for name, result in (("Adam", adam), ("BFGS", quasi), ("Newton", newton)):
    end = result.parameters.round(6)
    print(f"{name:7} {len(paths[name]) - 1:5} steps to {end}, loss {result.loss:.1e}")

# %%
# Adam follows the floor in small steps. Newton's method knows how the valley bends, from second derivatives that are
# exact, and is there after some twenty steps.

grid_a, grid_b = np.meshgrid(np.linspace(-1.7, 1.5, 300), np.linspace(-0.6, 2, 300))
height = (1 - grid_a) ** 2 + 100 * (grid_b - grid_a**2) ** 2
fig, axes = plt.subplots(figsize=(7, 4.6))
axes.contour(
    grid_a, grid_b, height, levels=np.geomspace(0.1, 1500, 14), colors="gray", linewidths=0.6
)
for (name, path), style in zip(paths.items(), ("-", "o-", "s-")):
    axes.plot(*np.array(path).T, style, markersize=4, label=f"{name}, {len(path) - 1:,} steps")
axes.plot(1, 1, "*", color="black", markersize=12)
axes.set(xlabel="a", ylabel="b")
axes.legend(loc="lower left")
plt.show()
