"""
Fluorescence: peaks without starting values
===========================================

Three dyes in one sample emit in bands that overlap. The spectrum is a sum of three Gaussians on a sloping background:
eleven parameters, and nobody wants to guess the start of each. The counts are drawn here from known bands, so that it
can be seen whether they are found.
"""

import matplotlib.pyplot as plt
import numpy as np

import nncodegen as nn
from nncodegen import curves

random = np.random.default_rng(4)
wavelength = np.linspace(480, 620, 281)  # nm
dyes = {"a": (900, 512, 9), "b": (450, 541, 12), "c": (220, 578, 10)}
expected = 40 + 0.1 * (wavelength - 480)
for height, centre, width in dyes.values():
    expected = expected + height * np.exp(-(((wavelength - centre) / width) ** 2) / 2)
counts = random.poisson(expected)

# %%
# Curves by name are added, with a prefix for each. Such a sum knows the bounds of its parameters, and computes a start
# from data. Areas are derived quantities: their errors follow from the covariance of height and width.

spectrum = curves.line()
for dye in dyes:
    spectrum += curves.gaussian(f"{dye}_")
areas = {f"{dye}_area": f"{dye}_height*{dye}_sigma*sqrt(2*π)" for dye in dyes}
module = nn.build(nn.Model("fluorescence", "x", "y", output=spectrum, derived=areas))
result = module.fit(
    wavelength,
    counts,
    p0=spectrum.start(wavelength, counts),
    bounds=spectrum.bounds,
    sigma=np.sqrt(counts),
    absolute_sigma=True,
)
print(result)

# %%
# All centres are found within three standard errors. The start, in the last column of the table, was up to half of a
# width away from them, and twice as wide.

errors = dict(zip(result.names, result.standard_errors, strict=True))
for dye, (_, true, _) in dyes.items():
    away = (result[f"{dye}_centre"] - true) / errors[f"{dye}_centre"]
    print(f"{dye}: {away:+.1f} standard errors from {true} nm")

fig, (above, below) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, height_ratios=(3, 1.3))
above.plot(wavelength, counts, ".", markersize=3, color="0.6", label="counts")
above.plot(wavelength, result.predict(wavelength), color="C0", label="sum")
background = result["intercept"] + result["slope"] * wavelength
for dye in dyes:
    height, centre, width = (result[f"{dye}_{name}"] for name in ("height", "centre", "sigma"))
    band = height * np.exp(-(((wavelength - centre) / width) ** 2) / 2)
    label = f"{centre:.1f} nm, area {result[f'{dye}_area']:.0f}"
    above.fill_between(wavelength, background, background + band, alpha=0.4, label=label)
above.set(ylabel="counts")
above.legend()
below.axhline(0, color="C0")
below.plot(wavelength, -result.residuals, ".", markersize=3, color="0.6")
below.set(xlabel="wavelength, nm", ylabel="residual, sigma")
plt.show()
