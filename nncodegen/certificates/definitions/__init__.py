"""The definitions of layers and losses, as the guides state them, in plain NumPy over numbers of mpmath.

They do not use the stage ``describe``, except for layers of the user: a certificate compares the results of that stage
with these definitions. ``functions`` has activations and losses, ``layers``, ``windows`` and ``recurrent`` one function
for each kind of layer, ``network`` the values of a whole model. To add a layer, write its function, and enter it in
``kinds``.

A function is called with the layer, which has the options of the user, with the parameters of its use, and with one
array for each input. Inputs and results have the shape (samples, ...).
"""

from nncodegen.certificates.definitions.kinds import is_defined
from nncodegen.certificates.definitions.network import Made, as_written, described_alone, values_of

__all__ = ["Made", "as_written", "described_alone", "is_defined", "values_of"]
