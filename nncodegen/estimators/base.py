"""The base of the classifier and the regressor: from arrays and parameters to a fitted network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.estimators.columns import validated
from nncodegen.estimators.layers import initial, layer_views
from nncodegen.estimators.network import (
    Description,
    PaddedNetwork,
    module_inputs,
    padded,
    predict,
    roomy_inputs,
    shared_inputs,
    varies,
)
from nncodegen.estimators.network.description import activation_text
from nncodegen.estimators.parameters import check_parameters, hidden_activations, hidden_units
from nncodegen.estimators.training import (
    WeightedSamples,
    descend,
    descend_once,
    minimize,
    solver_is_stochastic,
    train_options,
)
from nncodegen.formats.export import Exportable

MOST_COPIED = 2**27
"""The most values of X that are copied to pad it to a shared number of inputs: 1 GB in double precision."""


class BaseNN(BaseEstimator):
    """A network of dense layers as an estimator; see NNClassifier and NNRegressor.

    A fitted estimator holds plain data: a description of its network, a hash of the description, and arrays. It does
    not hold the compiled module, which belongs to the process, and is built or found when it is needed.
    """

    bits = "native"  # of estimators that were pickled before there was this parameter
    _stratifies = False
    _score_name = "r2"
    """The metric that early_stopping watches on the held-out data."""

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> BaseNN:
        check_parameters(self)
        train_options(self, warns=True)
        hidden = hidden_units(self.hidden_layer_sizes)
        activations = hidden_activations(self.activation, len(hidden))
        fitted = hasattr(self, "parameters_")
        first = not fitted or not (self.warm_start or incremental)
        X, y = self._validate(X, y, first)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)
        Y, weight = self._encode(y, weight, first, incremental)
        if weight is not None and not weight.any():
            raise ValueError("sample_weight is 0 for every sample: some must be above 0")

        output_activation, loss, total = self._head(Y)
        layers = [(u, activation_text(a, k)) for k, (u, a) in enumerate(zip(hidden, activations, strict=True), 1)]
        layers.append((Y.shape[1], output_activation))
        description = Description(X.shape[1], tuple(layers), loss, total, self.precision, bits=self.bits)
        if not first and description != self.description_:
            raise ValueError(
                f"{'partial_fit' if incremental else 'warm_start'} continues with the network that was fitted, whose "
                f"layers, loss, precision and bits cannot change: {self.description_.layers} before, "
                f"{description.layers} now"
            )
        size = self._size(X, description) if first else self._built_inputs
        network = padded(description, size)
        self._random = check_random_state(self.random_state)
        if first:
            self._initialize(description, activations)
            self._inputs = size
        self._train(network, WeightedSamples(X, Y, weight), incremental)
        del self._random
        return self

    def _size(self, X: Any, network: Description) -> int:
        """Return the number of inputs with which the network for X is built."""
        samples, inputs = X.shape
        if network.bits == PORTABLE:  # bits must not depend on the modules that there are, either
            return int(inputs)
        vary = varies(X)
        shared = roomy_inputs(network) if vary else shared_inputs(inputs)
        copies = shared > inputs and not issparse(X)
        if copies and samples * shared > MOST_COPIED:
            return int(inputs)
        if not solver_is_stochastic(self.solver):  # another minimizer of SciPy, or bounds, may be among the options
            return int(inputs) if self.train_options else shared
        sums_up = "clipnorm" in train_options(self)
        return module_inputs(network) if vary and not sums_up else shared

    @property
    def _built_inputs(self) -> int:
        """Return the number of inputs with which the network was built; pickles of earlier versions do not pad it."""
        return int(getattr(self, "_inputs", self.description_.inputs))

    def _initialize(self, description: Description, activations: list[Any]) -> None:
        """Draw new parameters, and clear the history."""
        self.description_, self.hash_ = description, description.hash
        self.n_outputs_, self.n_layers_ = description.outputs, len(description.layers) + 1
        self.parameters_ = initial(description, self._random, bool(activations) and activations[0] == "sigmoid")
        self.t_, self._result = 0, None
        self.loss_curve_: list[float] = []
        self.best_loss_: Any = None if self.early_stopping else math.inf
        self.validation_scores_: Any = [] if self.early_stopping else None
        self.best_validation_score_: Any = -math.inf if self.early_stopping else None

    def _train(self, network: PaddedNetwork, data: WeightedSamples, incremental: bool) -> None:
        """Train from the current parameters."""
        if incremental:
            if self.early_stopping:
                raise ValueError("partial_fit does not support early_stopping=True: it never sees all of the data")
            descend_once(self, network, data.weighted())
            return
        self._result = None
        if not solver_is_stochastic(self.solver):
            minimize(self, network, data.weighted())
            return
        if not self.early_stopping:
            descend(self, network, data.weighted(), None)
            return
        training, held_out = data.weighted().split(self._split)
        if len(held_out.Y) < 2:
            raise ValueError(
                f"early_stopping holds out {len(held_out.Y)} of {len(data.Y)} samples, and needs 2: increase "
                f"validation_fraction, or give more samples"
            )
        descend(self, network, training, held_out)

    def _split(self, *arrays: Any) -> Any:
        stratify = arrays[1] if self._stratifies and self.n_outputs_ == 1 else None
        return train_test_split(
            *arrays, random_state=self._random, test_size=self.validation_fraction, stratify=stratify
        )

    def _validate(self, X: Any, y: Any, reset: bool) -> Any:
        numeric = not self._stratifies
        return validated(
            self,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=numeric,
            dtype=np.dtype(self.precision),
            order="C",
            reset=reset,
        )

    def _outputs(self, X: Any) -> Any:
        """Return the outputs of the network, of shape (N, outputs)."""
        check_is_fitted(self)
        precision = np.dtype(self.description_.precision)
        X = validated(self, X, accept_sparse="csr", dtype=precision, order="C", reset=False)
        self.description_.check(self.hash_)
        return predict(self.description_, self.parameters_, X, self.threads, self._built_inputs)

    def exportable(self) -> Exportable:
        """Return the network with its parameters and the meanings of its columns, for ``nncodegen.export``."""
        check_is_fitted(self)
        self.description_.check(self.hash_)
        description = self.description_
        inputs = tuple(map(str, getattr(self, "feature_names_in_", ())))
        return Exportable(
            description.model,
            description.precision,
            self.parameters_,
            inputs,
            tuple(self._meanings()),
            description.bits,
        )

    def _meanings(self) -> list[str]:
        """Return the meaning of each output of the network."""
        raise NotImplementedError

    def _check_stochastic(self) -> bool:
        """Return True if the solver supports partial_fit; raise AttributeError otherwise."""
        if not solver_is_stochastic(self.solver):
            raise AttributeError(f"partial_fit needs a solver that learns from batches, which {self.solver} is not")
        return True

    @property
    def out_activation_(self) -> str:
        """Return the activation of the output layer, by scikit-learn's name."""
        check_is_fitted(self)
        name = self.description_.layers[-1][1]
        return {"linear": "identity", "sigmoid": "logistic", "exp(z)": "exp"}.get(name, name)

    @property
    def coefs_(self) -> list[Any]:
        """Return the weights of each layer, of shape (inputs, units): views of ``parameters_``."""
        return [weights.T for weights, _ in self._views()]

    @property
    def intercepts_(self) -> list[Any]:
        """Return the biases of each layer, of shape (units,): views of ``parameters_``."""
        return [biases for _, biases in self._views()]

    def _views(self) -> list[tuple[Any, Any]]:
        check_is_fitted(self)
        return layer_views(self.description_, self.parameters_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "parameters_")
