"""
A thousand models at once
=========================

A crash test: the acceleration of a dummy's head in the milliseconds after a motorcycle has hit something (B. W.
Silverman, Journal of the Royal Statistical Society B 47, 1985). One network gives one curve. How far is it to be
trusted? The bootstrap answers by training a thousand networks, each on the crash test as it might have come out.
``train_many`` trains them side by side, in the lanes of the CPU's vectors.
"""

import matplotlib.pyplot as plt
import numpy as np

import nncodegen as nn

time = """
2.4 2.6 3.2 3.6 4.0 6.2 6.6 6.8 7.8 8.2 8.8 8.8 9.6 10.0 10.2 10.6 11.0 11.4 13.2 13.6 13.8
14.6 14.6 14.6 14.6 14.6 14.6 14.8 15.4 15.4 15.4 15.4 15.6 15.6 15.8 15.8 16.0 16.0 16.2
16.2 16.2 16.4 16.4 16.6 16.8 16.8 16.8 17.6 17.6 17.6 17.6 17.8 17.8 18.6 18.6 19.2 19.4
19.4 19.6 20.2 20.4 21.2 21.4 21.8 22.0 23.2 23.4 24.0 24.2 24.2 24.6 25.0 25.0 25.4 25.4
25.6 26.0 26.2 26.2 26.4 27.0 27.2 27.2 27.2 27.6 28.2 28.4 28.4 28.6 29.4 30.2 31.0 31.2
32.0 32.0 32.8 33.4 33.8 34.4 34.8 35.2 35.2 35.4 35.6 35.6 36.2 36.2 38.0 38.0 39.2 39.4
40.0 40.4 41.6 41.6 42.4 42.8 42.8 43.0 44.0 44.4 45.0 46.6 47.8 47.8 48.8 50.6 52.0 53.2
55.0 55.0 55.4 57.6
"""  # milliseconds
acceleration = """
0.0 -1.3 -2.7 0.0 -2.7 -2.7 -2.7 -1.3 -2.7 -2.7 -1.3 -2.7 -2.7 -2.7 -5.4 -2.7 -5.4 0.0 -2.7
-2.7 0.0 -13.3 -5.4 -5.4 -9.3 -16.0 -22.8 -2.7 -22.8 -32.1 -53.5 -54.9 -40.2 -21.5 -21.5
-50.8 -42.9 -26.8 -21.5 -50.8 -61.7 -5.4 -80.4 -59.0 -71.0 -91.1 -77.7 -37.5 -85.6 -123.1
-101.9 -99.1 -104.4 -112.5 -50.8 -123.1 -85.6 -72.3 -127.2 -123.1 -117.9 -134.0 -101.9
-108.4 -123.1 -123.1 -128.5 -112.5 -95.1 -81.8 -53.5 -64.4 -57.6 -72.3 -44.3 -26.8 -5.4
-107.1 -21.5 -65.6 -16.0 -45.6 -24.2 9.5 4.0 12.0 -21.5 37.5 46.9 -17.4 36.2 75.0 8.1 54.9
48.2 46.9 16.0 45.6 1.3 75.0 -16.0 -54.9 69.6 34.8 32.1 -37.5 22.8 46.9 10.7 5.4 -1.3 -21.5
-13.3 30.8 -10.7 29.4 0.0 -10.7 14.7 -1.3 0.0 10.7 10.7 -26.8 -14.7 -13.3 0.0 10.7 -14.7
-2.7 10.7 -2.7 10.7
"""  # g
time, acceleration = (np.array(text.split(), float) for text in (time, acceleration))

# %%
# Each of the thousand learns from 133 points, drawn from the 133 with repetition: X and Y have a first axis for the
# models. Each begins with weights of its own, too.

models = 1000
drawn = np.random.default_rng(0).integers(len(time), size=(models, len(time)))
X, Y = (time - 30) / 15, acceleration / 50

network = nn.build(
    nn.Sequential([nn.Dense(12, "tanh"), nn.Dense(1)], inputs=1, name="crash"),
    precision="float32",
)
many = network.train_many(
    X[drawn][:, :, None],
    Y[drawn][:, :, None],
    models=models,
    optimizer="adam",
    learning_rate=0.03,
    epochs=1500,
    l2=1e-4,
    threads=2,
    history=False,
)
print(f"{models:,} networks of {network.parameter_count} parameters")
print(f"losses from {many.loss.min():.3f} to {many.loss.max():.3f}")

# %%
# The curves of all, and the band that holds nine tenths of them. It is narrow where the head rests, and wide where the
# tests scatter.

fine = np.linspace(time[0], time[-1], 200)
curves = 50 * np.array(
    [network.predict(one, ((fine - 30) / 15)[:, None])[:, 0] for one in many.parameters]
)
low, middle, high = np.quantile(curves, (0.05, 0.5, 0.95), axis=0)

fig, axes = plt.subplots(figsize=(7, 4.2))
axes.plot(fine, curves[:150].T, color="C0", alpha=0.06, linewidth=0.8, rasterized=True)
axes.fill_between(fine, low, high, color="C0", alpha=0.25, label="nine tenths of the networks")
axes.plot(fine, middle, color="C0", linewidth=2, label="their median")
axes.plot(time, acceleration, "o", color="C1", markersize=3, label="measured")
axes.set(xlabel="milliseconds after the impact", ylabel="acceleration, g", ylim=(-150, 100))
axes.legend()
plt.show()
