"""The interface of a compiled module: its functions, which are methods of one model, and its attributes."""

from __future__ import annotations

import pickle
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from .arguments.initial import initial_parameters, unpack
from .arguments.points import Points
from .arguments.terms import derivatives, residuals, stack
from .evaluation.evaluate import evaluate, loss, loss_and_gradient, predict
from .evaluation.generate import generate, step
from .evaluation.hessian import hessian, hessian_product
from .evaluation.jacobian import jacobian
from .evaluation.noise import noise
from .evaluation.outcomes import outcomes
from .evaluation.summary import summary
from .fitting.fit import fit
from .fitting.fit_many import fit_many
from .ground.facts import Facts, literals, of_literals
from .ground.names_elsewhere import MODULES, no_attribute
from .loading import load
from .native.absent import OF_BUILD, AbsentNative
from .native.blas import use_blas
from .native.model import Model
from .results.fit_result import FitResult
from .results.fit_with_errors import FitWithErrors
from .results.grouped_fit import GroupedFit
from .results.many_fits import ManyFits
from .results.many_result import ManyResult
from .results.result import Result
from .training.many import train_many
from .training.minimize import minimize
from .training.training import partial_fit, train, train_on_stream

if TYPE_CHECKING:
    from .ground.certificate import Certificate
    from .native.native import Native

ATTRIBUTES = {
    "name": ("str", "The name of the model."),
    "precision": ("str", '"float64" or "float32".'),
    "bits": ("str", '"native", or "portable": results do not depend on the CPU and the compiler.'),
    "dtype": ("np.dtype[Any]", "The precision as a type of NumPy."),
    "input_names": ("tuple[str, ...]", "The columns of X."),
    "target_names": ("tuple[str, ...]", "The columns of Y."),
    "output_names": ("tuple[str, ...]", "The columns of what predict returns."),
    "output_count": ("int", "Their number."),
    "parameter_names": ("tuple[str, ...]", "The named parts of the parameters, in their order."),
    "parameter_shapes": ("dict[str, tuple[int, ...]]", "The shape of each of them."),
    "parameter_count": ("int", "The number P of values in the parameters."),
    "accepts_labels": ("bool", "True if Y may be the numbers of classes, of shape (N,)."),
    "operations": ("dict[str, int]", "Operations of the loss and its gradient for a sample."),
    "optimizers": ("dict[str, dict[str, float]]", "The names of the optimizers, and the defaults of what each takes."),
    "variant": ("str", "The CPUs that the kernel in use was compiled for."),
    "variants": ("tuple[str, ...]", "All kernels of the module that this CPU can run, the fastest first."),
    "certificate": ("Certificate | None", "The errors of its values against exact ones, where they were examined."),
}
"""The attributes of a module, which are those of its model: the type and the description of each."""

BUILT_FROM = "_built_from"
"""The attribute of a module of ``nncodegen.build`` that builds it again, without arguments."""

BESIDE = "certificate"
"""The attribute that is read from a file next to the module when it is used."""

FUNCTIONS = (
    initial_parameters, unpack, predict, jacobian, noise, hessian, hessian_product, loss, loss_and_gradient,
    evaluate, train,
    train_on_stream, partial_fit, train_many, fit, fit_many, minimize, load, step, generate,
    stack, derivatives, residuals, outcomes, summary,
)  # fmt: skip
"""The functions of a module; their first argument is its model."""


class Interface(Model):
    """A model with all functions of its module."""

    initial_parameters = initial_parameters
    unpack = unpack
    predict = predict
    jacobian = jacobian
    noise = noise
    hessian = hessian
    hessian_product = hessian_product
    loss = loss
    loss_and_gradient = loss_and_gradient
    evaluate = evaluate
    train = train
    train_on_stream = train_on_stream
    partial_fit = partial_fit
    train_many = train_many
    fit = fit
    fit_many = fit_many
    minimize = minimize
    load = load
    step = step
    generate = generate
    stack = stack
    derivatives = derivatives
    residuals = residuals
    outcomes = outcomes
    summary = summary

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the model by the name of its module; one of ``nncodegen.build``, which has no such name, as its facts.

        A process that unpickles these needs the module only to compute (``AbsentNative``).
        """
        if not self.module.startswith(OF_BUILD):
            return super().__reduce__()
        path = getattr(sys.modules.get(self.module), "__file__", None) or getattr(self.native, "_path", None)
        return restored, (self.module, literals(self.facts), path, self.state_size, self.measures_size)


def restored(module: str, facts: dict[str, Any], path: str | None, state_size: int, measures_size: int) -> Model:
    """Return the model that was pickled, from a module of this process, or else one that has to look for it."""
    if module in sys.modules:
        model: Model = sys.modules[module]._model
        return model
    read = of_literals(facts)
    native = cast("Native", AbsentNative(read, module, path, state_size, measures_size))
    return Interface(read, native, module)


class CompiledModule(ModuleType):
    """A module of a compiled model, with a telling repr. The system loads its library only once in a process."""

    def __repr__(self) -> str:
        return f"<compiled module {self.name!r}: {self._model.what}, for {self.variant}>"

    def __setattr__(self, name: str, value: Any) -> None:
        """Raise ImportError for assignments that only ``importlib.reload`` makes: no origin, or the name again."""
        if name == "__name__" or (name == "__spec__" and value is None):
            raise ImportError(
                f"{self.name} is a compiled module, which cannot be loaded again: build its model as it is now, "
                f"module = nncodegen.build(model), which returns the new module, or start Python anew"
            )
        super().__setattr__(name, value)

    def __copy__(self) -> CompiledModule:
        """Return the module itself, which nothing changes."""
        return self

    def __deepcopy__(self, memo: Any) -> CompiledModule:
        """Return the module itself, which nothing changes."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the module by its name, or one of ``nncodegen.build`` by what it was built from, to be built again.

        Raises PicklingError for a model that cannot be pickled.
        """
        again = self.__dict__.get(BUILT_FROM)
        if again is None:
            return import_module, (self.__name__,)
        try:
            pickle.dumps(again)
        except Exception as error:  # a model may hold any object
            raise pickle.PicklingError(
                f"the module of {self.name} is pickled by what it was built from, and its model cannot be: {error}; "
                f"write functions in it as formulas, or functions of a file that both processes import, or build it "
                f"into a folder, nncodegen.build(model, out=FOLDER), and import it from there"
            ) from error
        return again, ()


def fill(namespace: dict[str, Any], facts: Facts, native: Native) -> Model:
    """Add the functions and attributes of a module to its namespace. Returns the model."""
    model = Interface(facts, native, namespace["__name__"])
    names = {name: getattr(model, name) for name in ATTRIBUTES if name != BESIDE}
    names |= {function.__name__: getattr(model, function.__name__) for function in FUNCTIONS}
    names |= {
        "Result": Result,
        "ManyResult": ManyResult,
        "FitResult": FitResult,
        "FitWithErrors": FitWithErrors,
        "GroupedFit": GroupedFit,
        "ManyFits": ManyFits,
        "Points": Points,
    }
    if model.facts.blas is not None:
        names["blas"] = use_blas(model)
    public = sorted([*names, BESIDE])

    def attribute_of_module(name: str) -> Certificate | None:
        """Return the attribute of the module that is read from a file."""
        if name in MODULES:
            raise no_attribute(f"the module of {model.name}", name, MODULES[name])
        if name != BESIDE:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
        from .ground.certificate import certificate_beside  # noqa: PLC0415 (a module need not import it)

        return certificate_beside(namespace.get("__file__"))

    namespace |= names | {"__getattr__": attribute_of_module}
    namespace |= {"__doc__": model.documentation, "__all__": public, "__dir__": lambda: public, "_model": model}
    known = sys.modules.get(model.module)
    if known is not None and known.__dict__ is namespace and type(known) is ModuleType:
        known.__class__ = CompiledModule
    return model
