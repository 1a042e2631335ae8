"""NNClassifier: a compiled network with the interface of MLPClassifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from nncodegen.compiler.describe.losses import LOSSES
from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.estimators.base import BaseNN
from nncodegen.estimators.network.description import loss_text
from nncodegen.runtime.python.ground.same_bits import log

LOG_LOSS = ("log_loss", "categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy")
MARGIN_LOSSES = ("hinge",)


class NNClassifier(ClassifierMixin, BaseNN):
    """A neural network that classifies, compiled to native code: multi-class and multi-label.

    It has every parameter of scikit-learn's MLPClassifier, with the same default and meaning. New or extended are:

    loss            "log_loss", "hinge" (without probabilities), mse, mae, huber, log_cosh, poisson; or a formula of
                    one output and its target, averaged over the outputs: a text ("(output - target)**4"), a SymPy
                    expression of the symbols output and target, or a function of both
    activation      a name (nncodegen's and scikit-learn's), a formula in z, or a list with one for each hidden layer
    solver          "lbfgs", or the name of any optimizer: sgd, adam, ...
    class_weight    None, "balanced", or weights by class
    precision       "float64" or "float32"
    bits            "native", or "portable": results do not depend on the CPU, the compiler or the operating system
    threads         the number of threads of one fit or predict
    train_options   further arguments of the compiled module's ``train``, by name

    Fitted attributes are those of MLPClassifier: classes_, loss_, best_loss_, loss_curve_, validation_scores_,
    best_validation_score_, n_iter_, t_, coefs_, intercepts_, n_features_in_, feature_names_in_, n_outputs_,
    n_layers_, out_activation_; and parameters_, description_, hash_, which predicting needs. A formula that is given as
    a function can be pickled only if the function can: a lambda cannot, a text can.
    """

    _stratifies = True
    _score_name = "accuracy"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        loss: Any = "log_loss",
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
        class_weight: Any = None,
        precision: str = "float64",
        bits: str = "native",
        threads: int = 1,
        train_options: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
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
        self.class_weight = class_weight
        self.precision = precision
        self.bits = bits
        self.threads = threads
        self.train_options = train_options

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NNClassifier:
        """Fit the network to X (N, features) and y: labels (N,), or a matrix of 0 and 1 (N, labels) for several labels.

        sample_weight is (N,). Raises ValueError for unsuitable data. Raises BuildError without a C compiler.
        """
        self._fit(X, y, sample_weight, incremental=False)
        return self

    @available_if(lambda self: self._check_stochastic())
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> NNClassifier:
        """Train one epoch over X and y, continuing the last call. The first call needs all ``classes``."""
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError(
                    "classes must be given to the first call of partial_fit: all classes that will ever occur"
                )
            multilabel = type_of_target(y).startswith("multilabel")
            self._binarizer = LabelBinarizer().fit(y if multilabel else classes)
            self.classes_ = self._binarizer.classes_
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"classes={classes!r} are not those of the earlier call of partial_fit, which were {self.classes_!r}"
            )
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Any:
        """Return the class of each sample, (N,); for several labels a matrix of 0 and 1, (N, labels)."""
        return self._decide(self._outputs(X))

    @available_if(lambda self: self._check_probabilities())
    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the classes in classes_, (N, classes), or of several labels, (N, labels)."""
        outputs = self._outputs(X)
        if self.n_outputs_ > 1 or self._binarizer.y_type_.startswith("multilabel"):
            return outputs
        if len(self.classes_) == 1:
            return np.ones_like(outputs)
        return np.hstack([1 - outputs, outputs])

    @available_if(lambda self: self._check_probabilities())
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of predict_proba."""
        probabilities = self.predict_proba(X)
        if self.description_.bits == PORTABLE:  # NumPy's logarithms depend on the CPU
            logarithms = [log(value) if value > 0 else value - np.inf for value in probabilities.ravel().tolist()]
            return np.array(logarithms, probabilities.dtype).reshape(probabilities.shape)
        with np.errstate(divide="ignore"):  # a probability of 0 has the logarithm -inf
            return np.log(probabilities)

    @available_if(lambda self: not self._check_probabilities(raises=False))
    def decision_function(self, X: Any) -> Any:
        """Return the outputs of a network trained with a margin loss: (N,) for two classes, else (N, classes)."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def _check_probabilities(self, raises: bool = True) -> bool:
        margin = isinstance(self.loss, str) and self.loss in MARGIN_LOSSES
        if margin and raises:
            raise AttributeError(f"the loss {self.loss} gives no probabilities: use decision_function, or log_loss")
        return not margin

    def _encode(self, y: Any, weight: Any, first: bool, incremental: bool) -> tuple[Any, Any]:
        """Return targets of 0 and 1 (N, outputs), and the weights of the samples times those of their classes."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if (first and not incremental) or not hasattr(self, "classes_"):
            self._binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._binarizer.classes_
        else:
            new = np.setdiff1d(unique_labels(y), self.classes_)
            if len(new):
                raise ValueError(f"y has classes that it did not have in the first call: {new}, not in {self.classes_}")
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y)
            weight = by_class if weight is None else weight * by_class
        return np.asarray(self._binarizer.transform(y), self.precision), weight

    def _head(self, Y: Any) -> tuple[str, str, str]:
        """Return the activation of the output layer, the loss, and how it is combined over outputs."""
        multiclass = self._binarizer.y_type_ == "multiclass" and Y.shape[1] > 1
        if isinstance(self.loss, str) and self.loss in MARGIN_LOSSES:
            return "linear", self.loss, "mean"
        activation = "softmax" if multiclass else "sigmoid"
        if isinstance(self.loss, str) and self.loss in LOG_LOSS:
            if multiclass:
                return activation, "categorical_crossentropy", "mean"
            return activation, "binary_crossentropy", "mean" if Y.shape[1] == 1 else "sum"
        if isinstance(self.loss, str) and self.loss in LOSSES and not self.loss.endswith("_from_logits"):
            return activation, self.loss, "mean"
        return activation, loss_text(self.loss), "mean"

    def _meanings(self) -> list[str]:
        what = "probability" if self._check_probabilities(raises=False) else "margin"
        if self._binarizer.y_type_.startswith("multilabel") or self.n_outputs_ > 1:
            return [f"{what} of {label}" for label in self.classes_]
        if len(self.classes_) == 1:
            return [f"not used, as the class is always {self.classes_[0]}"]
        return [f"{what} of {self.classes_[1]}, else {self.classes_[0]}"]

    def _decide(self, outputs: Any) -> Any:
        threshold = 0.5 if self._check_probabilities(raises=False) else 0.0
        if self.n_outputs_ == 1 and not self._binarizer.y_type_.startswith("multilabel"):
            return self.classes_[np.minimum((outputs[:, 0] > threshold).astype(int), len(self.classes_) - 1)]
        if self._binarizer.y_type_ == "multiclass":
            return self.classes_[outputs.argmax(axis=1)]
        return (outputs > threshold).astype(int)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
