"""
A model in a wheel
==================

A fitted model for a colleague who has neither this compiler nor any other: one file that ``pip`` installs, and that
needs NumPy alone. The model is the rate of an enzyme's reaction after L. Michaelis and M. L. Menten, fitted to
measurements with puromycin (M. A. Treloar, Master's thesis, University of Toronto, 1974).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sympy import symbols

import nncodegen as nn

concentration = np.array(
    [0.02, 0.02, 0.06, 0.06, 0.11, 0.11, 0.22, 0.22, 0.56, 0.56, 1.10, 1.10]
)  # ppm
rate = np.array([76, 47, 97, 107, 123, 139, 159, 152, 191, 201, 207, 200])  # counts/min**2

c, r = symbols("c r")
model = nn.Model(
    "enzyme", inputs=c, targets=r, parameters={"V": 100, "K": 1}, output="V*c/(K + c)"
)
result = nn.build(model).fit(concentration, rate)
print(result)

# %%
# ``export`` writes the wheel, with the parameters of the fit inside. It holds the machine code for several CPUs of the
# family, the types for editors, a test of itself, and a command.

folder = Path(tempfile.mkdtemp())
written = nn.export(model, "wheel", folder / "wheel", parameters=result)
(wheel,) = written.paths
print(
    f"{len(wheel.read_bytes()) / 1024:.0f} kB:",
    wheel.name.split("-")[0],
    "for",
    wheel.name.split("-")[2],
)

# %%
# The colleague installs it. Here that is a folder of its own, from which a second Python runs that cannot see this
# compiler: ``-I`` keeps it from looking where we are.


def python(*arguments):
    """Return the output of another Python, which has NumPy and the wheel."""
    code, *others = arguments
    begin = f"import sys; sys.path.insert(0, {str(folder / 'elsewhere')!r}); "
    command = [sys.executable, "-I", "-c", begin + "sys.modules['nncodegen'] = None; " + code]
    return subprocess.run(
        [*command, *others], check=True, capture_output=True, text=True
    ).stdout


install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
subprocess.run([*install, "--target", str(folder / "elsewhere"), str(wheel)], check=True)
(folder / "new.csv").write_text("c\n0.05\n0.3\n0.9\n")
as_main = "import runpy; runpy.run_module('enzyme', run_name='__main__')"
print(python(as_main, "predict", str(folder / "new.csv")))

# %%
# In Python it is a module like any other. The colleague can predict, and fit data of his own:

code = """
import enzyme, numpy as np
print(*enzyme.predict(enzyme.parameters, np.linspace(0, 1.2, 50)[:, None])[:, 0])
again = enzyme.fit([0.05, 0.1, 0.2, 0.4, 0.8], [95, 131, 160, 182, 198])
print(again.parameters.round(3).tolist())
"""
curve, refitted = python(code).splitlines()
print("fitted elsewhere:", refitted)

fig, axes = plt.subplots(figsize=(7, 4))
axes.plot(concentration, rate, "o", color="C1", label="measured")
axes.plot(
    np.linspace(0, 1.2, 50), np.array(curve.split(), float), label="computed by the wheel"
)
axes.set(xlabel="concentration of the substrate, ppm", ylabel="counts/min²")
axes.legend()
plt.show()
