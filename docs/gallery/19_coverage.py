"""
Intervals that keep their promise
=================================

An interval of 95 % should contain the truth in 95 of 100 experiments. Whether it does can be counted, where the truth
is known: by simulating experiments. Here are 2,000 of them, each of five points on a saturation, as of an enzyme that
is measured below and around half of its highest rate. So few points leave a skew likelihood.
"""

import matplotlib.pyplot as plt
import numpy as np

import nncodegen as nn

truth = np.array([1.0, 1.5])
module = nn.build(nn.Model("saturation", "x", "y", {"V": 1, "k": 1}, "V*x/(k + x)"))
x = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
noise = 0.08
random = np.random.default_rng(0)
Y = truth[0] * x / (truth[1] + x) + noise * random.normal(size=(2000, 5))

# %%
# All experiments are fitted side by side, and so are their profiles followed: some 70,000 fits.

fits = module.fit_many(
    x, Y, p0=truth, sigma=noise, absolute_sigma=True, bounds={"k": (0, None)}
)
profiles = fits.profiles()
print(profiles)

# %%
# Intervals by standard errors miss the constant k twice as often as they may, and nearly always on the same side; those
# by profiles do not.

half = 1.959964 * fits.standard_errors
by_errors = np.stack([fits.parameters - half, fits.parameters + half], axis=2)
for name, intervals in (("standard errors", by_errors), ("profiles", profiles.intervals)):
    inside = (intervals[:, :, 0] <= truth) & (truth <= intervals[:, :, 1])
    above = (intervals[:, :, 1] < truth).mean(axis=0)
    V, k = 100 * inside.mean(axis=0)
    print(f"{name}: V in {V:.1f} %, k in {k:.1f} %; {100 * above[1]:.1f} % end below k")

# %%
# Sixty of the experiments, sorted by their estimates of k. Where the data do not bound k from above, the interval goes
# on.

some = np.argsort(fits.parameters[:60, 1])
figure, axes = plt.subplots(1, 2, sharey=True, figsize=(7.2, 4.6), layout="constrained")
for axis, (name, intervals) in zip(
    axes, (("standard errors", by_errors), ("profiles", profiles.intervals)), strict=True
):
    ends = np.clip(intervals[some, 1], -1, 12)
    missed = (ends[:, 0] > truth[1]) | (ends[:, 1] < truth[1])
    axis.hlines(range(60), *ends.T, color=np.where(missed, "C1", "C0"), lw=1.5)
    axis.axvline(truth[1], color="black", lw=0.8)
    axis.set_xlabel("k")
    axis.set_title(name)
axes[0].set_ylabel("experiment")
plt.show()
