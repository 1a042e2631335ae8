"""The native part of a model whose module this process does not have: results that were pickled elsewhere are data."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from .builder import find_builder

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

        It is that of the module that was pickled, if this process has built it or finds its library in the cache, or
        of another module of the same model. Raises ImportError, which says what to do, where there is none.
        """
        module = sys.modules.get(self._module)
        if module is None and self._path is not None and os.path.exists(self._path):
            module = find_builder().load_again(self._path)
        module = module or _of_same_model(self._facts)
        if module is None:
            raise ImportError(
                f"this is computed by the module of {self._facts.name}, which was built in another process: build the "
                f"same model here, nncodegen.build(model, precision={self._facts.precision!r}, "
                f"bits={self._facts.bits!r}), and call this again"
            )
        native: Native = module._model.native
        return native


def _of_same_model(facts: Facts) -> Any:
    """Return a module that this process has built of the same model, with the same precision and bits; or None."""
    of_build = [module for other, module in list(sys.modules.items()) if other.startswith(OF_BUILD)]
    alike = ("identity", "name", "precision", "bits")
    for module in of_build:
        model = getattr(module, "_model", None)
        if model is not None and all(getattr(model.facts, name) == getattr(facts, name) for name in alike):
            return module
    return None
