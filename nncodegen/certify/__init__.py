"""The certificate of a module: its numbers beside exact ones, and the stage and the step in which a fault begins.

``given`` says what a user gave, ``exact`` what a program means in many digits, with the derivatives of its loss, and
``precision`` how many digits are enough. ``points`` draws where a module is examined, ``results`` compares what it
computes, and ``conditions`` explains the errors. ``description`` writes a model to the certificate, and reads it.
"""

from nncodegen.certify.interface import certify, verify

__all__ = ["certify", "verify"]
