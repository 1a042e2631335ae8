"""
A plate of dose-response curves
===============================

An assay measures how the optical density of a well grows with the concentration of a protein. To read a concentration
from a density later, each run of the assay needs a curve of its own: the logistic curve of four parameters, fitted to
its sixteen wells. ``fit_many`` fits all runs at once, each in a lane of the CPU's vectors.

The data are an ELISA of the enzyme DNase in rat serum, eleven runs, from M. Davidian and D. M. Giltinan, Nonlinear
Models for Repeated Measurement Data, 1995, section 5.2.4.
"""

import matplotlib.pyplot as plt
import numpy as np
from sympy import symbols

import nncodegen as nn

# ng/ml, two wells for each
concentration = np.repeat(12.5 / 2.0 ** np.array([8, 6, 5, 4, 3, 2, 1, 0]), 2)
wells = """
  17   18  121  124  206  215  377  374  614  609 1019 1001 1334 1364 1730 1710
  45   50  137  123  225  207  401  383  672  681 1116 1078 1554 1526 1932 1914
  70   68  173  165  277  248  434  426  703  689 1067 1077 1629 1479 2003 1884
  11   16  118  108  200  206  364  360  620  640  979  973 1424 1399 1740 1732
  35   35  132  135  224  220  385  390  658  647 1060 1031 1425 1409 1750 1738
  86  103  191  189  272  277  440  426  686  676 1062 1072 1424 1459 1768 1806
  94   92  182  182  282  273  444  439  686  668 1052 1035 1409 1392 1759 1739
  54   54  152  148  226  222  392  383  658  644 1043 1002 1466 1381 1743 1724
  32   43  142  155  239  242  420  395  624  705 1046 1026 1398 1405 1693 1729
  52   94  164  166  259  256  439  439  690  701 1042 1075 1340 1406 1699 1708
  47   57  159  155  246  252  427  411  704  684  994  980 1421 1385 1715 1721
"""  # one row for each run
density = np.array(wells.split(), float).reshape(11, 16) / 1000

# %%
# The formula is written as a text. ``ec50`` is the concentration at which the curve has gone half of its way from
# ``bottom`` to ``top``, and ``slope`` says how steep it is there.

x, y = symbols("x y")
logistic = "bottom + (top - bottom)*x**slope/(x**slope + ec50**slope)"
start = {"bottom": 0, "top": 2, "ec50": 3, "slope": 1}
assay = nn.build(nn.Model("assay", inputs=x, targets=y, parameters=start, output=logistic))
runs = assay.fit_many(concentration, density)

print(f"{runs.success.sum()} of {len(density)} runs converged,")
print(f"after {runs.iterations.max()} steps at most\n")
print("run    ", "".join(f"{name:>18}" for name in assay.parameter_names))
for number, (values, errors) in enumerate(zip(runs.parameters, runs.standard_errors), start=1):
    cells = [f"{value:10.3f} ± {error:5.3f}" for value, error in zip(values, errors)]
    print(f"{number:3}    ", "".join(cells))

# %%
# All curves in one picture. The second and the third run end higher than the others, so that one curve for all runs
# would misread the concentrations of both.

fine = np.geomspace(0.04, 14, 200)
fig, axes = plt.subplots(figsize=(7, 4.2))
colours = plt.cm.viridis(np.linspace(0, 0.9, len(density)))
for values, wells, colour in zip(runs.parameters, density, colours):
    axes.plot(fine, assay.predict(values, fine[:, None]), color=colour, linewidth=1.2)
    axes.plot(concentration, wells, "o", color=colour, markersize=3.5)
axes.set(
    xscale="log",
    xlabel="concentration of DNase, ng/ml",
    ylabel="optical density",
    title="Eleven runs of an ELISA",
)
plt.show()

# %%
# Reading a concentration is then the formula the other way round. The runs agree far better in what they say of a
# concentration than in the densities that they measure:

bottom, top, ec50, slope = runs.parameters.T
measured = density[:, 10:12].mean(axis=1)  # the wells that held 3.125 ng/ml
read = ec50 * ((measured - bottom) / (top - measured)) ** (1 / slope)
print(f"densities       {measured.min():.3f} to {measured.max():.3f}")
print(f"concentrations  {read.min():.3f} to {read.max():.3f} ng/ml, where there was 3.125")
