"""The certificate of a module: its results compared with exact ones, and the stage and step where a fault begins.

``independent_model`` turns the user's model into a program, ``exact`` computes the values of a program in many digits,
with the derivatives of its loss, and ``precision`` finds how many digits are enough. ``examination_points`` draws the
points at which a module is examined, ``results`` compares its results, and ``conditions`` explains the errors.
``description`` writes a model to the certificate, and reads it.
"""

from nncodegen.certificates.interface import certify, verify

__all__ = ["certify", "verify"]
