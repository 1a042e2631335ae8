"""What layers and losses are, written as the guides state them, with plain NumPy over numbers of mpmath.

The stage ``describe`` has no part in them, but for layers of the user's own: a certificate compares what that stage
makes of a model with these. ``functions`` has activations and losses, ``layers``, ``windows`` and ``recurrent`` one
function for each kind of layer, ``network`` the values of a whole model. To add a layer, write its function, and enter
it in ``kinds``.

A function is called with the layer, which has the options of the user, with the parameters of its use, and with one
array for each input: of the shape (samples, ...), as what it returns.
"""

from nncodegen.certify.definitions.kinds import is_defined
from nncodegen.certify.definitions.network import Made, as_written, described_alone, values_of

__all__ = ["Made", "as_written", "described_alone", "is_defined", "values_of"]
