"""The base of all models: a name, optimizers, initial values, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nncodegen.compiler.describe.checks import check_name
from nncodegen.compiler.describe.initial_values import Given, copied
from nncodegen.compiler.describe.optimizers import Optimizer, check_optimizers
from nncodegen.compiler.describe.summary import print_tensors
from nncodegen.compiler.ir import Program
from nncodegen.compiler.notebook import model_html, model_latex
from nncodegen.runtime.python.ground.names_elsewhere import MODELS, no_attribute


class ModelBase:
    """A model with a checked name, optimizers in addition to the usual ones, and the given initial values.

    A kind of model adds its contents, checks them, and describes itself as a program. Raises ModelError.
    """

    kind = "a network"
    """A noun for the title of the model in a notebook."""

    def __init__(self, name: str, optimizers: Sequence[Optimizer], initial: Given | None = None) -> None:
        self.name = check_name(name, "the name of a model")
        self.optimizers = check_optimizers(optimizers, name)
        self.initial = copied(initial, name)

    if not TYPE_CHECKING:  # a type checker would believe that there is every attribute

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError; for a function that only modules have, it says how to build one."""
            if name in MODELS:
                raise no_attribute(f"the model {vars(self).get('name', '')}", name, MODELS[name])
            return object.__getattribute__(self, name)  # raises what a property has raised, too

    def describe(self) -> Program:
        """Return the model as a Program."""
        raise NotImplementedError

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the inputs, targets, parameters and outputs by name, with their shapes.

        Each line is handed to ``print_fn``, by default ``print``; ``lines.append`` collects them.
        """
        print_tensors(self.describe(), print_fn)

    def _repr_html_(self) -> str:
        return model_html(self.describe(), self.kind)

    def _repr_latex_(self) -> str | None:
        return model_latex(self.describe())
