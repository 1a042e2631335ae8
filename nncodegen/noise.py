"""The noise of data: distributions of targets about the outputs of a model, whose scale is a formula.

``nn.Model(..., noise="a + b*output")`` and ``nn.Dynamics(..., noise=...)`` take such a distribution, or the formula
alone for a normal one. A fit then estimates the parameters of the noise with all others, by maximum likelihood.
"""

from nncodegen.compiler.describe.noise import Noise, laplace, log_laplace, log_normal, normal

__all__ = ["Noise", "laplace", "log_laplace", "log_normal", "normal"]
