"""
A spectrum: the temperature of the sky
======================================

The satellite COBE measured the cosmic microwave background at 43 wave numbers. Its spectrum is that of a black body,
Planck's formula with one parameter: the temperature of the universe. The data, with their standard deviations, are
those of D. J. Fixsen et al., The Astrophysical Journal 473 (1996) 576, table 4.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.constants import c, h, k
from sympy import symbols

import nncodegen as nn

wave_number = """
2.27 2.72 3.18 3.63 4.08 4.54 4.99 5.45 5.90 6.35 6.81 7.26 7.71 8.17 8.62 9.08 9.53 9.98
10.44 10.89 11.34 11.80 12.25 12.71 13.16 13.61 14.07 14.52 14.97 15.43 15.88 16.34 16.79
17.24 17.70 18.15 18.61 19.06 19.51 19.97 20.42 20.87 21.33
"""  # 1/cm
intensity = """
200.723 249.508 293.024 327.770 354.081 372.079 381.493 383.478 378.901 368.833 354.063
336.278 316.076 293.924 271.432 248.239 225.940 204.327 183.262 163.830 145.750 128.835
113.568 99.451 87.036 75.876 65.766 57.008 49.223 42.267 36.352 31.062 26.580 22.644 19.255
16.391 13.811 11.716 9.921 8.364 7.087 5.801 4.523
"""  # MJy/sr
sigma = """
14 19 25 23 22 21 18 18 16 14 13 12 11 10 11 12 14 16 18 22 22 23 23 23 22 21 20 19 19 19 21
23 26 28 30 32 33 35 41 55 88 155 282
"""  # kJy/sr
columns = (wave_number, intensity, sigma)
wave_number, intensity, sigma = (np.array(text.split(), float) for text in columns)
sigma /= 1000

# %%
# Planck's formula in the units of the table. ``exp(...) - 1`` loses its digits where the exponent is small, as it is at
# long waves; the compiler finds that by itself and writes it as ``expm1``.

v, I = symbols("v I")
factor = 2 * h * c * 100**3 * 1e26 / 1e6  # from W/(m**2 Hz sr) to MJy/sr, and from 1/m to 1/cm
exponent = 100 * h * c / k
planck = nn.build(
    nn.Model(
        "planck",
        inputs=v,
        targets=I,
        parameters={"T": 3},
        output=f"{factor}*v**3/(exp({exponent}*v/T) - 1)",
    )
)
result = planck.fit(wave_number, intensity, sigma=sigma, absolute_sigma=True)
print(result)

# %%
# The sky has 2.725 K. The standard error of 0.01 mK is that of the measured points alone: what the calibration of the
# thermometers adds, the article says, is larger. In the upper picture even 400 standard deviations are hard to see.

fine = np.linspace(1, 22, 400)
fig, (above, below) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, height_ratios=(3, 1.3))
above.plot(
    fine,
    planck.predict(result.parameters, fine[:, None]),
    label=f"black body of {result['T']:.4f} K",
)
above.errorbar(
    wave_number,
    intensity,
    400 * sigma,
    fmt="o",
    markersize=3,
    color="C1",
    label="COBE, with 400 sigma",
)
above.set(ylabel="MJy/sr")
above.legend()
below.axhline(0, color="C0")
below.errorbar(
    wave_number,
    1000 * (intensity - planck.predict(result.parameters, wave_number[:, None])[:, 0]),
    1000 * sigma,
    fmt="o",
    markersize=3,
    color="C1",
)
below.set(xlabel="wave number, 1/cm", ylabel="residual, kJy/sr")
plt.show()
