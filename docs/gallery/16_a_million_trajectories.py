"""
A million trajectories: Lorenz's equations
==========================================

Lorenz (1963) reduced the convection of a fluid that is heated from below to three equations. x is the speed of its
rolls, which turn in one of two directions; r is the heating. Without much heating the fluid comes to rest, with more of
it the rolls turn steadily, and from r = 24.74 on they change their direction again and again, and never in the same
way. One picture shows all of this, if there are enough trajectories to fill it.
"""

import matplotlib.pyplot as plt
import numpy as np

import nncodegen as nn

# %%
# Each trajectory has a heating and a beginning of its own, which are inputs. It is observed once, after a time of 20, to
# which 1,000 equal steps lead. Nothing is fitted, so that the module is built without a fit; single precision is enough
# for a picture. Tiles of 512 trajectories, four times as many as by default, take a quarter less time with this model.

model = nn.Dynamics(
    ["x' = 10*(y - x)", "y' = r*x - y - x*z", "z' = x*y - 8/3*z"],
    initial={"x": "x0", "y": 0, "z": "z0"},
    inputs="r, x0, z0",
    observed="x",
    times=1,
    start=0,
    steps=1000,
    name="convection",
)
module = nn.build(model, "float32", fit=False, choices={"tile": 512})

# %%
# A row of X has the time of the observation, then the inputs. Trajectories lie side by side in the vectors of the CPU: a
# million take a few seconds on one core.

COUNT = 1_000_000
random = np.random.default_rng(0)
r = np.linspace(0, 30, COUNT)
X = np.column_stack(
    [np.full(COUNT, 20), r, random.normal(size=COUNT), r * random.uniform(size=COUNT)]
)
x = module.predict([], X.astype("float32"))[:, 0]

# %%
# At rest, x is 0; rolls turn steadily at one of two speeds, whose squares are 8/3*(r - 1). With a weak heating all
# trajectories have come close to one of these; with a strong one, the few that are close only pass by.

steady = np.sqrt(8 / 3 * np.maximum(r - 1, 0))
near = abs(abs(x) - steady) < 0.5
for low, high in ((0, 0.5), (5, 10), (29, 30)):
    share = near[(r >= low) & (r <= high)].mean()
    print(f"r from {low:4} to {high:4}: {share:.0%} are close to rest or to a steady roll")

# %%
# The picture counts how many trajectories are where, on a logarithmic scale.

counts, *edges = np.histogram2d(r, x, bins=(900, 500), range=((0, 30), (-20, 20)))
figure, axes = plt.subplots(figsize=(7, 4))
axes.imshow(
    np.log1p(counts.T), origin="lower", extent=(0, 30, -20, 20), aspect="auto", cmap="magma"
)
axes.plot(r, steady, "w:", r, -steady, "w:", linewidth=0.7)
axes.set(xlabel="heating r", ylabel="speed x of the rolls at the time 20")
plt.show()
