"""The classical method of order 4."""

from nncodegen.compiler.motion.method import RungeKutta

RK4 = RungeKutta(
    name="rk4",
    order=4,
    stages=(
        ("1/2", "1/2"),
        ("1/2", 0, "1/2"),
        (1, 0, 0, 1),
    ),
    weights=("1/6", "1/3", "1/3", "1/6"),
    source="W. Kutta, Beitrag zur naeherungsweisen Integration totaler Differentialgleichungen, "
    "Zeitschrift fuer Mathematik und Physik 46 (1901), 435-453",
)
