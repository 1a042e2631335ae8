"""Peaks. Their ``height`` is that of the formula's peak shape; a dip has a negative one."""

from __future__ import annotations

from dataclasses import replace

from nncodegen.curves.curve import CurveParameter, Record, linear

HEIGHT = linear("height", "value at the centre")
CENTRE = CurveParameter("centre", "place of the maximum")
SIGMA = CurveParameter("sigma", "standard deviation", 0)
GAMMA = CurveParameter("gamma", "half of the width at half of the height", 0)

PLACE = "centre_of_peak(x, y)"
OF_GAUSSIAN, OF_LORENTZIAN = "width_of_peak(x, y)/sqrt(2*pi)", "width_of_peak(x, y)/pi"
"""Estimates of the centre and the width: the area of a Gaussian of height 1 is sqrt(2*pi)*sigma."""

gaussian = Record(
    "gaussian",
    "height*exp(-((x - centre)/sigma)**2/2)",
    "a Gaussian peak; its area is sqrt(2*pi)*height*sigma",
    (HEIGHT, CENTRE, SIGMA),
    "C. F. Gauss, Theoria motus corporum coelestium, 1809",
    (PLACE, OF_GAUSSIAN),
)

lorentzian = Record(
    "lorentzian",
    "height/(1 + ((x - centre)/gamma)**2)",
    "a Lorentzian peak; its area is pi*height*gamma",
    (HEIGHT, CENTRE, GAMMA),
    "H. A. Lorentz, The width of spectral lines, 1914",
    (PLACE, OF_LORENTZIAN),
)

pseudo_voigt = Record(
    "pseudo_voigt",
    "height*(fraction/(1 + ((x - centre)/gamma)**2) + (1 - fraction)*exp(-log(2)*((x - centre)/gamma)**2))",
    "a mixture of a Lorentzian and a Gaussian peak of the same width",
    (HEIGHT, CENTRE, GAMMA, CurveParameter("fraction", "share of the Lorentzian", 0, 1)),
    "G. K. Wertheim et al., Rev. Sci. Instrum. 45, 1369, 1974",
    (PLACE, OF_LORENTZIAN, "0.5"),
)

HALF_OF_EACH = (PLACE, f"{OF_GAUSSIAN}/2", f"{OF_LORENTZIAN}/2")
"""Estimates of the centre, and half of the widths of a Gaussian and of a Lorentzian peak."""

voigt = Record(
    "voigt",
    "height*faddeeva_real((x - centre)/(sqrt(2)*sigma), gamma/(sqrt(2)*sigma))/erfcx(gamma/(sqrt(2)*sigma))",
    "a Voigt peak, a Gaussian convolved with a Lorentzian; its area is "
    "sqrt(2*pi)*height*sigma/erfcx(gamma/(sqrt(2)*sigma))",
    (
        HEIGHT,
        CENTRE,
        replace(SIGMA, meaning="standard deviation of the Gaussian"),
        replace(GAMMA, meaning="half of the width of the Lorentzian at half of its height"),
    ),
    "B. H. Armstrong, J. Quant. Spectrosc. Radiat. Transfer 7, 61, 1967",
    HALF_OF_EACH,
)

_WIDTH = (
    "(f_g**5 + 2.69269*f_g**4*f_l + 2.42843*f_g**3*f_l**2 + 4.47163*f_g**2*f_l**3 + 0.07842*f_g*f_l**4 + f_l**5)**0.2"
)


def _thompson() -> str:
    """Return the formula of Thompson, Cox and Hastings in sigma and gamma."""
    width = _WIDTH.replace("f_g", "(2*sqrt(2*log(2))*sigma)").replace("f_l", "(2*gamma)")
    ratio, z = f"(2*gamma/{width})", f"((x - centre)/({width}/2))"
    share = f"(1.36603*{ratio} - 0.47719*{ratio}**2 + 0.11116*{ratio}**3)"
    return f"height*({share}/(1 + {z}**2) + (1 - {share})*exp(-log(2)*{z}**2))"


thompson_voigt = Record(
    "thompson_voigt",
    _thompson(),
    "the pseudo-Voigt of Thompson, Cox and Hastings, an approximation of voigt: it differs from it by up to 1.6% of "
    "the height, and fitted to a Voigt peak with gamma from sigma/10 to 5*sigma, it gives a gamma up to 31% too small "
    "and a sigma up to 22% too large",
    (HEIGHT, CENTRE, SIGMA, GAMMA),
    "P. Thompson, D. E. Cox, J. B. Hastings, J. Appl. Cryst. 20, 79, 1987",
    HALF_OF_EACH,
)

skewed_gaussian = Record(
    "skewed_gaussian",
    "height*exp(-((x - centre)/sigma)**2/2)*erfc(-skewness*(x - centre)/(sqrt(2)*sigma))",
    "a skew normal peak: a Gaussian peak times a step",
    (
        HEIGHT,
        CurveParameter("centre", "centre of the Gaussian and of the step"),
        SIGMA,
        CurveParameter("skewness", "steepness of the step; above 0, the tail is on the right"),
    ),
    "A. Azzalini, Scand. J. Statist. 12, 171, 1985",
    (PLACE, OF_GAUSSIAN, "0.5"),
)

exponential_gaussian = Record(
    "exponential_gaussian",
    "height*exp(-((x - centre)/sigma)**2/2)*erfcx((sigma/tau - (x - centre)/sigma)/sqrt(2))",
    "a Gaussian peak with an exponential tail, as of chromatography",
    (
        linear("height", "factor of the peak"),
        CurveParameter("centre", "centre of the Gaussian"),
        SIGMA,
        CurveParameter("tau", "decay length of the tail"),
    ),
    "E. Grushka, Anal. Chem. 44, 1733, 1972",
    (PLACE, OF_GAUSSIAN, OF_GAUSSIAN),
)

log_normal = Record(
    "log_normal",
    "height*exp(-(log(x/centre)/sigma)**2/2)",
    "a peak that is Gaussian over log(x); for x above 0",
    (
        HEIGHT,
        CurveParameter("centre", "place of the maximum", 0),
        CurveParameter("sigma", "standard deviation of log(x)", 0),
    ),
    "J. Aitchison, J. A. C. Brown, The Lognormal Distribution, 1957",
    (f"max({PLACE}, span(x)/1000)", f"max({OF_GAUSSIAN}/max(abs({PLACE}), 1e-300), 0.01)"),
)

pearson7 = Record(
    "pearson7",
    "height*exp(-m*log1p(((x - centre)/gamma)**2*expm1(log(2)/m)))",  # exact for large m, to which Gaussian data lead
    "a Pearson VII peak: Lorentzian for m = 1, Gaussian for large m",
    (HEIGHT, CENTRE, GAMMA, CurveParameter("m", "shape of the wings", 0.5)),
    "M. M. Hall et al., J. Appl. Cryst. 10, 66, 1977",
    (PLACE, OF_LORENTZIAN, "2"),
)

moffat = Record(
    "moffat",
    "height*(1 + ((x - centre)/gamma)**2)**(-beta)",
    "the image of a star through the atmosphere",
    (HEIGHT, CENTRE, CurveParameter("gamma", "width", 0), CurveParameter("beta", "steepness of the wings", 0)),
    "A. F. J. Moffat, Astron. Astrophys. 3, 455, 1969",
    (PLACE, OF_LORENTZIAN, "1.5"),
)

fano = Record(
    "fano",
    "height*(q + (x - centre)/gamma)**2/(1 + ((x - centre)/gamma)**2)",
    "the asymmetric line of a resonance beside a continuum",
    (
        linear("height", "value far from the resonance"),
        CurveParameter("centre", "energy of the resonance"),
        GAMMA,
        CurveParameter("q", "asymmetry"),
    ),
    "U. Fano, Phys. Rev. 124, 1866, 1961",
    tuple(f"extremes(x, y)[{k}]" for k in range(3)),
)

sech_squared = Record(
    "sech_squared",
    "height/cosh((x - centre)/width)**2",
    "the pulse of a laser, or a solitary wave",
    (HEIGHT, CENTRE, CurveParameter("width", "half of the area divided by the height", 0)),
    "D. J. Korteweg, G. de Vries, Phil. Mag. 39, 422, 1895",
    (PLACE, "width_of_peak(x, y)/2"),
)
