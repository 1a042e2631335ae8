"""NNRegressor: a compiled network with the interface of MLPRegressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if

from nncodegen.compiler.describe.losses import LOSSES
from nncodegen.estimators.base import BaseNN
from nncodegen.estimators.network.description import loss_text

POISSON = "xlogy(target, target) - target*log(output) + output - target"
"""Half of the Poisson deviance. The output is an exponential, and the compiler simplifies its logarithm."""


class NNRegressor(RegressorMixin, BaseNN):
    """A neural network that predicts numbers, compiled to native code: one output, or several.

    It has every parameter of scikit-learn's MLPRegressor, with the same default and meaning. New or extended are:

    loss            "squared_error" and "poisson" as in MLPRegressor (half the squared error, here summed over the
                    outputs, and half the Poisson deviance of an exponential output), mse, mae, huber, log_cosh; or a
                    formula of one output and its target, averaged over the outputs: a text ("(output - target)**4"), a
                    SymPy expression of the symbols output and target, or a function of both
    activation      a name (nncodegen's and scikit-learn's), a formula in z, or a list with one for each hidden layer
    solver          "lbfgs", or the name of any optimizer: sgd, adam, ...
    precision       "float64" or "float32"
    bits            "native", or "portable": results do not depend on the CPU, the compiler or the operating system
    threads         the number of threads of one fit or predict
    train_options   further arguments of the compiled module's ``train``, by name

    Fitted attributes are those of MLPRegressor: loss_, best_loss_, loss_curve_, validation_scores_,
    best_validation_score_, n_iter_, t_, coefs_, intercepts_, n_features_in_, feature_names_in_, n_outputs_,
    n_layers_, out_activation_; and parameters_, description_, hash_, which predicting needs. A formula that is given as
    a function can be pickled only if the function can: a lambda cannot, a text can.
    """

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        precision: str = "float64",
        bits: str = "native",
        threads: int = 1,
        train_options: Any = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.precision = precision
        self.bits = bits
        self.threads = threads
        self.train_options = train_options

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NNRegressor:
        """Fit the network to X (N, features) and y, (N,) or (N, outputs).

        sample_weight is (N,). Raises ValueError for unsuitable data. Raises BuildError without a C compiler.
        """
        self._fit(X, y, sample_weight, incremental=False)
        return self

    @available_if(lambda self: self._check_stochastic())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NNRegressor:
        """Train one epoch over X and y, continuing the last call."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Any:
        """Return the prediction for each sample, (N,), or (N, outputs) if there are several."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def _encode(self, y: Any, weight: Any, first: bool, incremental: bool) -> tuple[Any, Any]:
        """Return targets (N, outputs), and the weights of the samples."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(f"the loss poisson is for targets from 0; y contains {y.min()}")
        return np.ascontiguousarray(y.reshape(len(y), -1), self.precision), weight

    def _head(self, Y: Any) -> tuple[str, str, str]:
        """Return the activation of the output layer, the loss, and how it is combined over outputs."""
        if isinstance(self.loss, str):
            if self.loss == "squared_error":
                return "linear", "(output - target)**2/2", "sum"
            if self.loss == "poisson":
                return "exp(z)", POISSON, "sum"
            if self.loss in ("mse", "mae", "huber", "log_cosh"):
                return "linear", self.loss, "mean"
            if self.loss in LOSSES:
                raise ValueError(f"the loss {self.loss} is for classes: use it with NNClassifier, or give a formula")
        return "linear", loss_text(self.loss), "mean"

    def _meanings(self) -> list[str]:
        several = self.n_outputs_ > 1
        return [f"prediction of target {k}" if several else "prediction" for k in range(self.n_outputs_)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
