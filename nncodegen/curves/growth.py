"""Decays and growth over time."""

from __future__ import annotations

from nncodegen.curves.curve import CurveParameter, Record, linear

RATE = CurveParameter("rate", "relative change per unit of x", 0)
TOP = linear("top", "value that is approached at last")
MIDDLE = CurveParameter("middle", "place of the steepest growth")

exponential = Record(
    "exponential",
    "amplitude*exp(-rate*x)",
    "an exponential decay, or growth where the rate is negative",
    (linear("amplitude", "value at x = 0"), CurveParameter("rate", "relative decrease per unit of x")),
    "E. Rutherford, F. Soddy, Phil. Mag. 4, 370, 1902",
    ("rate_of_decay(x, y)",),
)

double_exponential = Record(
    "double_exponential",
    "fast*exp(-fast_rate*x) + slow*exp(-slow_rate*x)",
    "the sum of two exponential decays",
    (
        linear("fast", "value of the first at x = 0"),
        CurveParameter("fast_rate", "rate of the first"),
        linear("slow", "value of the second at x = 0"),
        CurveParameter("slow_rate", "rate of the second"),
    ),
    "C. Lanczos, Applied Analysis, 1956, section 4.23",
    ("3*positive_rate(x, y)", "positive_rate(x, y)/2"),
)

stretched_exponential = Record(
    "stretched_exponential",
    "amplitude*exp(-(rate*x)**beta)",
    "a decay with many rates; for x from 0",
    (
        linear("amplitude", "value at x = 0"),
        CurveParameter("rate", "inverse of the time after which 1/e is left", 0),
        CurveParameter("beta", "1 for an exponential, below 1 for a slower end", 0),
    ),
    "R. Kohlrausch, Ann. Phys. 167, 179, 1854",
    ("positive_rate(x, y)", "1"),
)

saturating_exponential = Record(
    "saturating_exponential",
    "top*(1 - exp(-rate*x))",
    "an exponential approach, as of a condenser that is charged",
    (TOP, RATE),
    "E. A. Mitscherlich, Landw. Jahrb. 38, 537, 1909",
    ("positive_rate(x, y)",),
)

bateman = Record(
    "bateman",
    "dose*absorption/(absorption - elimination)*(exp(-elimination*x) - exp(-absorption*x))",
    "the concentration of a substance that is absorbed and eliminated",
    (
        linear("dose", "amount divided by the volume"),
        CurveParameter("absorption", "rate of absorption", 0),
        CurveParameter("elimination", "rate of elimination", 0),
    ),
    "H. Bateman, Proc. Camb. Phil. Soc. 15, 423, 1910",
    ("2.5/summit(x, y)", "0.5/summit(x, y)"),
)

logistic = Record(
    "logistic",
    "top/(1 + exp(-rate*(x - middle)))",
    "growth that slows down symmetrically",
    (TOP, RATE, MIDDLE),
    "P.-F. Verhulst, Corresp. math. phys. 10, 113, 1838",
    ("1/width_of_step(x, y)", "middle_of_step(x, y)"),
)

gompertz = Record(
    "gompertz",
    "top*exp(-exp(-rate*(x - middle)))",
    "growth that slows down early",
    (TOP, RATE, MIDDLE),
    "B. Gompertz, Phil. Trans. R. Soc. 115, 513, 1825",
    ("1/width_of_step(x, y)", "middle_of_step(x, y)"),
)

richards = Record(
    "richards",
    "top*(1 + exp(-rate*(x - middle)))**(-asymmetry)",
    "growth that slows down at any height; logistic for asymmetry = 1",
    (
        TOP,
        RATE,
        CurveParameter("middle", "place of the steepest growth, for asymmetry = 1"),
        CurveParameter("asymmetry", "steepness of the beginning", 0),
    ),
    "F. J. Richards, J. Exp. Bot. 10, 290, 1959",
    ("1/width_of_step(x, y)", "middle_of_step(x, y)", "1"),
)

von_bertalanffy = Record(
    "von_bertalanffy",
    "top*(1 - exp(-rate*(x - origin)))",
    "the length of a fish",
    (TOP, RATE, CurveParameter("origin", "x at which the length would be 0")),
    "L. von Bertalanffy, Hum. Biol. 10, 181, 1938",
    ("positive_rate(x, y)", "x[0] - span(x)/20"),
)

weibull_growth = Record(
    "weibull_growth",
    "top*(1 - exp(-(x/scale)**shape))",
    "a share that is reached after a time; for x from 0",
    (
        TOP,
        CurveParameter("scale", "time after which 1 - 1/e is reached", 0),
        CurveParameter("shape", "1 for an exponential approach, above 1 for a late one", 0),
    ),
    "W. Weibull, J. Appl. Mech. 18, 293, 1951",
    ("1.3*max(middle_of_step(x, y), span(x)/1000)", "1.5"),
)
