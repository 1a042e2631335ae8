"""
Doses: a model of two compartments
==================================

A medicine is swallowed, absorbed into the blood, eliminated from it, and exchanged with tissue. Pharmacologists estimate
how fast from a table with a row for each dose and each sample of blood. The concentrations are simulated here with known
parameters, so that it can be seen whether they are found.
"""

import matplotlib.pyplot as plt
import numpy as np

import nncodegen as nn

random = np.random.default_rng(7)

# %%
# Amounts are in mg, volumes in litres, clearances in litres per hour. At the time of a dose, the depot jumps: jumps says
# what it becomes. The amounts are a column, which has a number for each time of a patient, 0 where there is no dose.
# Steps are chosen by an estimate of their error, and end at each dose.


def model(times, name):
    """The equations of absorption, elimination and exchange, for a number of times."""
    return nn.Dynamics(
        [
            "depot' = -ka*depot",
            "blood' = ka*depot - cl/v1*blood - q/v1*blood + q/v2*tissue",
            "tissue' = q/v1*blood - q/v2*tissue",
        ],
        initial={"depot": 0, "blood": 0, "tissue": 0},
        parameters={"ka": 0.7, "cl": 3, "v1": 30, "q": 5, "v2": 50},
        columns="amount",
        jumps={"depot": "depot + amount"},
        observed={"concentration": "blood/v1"},
        times=times,
        name=name,
    )


# %%
# Each patient takes 100 mg every 12 hours, but one forgets the second dose, and another one takes twice as much then.
# The table has the rows of all patients: who, when, the amount of a dose, and whether blood was taken.

truth = {"ka": 1.2, "cl": 4.0, "v1": 20.0, "q": 3.0, "v2": 40.0}
doses = {patient: {0: 100, 12: 100, 24: 100} for patient in "ABCDEF"}
del doses["B"][12]
doses["E"][12] = 200
samples = (0.5, 1, 2, 4, 8, 11.5, 13, 16, 23, 25, 28, 34, 48)
table = [
    (patient, time, amount, False)
    for patient, given in doses.items()
    for time, amount in given.items()
]
table += [
    (patient, round(time + random.uniform(-0.1, 0.1), 2), 0, True)
    for number, patient in enumerate(doses)
    for time in samples[: len(samples) - number]  # some leave earlier
]
table.sort(key=lambda row: row[:2])
print(*table[:4], sep="\n")

# %%
# One patient is one sample, a row of X: times, then amounts. Those with fewer rows repeat the last time, without a dose.
# A row of Y has the concentrations, NaN where none is measured; at the time of a dose, it would be that just before.


def rows_of(table):
    """Times, amounts, and whether blood was taken, in a row for each patient."""
    longest = max(sum(row[0] == patient for row in table) for patient in doses)
    arrays = []
    for patient in doses:
        rows = np.array([row[1:] for row in table if row[0] == patient])
        padding = np.tile([rows[-1, 0], 0, False], (longest - len(rows), 1))
        arrays.append(np.vstack([rows, padding]).T)
    return np.array(arrays).transpose(1, 0, 2)


times, amounts, taken = rows_of(table)
X = np.hstack([times, amounts])
module = nn.build(model(times.shape[1], "two_compartments"))
exact = module.predict([*truth.values()], X)
Y = exact * (1 + 0.08 * random.normal(size=exact.shape))
Y[taken == 0] = np.nan

# %%
# The fit of all patients together starts far away. The errors of concentrations are a part of these, so sigma is
# proportional to them.

result = module.fit(X, Y, sigma=np.where(np.isnan(Y), 1, 0.08 * Y), absolute_sigma=True)
print(result)
for name, error in zip(result.names, result.standard_errors, strict=True):
    away = (result[name] - truth[name]) / error
    print(f"{name} is {away:+.1f} standard errors from {truth[name]}")

# %%
# The curves of three patients, with a value every quarter of an hour. Doses are at times of this grid.

hours = np.linspace(0, 48, 193)
given = np.array([[doses[one].get(hour, 0) for hour in hours] for one in doses])
fine = nn.build(model(len(hours), "two_compartments_fine"), fit=False)
curves = fine.predict(result.parameters, np.hstack([np.tile(hours, (len(doses), 1)), given]))

figure, axes = plt.subplots(figsize=(7, 3.6))
for patient, color in zip("ABE", ("C0", "C1", "C2"), strict=True):
    number = "ABCDEF".index(patient)
    told = ", ".join(f"{amount} mg" for amount in doses[patient].values())
    axes.plot(hours, curves[number], color=color, label=f"{patient}: {told}")
    axes.plot(times[number], Y[number], "o", color=color)
axes.set(xlabel="hours", ylabel="mg per litre")
axes.set_xticks(range(0, 49, 12))
axes.legend()
plt.show()
