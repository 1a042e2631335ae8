"""
A pendulum: a law of motion, learned
====================================

A pendulum of one metre, let go at some angle, is simple enough to be known exactly (its motion is an elliptic function
of Jacobi), and far from a harmonic oscillator when it swings wide. A network is shown a few swings, with angles,
speeds and accelerations as a camera would measure them, and has to find the law: which acceleration belongs to which
state. Then it has to predict swings that it was not shown.

The data are simulated from the exact solution, with noise on what is measured.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import ellipj, ellipk

import nncodegen as nn

G = 9.81


def swing(amplitude, times):
    """Angle and speed of a pendulum of 1 m that is let go at an angle, in radians."""
    modulus, rate = np.sin(amplitude / 2) ** 2, np.sqrt(G)
    sn, cn, _, _ = ellipj(ellipk(modulus) - rate * times, modulus)
    return 2 * np.arcsin(np.sqrt(modulus) * sn), -2 * rate * np.sqrt(modulus) * cn


random = np.random.default_rng(0)
times = np.linspace(0, 3, 120)
swings = [swing(amplitude, times) for amplitude in (0.4, 1.0, 1.7, 2.4, 2.9)]
states = np.concatenate([np.column_stack(one) for one in swings])
forces = -G * np.sin(states[:, :1])
states += 0.01 * random.normal(size=states.shape)
forces += 0.1 * random.normal(size=forces.shape)

# %%
# A loss without further word is the mean squared error; the method of Levenberg and Marquardt, which small networks can
# be trained with when they are built with ``fit=True``, needs few epochs.

law = nn.build(
    nn.Sequential([nn.Dense(10, "tanh"), nn.Dense(1)], inputs=2, name="law"), fit=True
)
result = law.train(states, forces, optimizer="lm", epochs=200)
print(result.message, result.loss)

# %%
# To predict a swing, the learned law is integrated by the method of Runge and Kutta, one call of ``predict`` for each
# force. One row is what such a call is made for: it takes about a microsecond.


def forecast(amplitude, steps, step=0.01):
    """Angles and speeds as the network foresees them, from rest at an angle."""

    def change(state):
        return np.array([state[1], law.predict(result.parameters, state[None])[0, 0]])

    path = [np.array([amplitude, 0.0])]
    for _ in range(steps):
        state = path[-1]
        k1 = change(state)
        k2 = change(state + step / 2 * k1)
        k3 = change(state + step / 2 * k2)
        k4 = change(state + step * k3)
        path.append(state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
    return np.array(path).T


fine = np.arange(601) * 0.01
for amplitude in (0.7, 2.1):
    error = abs(forecast(amplitude, 600)[0] - swing(amplitude, fine)[0]).max()
    period = 4 * ellipk(np.sin(amplitude / 2) ** 2) / np.sqrt(G)
    swung, off = 6 / period, np.degrees(error)
    print(f"from {amplitude} radians: {swung:.1f} swings, foreseen to {off:.1f} degrees")

# %%
# Left, the states that were measured, and two swings between them: exact in grey, foreseen in colour. Right, the angle
# of the wider one over time. A harmonic oscillator would have been wrong after one swing.

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
left.plot(*states.T, ".", color="0.6", markersize=2, label="measured")
for number, amplitude in enumerate((0.7, 2.1)):
    left.plot(*swing(amplitude, fine), color="0.35", linewidth=4, alpha=0.4)
    left.plot(
        *forecast(amplitude, 600), color=f"C{number}", linewidth=1.2, label=f"from {amplitude}"
    )
left.set(xlabel="angle, radians", ylabel="speed, radians/s")
left.legend(loc="upper right")
right.plot(fine, swing(2.1, fine)[0], color="0.35", linewidth=4, alpha=0.4, label="exact")
right.plot(fine, forecast(2.1, 600)[0], color="C1", linewidth=1.2, label="foreseen")
right.plot(fine, 2.1 * np.cos(np.sqrt(G) * fine), ":", color="0.35", label="harmonic")
right.set(xlabel="seconds", ylabel="angle, radians")
right.legend(loc="lower left")
plt.show()
