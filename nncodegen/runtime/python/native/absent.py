"""The native part of a model whose module this process does not have: results that were pickled elsewhere are data."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..ground.facts import Facts
    from .native import Native

OF_BUILD = "nncodegen.modules."
"""The beginning of the names of modules that ``nncodegen.build`` made: they cannot be imported by these."""


class AbsentNative:
    """The native part of a model that was built in another process; it is looked for when it must compute.

    path         where that process had the library of the module; None for one that is not compiled
    state_size, measures_size
                 the numbers of values that ``Native`` has by these names
    """

    variant, variants = "absent", ()

    def __init__(self, facts: Facts, module: str, path: str | None, state_size: int, measures_size: int) -> None:
        self._facts, self._module, self._path = facts, module, path
        self.state_size, self.measures_size = state_size, measures_size

    def predict_short(self, *arguments: Any) -> Any:
        """See ``Native``."""
        return self.there().predict_short(*arguments)

    def loss_short(self, *arguments: Any) -> Any:
        """See ``Native``."""
        return self.there().loss_short(*arguments)

    def train_short(self, *arguments: Any) -> Any:
        """See ``Native``."""
        return self.there().train_short(*arguments)

    def __getattr__(self, name: str) -> Any:
        """Return what the native part has by a name."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.there(), name)

    def there(self) -> Native:
        """Return the native part of the same model in this process.

        It is that of a module that this process has built, or of the library that was pickled, if that is in the cache.
        Raises ImportError, which says what to do, where there is neither.
        """
        module = module_of(self._module, self._facts)
        if module is None and self._path is not None and os.path.exists(self._path):
            module = import_module("nncodegen.building.build").load_again(self._path)
        if module is None:
            raise ImportError(
                f"this is computed by the module of {self._facts.name}, which was built in another process: build the "
                f"same model here, nncodegen.build(model, precision={self._facts.precision!r}, "
                f"bits={self._facts.bits!r}), and call this again"
            )
        native: Native = module._model.native
        return native


def module_of(name: str, facts: Facts) -> Any:
    """Return the module of this process that has a name, or is built of the same model; None without one."""
    if name in sys.modules:
        return sys.modules[name]
    of_build = [module for other, module in list(sys.modules.items()) if other.startswith(OF_BUILD)]
    return next((one for one in of_build if hasattr(one, "_model") and _same(one._model.facts, facts)), None)


def _same(one: Facts, other: Facts) -> bool:
    """Return whether two modules are of the same model, in the same precision, with the same promise of its bits."""
    return all(getattr(one, name) == getattr(other, name) for name in ("identity", "name", "precision", "bits"))
