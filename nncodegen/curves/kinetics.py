"""Kinetics, and adsorption at equilibrium. x is a concentration or a pressure from 0 on, or a temperature."""

from __future__ import annotations

from nncodegen.curves.curve import CurveParameter, Record, linear

VMAX = linear("vmax", "rate at saturation")
KM = CurveParameter("km", "concentration of half of that rate", 0)
CAPACITY = linear("capacity", "amount at saturation")

DOSE = "half_dose(x, y)"

michaelis_menten = Record(
    "michaelis_menten",
    "vmax*x/(km + x)",
    "the rate of an enzyme",
    (VMAX, KM),
    "L. Michaelis, M. L. Menten, Biochem. Z. 49, 333, 1913",
    (DOSE,),
)

substrate_inhibition = Record(
    "substrate_inhibition",
    "vmax*x/(km + x + x**2/ki)",
    "the rate of an enzyme that much substrate inhibits",
    (VMAX, KM, CurveParameter("ki", "concentration of the inhibition", 0)),
    "J. B. S. Haldane, Enzymes, 1930",
    (DOSE, f"summit(x, y)**2/{DOSE}"),
)

langmuir = Record(
    "langmuir",
    "capacity*affinity*x/(1 + affinity*x)",
    "adsorption on equal places",
    (CAPACITY, CurveParameter("affinity", "constant of the equilibrium", 0)),
    "I. Langmuir, J. Am. Chem. Soc. 40, 1361, 1918",
    (f"1/{DOSE}",),
)

freundlich = Record(
    "freundlich",
    "capacity*x**(1/n)",
    "adsorption on unequal places",
    (linear("capacity", "amount at x = 1"), CurveParameter("n", "intensity", 0)),
    "H. Freundlich, Z. phys. Chem. 57, 385, 1906",
    ("1/max(slope_of_logs(x, y), 0.05)",),
)

sips = Record(
    "sips",
    "capacity*(affinity*x)**n/(1 + (affinity*x)**n)",
    "adsorption between Langmuir's and Freundlich's",
    (
        CAPACITY,
        CurveParameter("affinity", "constant of the equilibrium", 0),
        CurveParameter("n", "1 for equal places", 0),
    ),
    "R. Sips, J. Chem. Phys. 16, 490, 1948",
    (f"1/{DOSE}", "1"),
)

tight_binding = Record(
    "tight_binding",
    "capacity*(x + kd + sites - sqrt((x + kd + sites)**2 - 4*x*sites))/(2*sites)",
    "binding to few sites, which depletes the ligand",
    (
        CAPACITY,
        CurveParameter("kd", "constant of dissociation", 0),
        CurveParameter("sites", "concentration of the sites", 0),
    ),
    "J. F. Morrison, Biochim. Biophys. Acta 185, 269, 1969",
    (f"{DOSE}/2", DOSE),
)

arrhenius = Record(
    "arrhenius",
    "factor*exp(-energy/x)",
    "the rate of a reaction over the temperature",
    (linear("factor", "rate at infinite temperature"), CurveParameter("energy", "activation energy divided by R")),
    "S. Arrhenius, Z. phys. Chem. 4, 226, 1889",
    ("-slope_over_inverse(x, y)",),
)
