"""
A chain that falls: mechanics from SymPy
========================================

A chain of eight links hangs from a cart that rolls without friction. ``sympy.physics.mechanics`` derives its equations
of motion: a mass matrix of 18 rows and a vector of forces, some six thousand operations. ``nn.lambdify`` compiles both
at once, in about a second and a half; a call then takes some microseconds.
"""

import matplotlib.pyplot as plt
import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp
from sympy.physics.mechanics.models import n_link_pendulum_on_cart

import nncodegen as nn

LINKS = 8

model = n_link_pendulum_on_cart(LINKS, cart_force=False)
states = [*model.q, *model.u]
matrices = [model.mass_matrix_full, model.forcing_full]
constants = sorted(sp.Tuple(*matrices).free_symbols - {sp.Symbol("t")}, key=str)
system = nn.lambdify([states, constants], matrices)

# %%
# The arguments have the nesting of the call: the states as SciPy hands them over, and a list of constants, by name.

values = {"g": 9.81, "m0": 1.0} | {f"l{k}": 1 / LINKS for k in range(LINKS)}
values |= {f"m{k}": 0.1 for k in range(1, LINKS + 1)}
numbers = [values[symbol.name] for symbol in constants]


def motion(time, state):
    """Rates of all states: the mass matrix is solved for them."""
    mass_matrix, forcing = system(state, numbers)
    return np.linalg.solve(mass_matrix, forcing[:, 0])


start = np.zeros(2 * LINKS + 2)
start[1 : LINKS + 1] = np.linspace(1.6, 2.2, LINKS)
times = np.linspace(0, 1.5, 151)
fall = solve_ivp(motion, (0, 1.5), start, t_eval=times, rtol=1e-9, atol=1e-9)

# %%
# The energy is one more expression, for all times at once: it stays the same to the accuracy of the solver.

q, u = model.q, model.u
length, g = sp.Rational(1, LINKS), sp.Float(9.81)
across = [q[0] - length * sum(map(sp.sin, q[1 : k + 1])) for k in range(LINKS + 1)]
up = [length * sum(map(sp.cos, q[1 : k + 1])) for k in range(LINKS + 1)]
rates = dict(zip(q, u, strict=True))
speed = [
    [sum(place.diff(c) * rates[c] for c in q) for place in places] for places in (across, up)
]
masses = [1.0, *[0.1] * LINKS]
energy = sum(
    mass * ((vx**2 + vy**2) / 2 + g * y)
    for mass, vx, vy, y in zip(masses, *speed, up, strict=True)
)
energies = nn.lambdify([states], energy)(fall.y)
print(f"the energy changes by {np.ptp(energies):.1e} J, of {energies[0]:.3f} J")

# %%
# The chain every tenth of a second.

xs, ys = (np.array(each) for each in nn.lambdify([states], [across, up])(fall.y))
figure, axes = plt.subplots()
for k in range(0, len(times), 10):
    axes.plot(xs[:, k], ys[:, k], color=plt.cm.viridis(k / len(times)), marker="o", ms=2, lw=1)
axes.axhline(0, color="0.8", lw=0.8, zorder=0)
axes.set_aspect("equal")
axes.set(xlabel="across, m", ylabel="height, m")
plt.show()
