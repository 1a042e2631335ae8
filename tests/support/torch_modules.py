"""Stand-ins for modules of PyTorch, where it is not installed: what ``from_torch`` reads of them."""

import numpy as np


class Tensor:
    """A parameter: values that are asked for in the way of PyTorch."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.dtype = f"torch.{self.values.dtype}"

    def detach(self):
        return self

    cpu = detach

    def double(self):
        return Tensor(self.values.astype(np.float64))

    def numpy(self):
        return self.values


class Module:
    def __init__(self, *children, **attributes):
        self.children = children
        self.__dict__.update(attributes)

    def __iter__(self):
        return iter(self.children)

    def __repr__(self):
        return type(self).__name__


def module(kind, *children, package="torch.nn.modules.stand_in", **attributes):
    """A module of a class of PyTorch."""
    return type(kind, (Module,), {"__module__": package})(*children, **attributes)


def linear(W, b=None):
    """A Linear with weights (outputs, inputs) and perhaps a bias."""
    outputs, inputs = np.shape(W)
    bias = None if b is None else Tensor(b)
    return module("Linear", in_features=inputs, out_features=outputs, weight=Tensor(W), bias=bias)
