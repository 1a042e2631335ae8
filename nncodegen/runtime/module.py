"""The result of ``nncodegen.build``. "pytest --update-golden" renews this file from nncodegen/runtime/python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from nncodegen.runtime.python import FitProgress, FitResult, ManyFits, ManyResult, Outcomes, Progress, Result
from nncodegen.runtime.python.ground.certificate import Certificate

Array = np.ndarray[Any, np.dtype[Any]]


class Module(Protocol):
    """A compiled model: a module of Python, which can be imported without nncodegen as well.

    Its functions take and return arrays of NumPy. N is the number of samples, P that of parameters.
    """

    name: str
    """The name of the model."""
    precision: str
    """"float64" or "float32"."""
    bits: str
    """"native", or "portable": results do not depend on the CPU and the compiler."""
    dtype: np.dtype[Any]
    """The precision as a type of NumPy."""
    input_names: tuple[str, ...]
    """The columns of X."""
    target_names: tuple[str, ...]
    """The columns of Y."""
    output_names: tuple[str, ...]
    """The columns of what predict returns."""
    output_count: int
    """Their number."""
    parameter_names: tuple[str, ...]
    """The named parts of the parameters, in their order."""
    parameter_shapes: dict[str, tuple[int, ...]]
    """The shape of each of them."""
    parameter_count: int
    """The number P of values in the parameters."""
    accepts_labels: bool
    """True if Y may be the numbers of classes, of shape (N,)."""
    operations: dict[str, int]
    """Operations of the loss and its gradient for a sample."""
    optimizers: dict[str, dict[str, float]]
    """The names of the optimizers, and the defaults of what each takes."""
    variant: str
    """The CPUs that the kernel in use was compiled for."""
    variants: tuple[str, ...]
    """All kernels of the module that this CPU can run, the fastest first."""
    certificate: Certificate | None
    """The errors of its values against exact ones, where they were examined."""

    def initial_parameters(self, seed: int = 0) -> Array:
        """Return new parameters of shape (P,): the initial values of a formula, or those of a network from a seed."""

    def unpack(self, parameters: ArrayLike) -> dict[str, Array]:
        """Return the parameters by name: views into the array, each in its shape ({"W1": (units, inputs), ...})."""

    def predict(self, parameters: ArrayLike, X: ArrayLike | None = None, threads: int = 1) -> Array:
        """Return the outputs for the rows of X, of shape (N, inputs), which may be sparse: an array (N, outputs).

        The outputs of up to four rows are computed by other loops, and agree with those of many rows up to rounding.
        The threads, 1 to 64, share the work if there are thousands of rows; the results do not depend on them.
        """

    def jacobian(self, parameters: ArrayLike, X: ArrayLike | None = None) -> Array:
        """Return the derivatives of the outputs by the parameters for the rows of X: an array of shape (N, outputs, P).

        They are exact, and NaN where the formula has no derivative. Models that can be fitted (``fit``) have this
        function, if they have at most 4,096 parameters. Raises ValueError for others, and for models whose fit
        differentiates the arguments of activations instead, such as the logits of probabilities.
        """

    def noise(self, parameters: ArrayLike, X: ArrayLike | None = None) -> Array:
        """Return the scale of the noise of each target for the rows of X, (N, targets), as the model has its formula.

        It is the standard deviation of normal noise, of the target or of its logarithm, and the mean distance from the
        output for that of Laplace. Raises ValueError for a model without such a formula.
        """

    def hessian(
        self,
        parameters: ArrayLike,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Array:
        """Return the Hessian of the mean loss: its second derivatives by the parameters, an array of shape (P, P).

        It is exact to rounding and symmetric, and NaN where the formula has no second derivative. It takes P products
        with the Hessian; see ``hessian_product`` for the arguments and for the models that have one.
        """

    def hessian_product(
        self,
        parameters: ArrayLike,
        vector: ArrayLike,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Array:
        """Return the Hessian of the mean loss times a vector of shape (P,): an array of the same shape.

        It takes as long as a few gradients, and never forms the Hessian. X, Y and sample_weight are those of ``loss``.
        Formulas have this function unless they were built with fit=False; networks if they were built with fit=True.
        Raises ValueError for other models.
        """

    def loss(
        self,
        parameters: ArrayLike,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the mean loss over the samples; with sample_weight, of shape (N,), the weighted mean.

        With BatchNormalization it is the loss of predictions, which use the moving statistics.
        """

    def loss_and_gradient(
        self,
        parameters: ArrayLike,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[float, Array]:
        """Return the mean loss over the samples and its gradient, of shape (P,), as SciPy's minimizers take them.

        They are those of training: with BatchNormalization, all samples are one batch, normalized by its statistics.
        The derivatives by the moving statistics are 0.
        """

    def evaluate(
        self,
        parameters: ArrayLike,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        metrics: str | Iterable[Any] | Callable[..., float] = (),
        classes: Sequence[str] | Sequence[int] | None = None,
        threads: int = 1,
    ) -> dict[str, float]:
        """Return the loss and metrics of predictions for some samples: {"loss": ..., "auc": ...}.

        metrics and classes are those of ``train``; here all metrics are computed from predictions. classes must be
        given if Y holds names and some classes do not occur.
        """

    def train(
        self,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        parameters: ArrayLike | Mapping[Any, Any] | None = None,
        optimizer: str = "sgd",
        learning_rate: float = 0.01,
        epochs: int = 100,
        batch_size: int | None = None,
        shuffle: bool | None = None,
        seed: int = 0,
        update: str = "simultaneous",
        tolerance: float = 0.0,
        sample_weight: ArrayLike | None = None,
        class_weight: dict[int, float] | str | None = None,
        classes: Sequence[str] | Sequence[int] | None = None,
        schedule: str | tuple[str, dict[str, Any]] | ArrayLike | Callable[[int], float] = "constant",
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        weight_decay: float | None = None,
        validation_data: tuple[Any, ...] | None = None,
        validation_split: float = 0.0,
        metrics: str | Iterable[Any] | Callable[..., float] = (),
        patience: int | None = None,
        min_delta: float = 0.0,
        monitor: str | None = None,
        mode: str = "auto",
        restore_best_weights: bool = True,
        time_limit: float | None = None,
        callback: Callable[[Progress], Any] | Sequence[Callable[[Progress], Any]] | None = None,
        callback_interval: str | float = "epoch",
        progress: bool = False,
        resume: Result | None = None,
        threads: int = 1,
        final_loss: bool = True,
        history: bool = True,
        data: Mapping[str, Any] | None = None,
        loss_weights: Mapping[str, float] | None = None,
        **hyperparameters: Any,
    ) -> Result:
        """Minimize the mean loss over the samples, natively and without the interpreter's lock.

        X                     (N, inputs), which may be sparse (of SciPy); the arrays of several inputs also in a list,
                              in their order, or a dictionary; or a table, such as a DataFrame, whose columns are taken
                              by the names of the inputs where it has these; nothing for a formula without inputs
        Y                     (N, targets), or (N,) for one target, or arrays or a table as in X; for a categorical loss
                              also the numbers of classes, (N,), or their names (``classes``)
        parameters            where to start: (P,), or {name: value} of some; by default initial_parameters(seed)
        optimizer             a name in ``optimizers``, which lists the hyperparameters of each; sgd takes momentum and
                              nesterov, too
        learning_rate         the step for each gradient, above 0
        epochs                how often every sample is used, at least 1
        batch_size            samples for one update; all of them by default, and where it is above N
        shuffle               whether samples are shuffled anew in every epoch; by default, if there are several batches
        seed                  of the order, of the initial parameters, of dropout and noise, of what is held out
        update                "simultaneous", or "sequential": one parameter at a time, the next with a new gradient
        tolerance             stop after an epoch in which no update changed a parameter by this much; 0 to go on

        sample_weight         (N,), what each sample counts; the gradient of a batch is that of its part of the weighted
                              mean
        class_weight          {class: weight}, 1 for those left out, or "balanced": all classes count alike; times
                              sample_weight
        classes               the names of the classes, texts or whole numbers, in the order of their outputs (of one
                              target, those of 0 and 1), where Y holds names; by default, where Y holds texts, these in
                              their order
        schedule              of the learning rate: a name, (name, {parameter: number}), or an array of factors, one an
                              epoch: constant; step (step_size, gamma), exponential (gamma), inverse (decay, power),
                              which change from epoch to epoch; polynomial (final, power), cosine (final), one_cycle
                              (rise, start, final), warm_up (epochs, start), which change from update to update; plateau
                              (factor, patience, min_delta, cooldown, min_lr, monitor, mode), which lowers the rate
                              where ``monitor`` does not get better. Or a function of the number of epochs done, from 0,
                              which returns the factor of the next epoch
        clipvalue             no value of the gradient is further from 0; after the penalties
        clipnorm              the norm of the whole gradient is not above (Keras's global_clipnorm); after clipvalue
        l1                    adds the gradient of l1*sum |w| over the weights of layers, not their biases; of a
                              formula, over all parameters; the reported loss is without it
        l2                    adds the gradient of l2/2*sum w**2, in the same way
        weight_decay          takes learning_rate*weight_decay*p from every parameter p in an update, apart from the
                              gradient; 0 by default, for adamw 0.01

        validation_data       (X, Y) or (X, Y, sample_weight), whose loss "val_loss" is computed after each epoch
        validation_split      of the samples, at random by the seed, to be held out for that
        metrics               of "accuracy", "r2" and "mae" (mean absolute error): like "loss" they are those of the
                              outputs that the updates of an epoch met, each before it changed the parameters, with
                              dropout and noise: none are computed for them alone; with all samples in one batch, those
                              of the parameters before the epoch. On the validation data ("val_accuracy", ...), those of
                              the parameters after the epoch. class_weight does not count. Accuracy is that of the
                              largest output where there are classes, else of each output on the right side of one half
                              (of 0 for logits); r2 is averaged over outputs. All others are computed from predictions
                              after each epoch, as scikit-learn does: "mse", "rmse", "mape" (a share, not per cent);
                              "auc", "precision", "recall", "f1", of several classes the mean over these, or "f1_micro",
                              "f1_weighted"; "top_3_accuracy"; or a function (y_true, y_pred) -> number, which is given
                              sample_weight where it takes that; {"name": function} names it
        patience              stop after this many epochs in which ``monitor`` was not better than its best by min_delta
        min_delta             what counts as better than the best
        monitor               what tells the best epoch: by default "val_loss", without validation "loss"
        mode                  "min" or "max": whether less or more of it is better; of a function of one's own, it must
                              be said
        restore_best_weights  with patience or monitor, return the parameters of the best epoch, not of the last
        time_limit            seconds after which to stop, also within an epoch
        callback              a function of one argument, with the attributes epochs, updates, metrics, seconds and
                              parameters, or several, which are called in turn; the training ends if one of them returns
                              something true
        callback_interval     "epoch", or milliseconds between two calls, at least
        progress              show a bar on the standard error (with the package rich, in a terminal or a notebook), or
                              lines
        resume                a Result: go on where it ended, until there are ``epochs`` in all. With the arguments it
                              was made with, the outcome has the same bits as a training that was never stopped

        threads               that share the samples of large batches, from about a thousand samples on, 1 to 64; the
                              results do not depend on them
        final_loss            whether to evaluate the loss at the end; otherwise that of the Result is the last of its
                              history
        history               record the loss of each epoch; if False, the history is NaN, and the loss is not
                              evaluated. Not with metrics, validation data, patience or monitor

        data                  in the place of X and Y, for a network with losses by name: {term: X}, or {term: (X, Y)}
                              for a term with targets; X may be nncodegen.Points, which are drawn, Y a function of X
        loss_weights          {term: number}, what the mean of each term counts in the loss; 1 for those left out; one
                              of weight 0 needs no data

        The optimizer "lm" is ``fit``, the method of Levenberg and Marquardt, for models that can be fitted (networks
        are built with fit=True): ``parameters`` is its p0, ``epochs`` its max_iterations. It takes X, Y, data,
        loss_weights, tolerance, seed, threads, time_limit, callback and progress, in addition all other arguments of
        ``fit``, and returns a FitResult.

        Returns a Result. A loss or parameter that is no longer finite ends the training with the status "diverged"
        and a RuntimeWarning. Ctrl-C raises KeyboardInterrupt, whose attribute ``result`` is the Result so far.
        Raises ValueError for an invalid argument.
        """

    def train_on_stream(
        self,
        batches: Iterable[Any],
        parameters: ArrayLike | Mapping[Any, Any] | None = None,
        optimizer: str = "sgd",
        learning_rate: float = 0.01,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        update: str = "simultaneous",
        class_weight: dict[int, float] | str | None = None,
        classes: Sequence[str] | Sequence[int] | None = None,
        schedule: str | tuple[str, dict[str, Any]] | ArrayLike | Callable[[int], float] = "constant",
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        weight_decay: float | None = None,
        validation_data: tuple[Any, ...] | None = None,
        metrics: str | Iterable[Any] | Callable[..., float] = (),
        patience: int | None = None,
        min_delta: float = 0.0,
        monitor: str | None = None,
        mode: str = "auto",
        restore_best_weights: bool = True,
        time_limit: float | None = None,
        callback: Callable[[Progress], Any] | Sequence[Callable[[Progress], Any]] | None = None,
        callback_interval: str | float = "epoch",
        progress: bool = False,
        resume: Result | None = None,
        threads: int = 1,
        **hyperparameters: Any,
    ) -> Result:
        """Train on data that need not fit into memory: each batch of an iterator is used once, and forgotten.

        batches yields (X, Y) or (X, Y, sample_weight); of slices of memory maps, only the slice is read. A batch is one
        update, or updates of batch_size samples each. An "epoch" is one pass over one batch: metrics are those of one
        batch, validation_data is measured after each, and patience counts them. class_weight is a dictionary.
        Everything else is as for ``train``; the loss of the Result is that of the last batch.
        """

    def partial_fit(
        self,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        result: Result | None = None,
        sample_weight: ArrayLike | None = None,
        **options: Any,
    ) -> Result:
        """Do one pass of updates over a batch, continuing from the Result of an earlier call; returns the next Result.

        The options are those of ``train_on_stream``; by default all samples form one update.
        """

    def train_many(
        self,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        parameters: ArrayLike | None = None,
        optimizer: str = "sgd",
        learning_rate: ArrayLike = 0.01,
        epochs: int = 100,
        batch_size: int | None = None,
        shuffle: bool | None = None,
        seed: ArrayLike = 0,
        tolerance: float = 0.0,
        threads: int = 1,
        models: int | None = None,
        history: bool = True,
        l2: ArrayLike = 0.0,
        **hyperparameters: Any,
    ) -> ManyResult:
        """Train M models of this kind at once, each as ``train`` does, with simultaneous updates.

        X, Y            as for train, shared by all models; or with a first axis for the models: (M, N, inputs) and
                        (M, N, targets)
        parameters      (M, P), the starts; by default initial_parameters(seed) of each model
        learning_rate   a number, or one for each model, (M,)
        seed            one for each model, (M,); or that of the first, the others being seed + 1, seed + 2, ...
        l2              the gradient of l2/2*sum w**2 is added, as for train: a number, or one for each model, (M,)
        models          M, if no argument has an axis for the models
        history         whether to keep the losses of all epochs, M numbers each, which have to be evaluated; without
                        it, a model has diverged if a parameter is no longer finite, or the loss at the end
        threads         the number of threads that share the work, at least 1; it does not change the results

        The other options are those of train. The models of a formula that is not very long are trained side by side, in
        vectors, with the results of train up to rounding, and so are those of a network without noise and those of
        equations of motion, of up to 512 parameters; all others one by one, with the same bits as train. The bits of a
        model do not depend on the other models. A model that diverges or converges keeps its parameters while the
        others continue; a RuntimeWarning tells how many diverged. Returns a ManyResult. Raises ValueError for an
        invalid argument.
        """

    def fit(
        self,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        p0: ArrayLike | Mapping[Any, Any] | str | None = None,
        sigma: ArrayLike | None = None,
        absolute_sigma: bool = False,
        bounds: Any = None,
        fixed: Iterable[Any] | Mapping[Any, Any] = (),
        loss: str | None = "linear",
        f_scale: float = 1.0,
        n_starts: int | str | None = None,
        seed: int = 0,
        tolerance: float | None = None,
        max_iterations: int | None = None,
        threads: int = 1,
        data: Mapping[str, Any] | None = None,
        loss_weights: Mapping[str, float] | None = None,
        time_limit: float | None = None,
        callback: Callable[[FitProgress], Any] | None = None,
        progress: bool = False,
        groups: Any = None,
        own: Any = None,
        sigma_x: Any = None,
    ) -> FitResult:
        """Fit the model to data by least squares (Levenberg and Marquardt), with the errors of its parameters.

        It finds the P parameters that minimize the sum of ((output - target)/sigma)**2 over N samples. A model whose
        loss is not a sum of squares, but convex in the outputs, is fitted by generalized Gauss-Newton: it minimizes the
        sum of the losses of all values, which counts as a negative log-likelihood, so that the covariance is the
        inverse of the Fisher information.

        X               (N, inputs); with one input also (N,). Or a table, such as a DataFrame, or a mapping, whose
                        columns are taken by the names of the inputs
        Y               (N, targets); with one target also (N,), or a table as in X. NaN means missing; with a loss that
                        sees several outputs together, such as those of a softmax, they are all missing then. Labels
                        (N,), if train takes them
        p0              the start, within the bounds: (P,), or {name: value} of some; the others begin at the initial
                        parameters, moved into the bounds if necessary, or, of a model whose output is a curve by name
                        without values of its parameters, at estimates from the data. "auto": no start is needed, since
                        one is looked for, as with n_starts="auto"
        sigma           standard deviations of the targets, above 0: a number, (N,), or the shape of Y
        absolute_sigma  whether sigma is in the units of the targets; by default it is right up to a factor, and the
                        covariance is scaled by the reduced chi-square, as in scipy.optimize.curve_fit
        bounds          (lower, upper), each a number or (P,); or {name: (lower, upper)}; None or infinity: no bound.
                        Parameters of curves by name that a mapping leaves out have the bounds of the curve
        fixed           names or indices of parameters that keep their starting values; or {name: value}, the values
                        that they keep
        loss            "linear": residuals count as their squares; or a robust loss, "huber", "soft_l1" or "cauchy":
                        residuals beyond f_scale count less, as in scipy.optimize.least_squares
        f_scale         the residual, divided by sigma, beyond which a robust loss grows slower than its square
        n_starts        the number of additional starting points, a Sobol sequence within the bounds, which all free
                        parameters need; the best of all fits is the result. This needs SciPy. "auto": starting points
                        are drawn from the scales of the data, without bounds; parameters that enter the formula
                        linearly are projected out, and the best of many short fits is continued. This is for formulas
        seed            the seed of starting points, and of the initial parameters of a network
        tolerance       the fit ends if a step changes the cost or the parameters by less than this fraction, or if the
                        cosine between residuals and derivatives is below it; by default 1e-8, in float32 1e-5, and not
                        less than rtol/10 where steps of differential equations are chosen
        max_iterations  the most steps that are tried; by default 1,000 plus 100 for each parameter
        threads         1 to 64 threads, which share the starting points
        data            in the place of X and Y, for a network with losses by name: {term: X}, or {term: (X, Y)}
                        for a term with targets; X may be nncodegen.Points, which are drawn, Y a function of X
        loss_weights    {term: number}, what the mean of each term counts in the loss; 1 for those left out; one
                        of weight 0 needs no data
        time_limit      the seconds after which to stop, with the best parameters so far. They do not count the
                        compilation of a part of the module, which the first fit may need
        callback        a function of one argument, with the attributes iterations, cost, seconds and parameters, called
                        after each iteration; it ends the fit if it returns something true
        progress        show a bar on the standard error, as train does
        groups          a label for each sample, (N,): the samples of a label are a group, which has some parameters of
                        its own and shares the others. Labels are numbers, texts, dates or tuples, none of them missing.
                        Then threads share the groups, and p0="auto" or n_starts finds a start for each
        own             the names of the parameters that each group has for itself; by default those of the model. Their
                        values in p0 and fixed may be numbers, (G,) in the order in which groups first occur, or
                        mappings from labels to numbers
        sigma_x         standard deviations of the inputs, 0 for an exact one: a number, (N,) with one input,
                        (N, inputs), or {name: values}. The fit then estimates the true inputs, too (orthogonal
                        distances), also in groups. The model must have been built in this process

        Instead of a name, a symbol of SymPy can be given.

        Returns a FitResult: parameters, standard_errors, covariance, confidence_intervals(), predict(), plot(), and a
        table when it is printed; with groups it is a GroupedFit, with sigma_x a FitWithErrors, or a GroupedFit that
        has the estimated inputs, too. If the fit did not converge, its status says why ("time_limit", and "stopped" by
        the callback, among others), and so does a RuntimeWarning, unless the callback ended it. Raises ValueError for
        an argument that is invalid or has no effect, for a model that cannot be fitted, and, with the index of the row,
        for a loss that turns out not to be convex in the outputs.
        """

    def fit_many(
        self,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        p0: ArrayLike | Mapping[Any, Any] | str | None = None,
        sigma: ArrayLike | None = None,
        absolute_sigma: bool = False,
        bounds: Any = None,
        fixed: Iterable[Any] | Mapping[Any, Any] = (),
        lengths: ArrayLike | None = None,
        covariance: bool = False,
        tolerance: float | None = None,
        max_iterations: int | None = None,
        threads: int = 1,
        time_limit: float | None = None,
        progress: bool = False,
        sigma_x: Any = None,
    ) -> ManyFits:
        """Fit the formula to M sets of data at once, each by least squares (Levenberg and Marquardt).

        Each of the M fits finds the P parameters that minimize the sum of ((output - target)/sigma)**2 over its N
        samples.

        X               (N, inputs), shared by all fits, or (M, N, inputs); with one input also (N,) or (M, N). Or a
                        table or a mapping, whose columns are taken by the names of the inputs; a list may have one for
                        each fit
        Y               (M, N), or (M, N, targets) if there are several; NaN means missing. Without the first axis, all
                        fits share it. A C-contiguous array in the module's precision is not copied. A list of arrays of
                        unequal lengths, one for each fit, can be given, too; X, sigma and sigma_x are then such lists,
                        or shared
        p0              the start, within the bounds: (P,) for all fits, or (M, P), or {name: value} of some, with a
                        value for all fits or (M,); the others begin at the initial parameters, moved into the bounds if
                        necessary. "auto": a start is looked for in each set of data, as by fit
        sigma           standard deviations of the targets, above 0: a number, or an array of a shape that Y may have
        absolute_sigma  whether sigma is in the units of the targets; by default it is right up to a factor, and the
                        covariance is scaled by the reduced chi-square, as in scipy.optimize.curve_fit
        bounds          (lower, upper), each a number or (P,); or {name: (lower, upper)}; None or infinity: no bound.
                        Parameters of curves by name that a mapping leaves out have the bounds of the curve
        fixed           names or indices of parameters that keep their starting values; or {name: value}, the values
                        that they keep, with a value for all fits or (M,)
        lengths         (M,), the number of samples of each fit, which are the first of its N; by default all
        covariance      whether to keep the covariances of the parameters, M*P*P numbers; standard errors always are
        tolerance       a fit ends if a step changes the cost or the parameters by less than this fraction, or if the
                        cosine between residuals and derivatives is below it; by default 1e-8, in float32 1e-5, and not
                        less than rtol/10 where steps of differential equations are chosen; never less than 8
                        units of rounding
        max_iterations  the most steps that are tried; by default 1,000 plus 100 for each parameter
        threads         1 to 64 threads, which share the fits
        time_limit      the seconds after which to stop: the fits that have not ended then keep their starts. They do
                        not count the compilation of a part of the module, which the first fits may need
        progress        show a bar on the standard error, as train does
        sigma_x         standard deviations of the inputs, 0 for exact ones: a number, an array of a shape that X may
                        have, or {name: values}. Each fit then estimates its true inputs, too, as ``fit`` does

        Instead of a name, a symbol of SymPy can be given. The bits of a fit do not depend on other fits, on their
        number, or on threads. A fit that fails does not affect the others, and a RuntimeWarning tells how many failed.
        Formulas, and equations of motion or other recurrences with few parameters, are fitted side by side; fits that
        do not converge there, or to parameters that the data hardly determine, are made again by ``fit``. Fits of
        layers, of formulas of more than 400 statements and of losses that are not sums of squares are made one after
        the other, each by ``fit``. Returns a ManyFits. Raises ValueError for an invalid argument.
        """

    def minimize(
        self,
        X: ArrayLike | None = None,
        Y: ArrayLike | None = None,
        parameters: ArrayLike | Mapping[Any, Any] | None = None,
        method: str = "L-BFGS-B",
        sample_weight: ArrayLike | None = None,
        class_weight: dict[int, float] | str | None = None,
        classes: Sequence[str] | Sequence[int] | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        seed: int = 0,
        data: Mapping[str, Any] | None = None,
        loss_weights: Mapping[str, float] | None = None,
        **options: Any,
    ) -> Result:
        """Minimize loss + l1*sum |w| + l2/2*sum w**2 with SciPy's minimizers; w are the weights, without biases.

        method        any of SciPy's. Those that take a gradient get it. Those that take the Hessian, or products with
                      it, get these if the module has them (see hessian); trust-exact, dogleg, trust-ncg and
                      trust-krylov need them
        l1            exactly, by splitting each weight into two that are not negative: for L-BFGS-B, TNC, SLSQP and
                      trust-constr
        options       other arguments of ``scipy.optimize.minimize``: tol, bounds, options={"maxiter": ...}, callback,
                      ...; in single precision L-BFGS-B has the option ftol=1e-6, since a loss has no more digits

        The other arguments are those of ``train``. Returns a Result: its history holds the loss with the penalties
        after each iteration, metrics["step_length"] the norm of the change of the parameters in each, and message is
        that of SciPy. Its status is "converged", "max_iterations", "stopped" by the callback, which raises
        StopIteration, or for any other end "stalled", with a RuntimeWarning. Least squares have also converged where
        outputs are targets up to rounding, though SciPy finds no lower loss there. BFGS, CG, L-BFGS-B, Newton-CG, TNC
        and SLSQP shorten a step that ends where the loss is not finite, and the trust-... methods and Powell go back
        from there. Where a minimizer ends at such a loss, that is "stalled", too: the parameters are the last ones with
        a finite loss, and the message says so. Without any, as where that of the start is not finite, it is
        "not_finite". ``train`` cannot resume a result. With BatchNormalization, all samples are one batch, and the
        moving statistics become those of all samples.
        """

    def load(self, path: str | PathLike[str]) -> Any:
        """Return the result that was saved in a file, of the class that was saved, for this model in this precision.

        Raises ValueError for a file that is no result, that is damaged, or that belongs to another model.
        """

    def step(self, parameters: ArrayLike, token: ArrayLike, state: ArrayLike | None = None) -> tuple[Array, Array]:
        """Return the probabilities of the next token after one more token, and the state of the sequence after that.

        token is a whole number, and state what the step before has returned, None before the first. The probabilities
        are those of ``predict`` at this position, (tokens,), to rounding; of an output that is logits, their softmax.
        For several sequences at once, token has the shape (N,), the state (N, values), and the probabilities (N,
        tokens). The state that was given does not change. It holds what later positions read of earlier ones, such as
        keys and values of attention and the states of recurrent layers; so a step takes as long as one position. Raises
        ValueError for other tokens and states, after the last position, and for models that cannot be computed step by
        step.
        """

    def generate(
        self,
        parameters: ArrayLike,
        prompt: Any,
        steps: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        stop: int | None = None,
        seed: int = 0,
        sliding: bool = False,
    ) -> Any:
        """Return the tokens with which a model continues a prompt, an array of at most ``steps`` whole numbers.

        prompt is an array of at least one token, or several of them, of any lengths, for which a list of arrays is
        returned. Each token is drawn by its probability to the power of 1/temperature: a low temperature prefers
        probable tokens, at 0 the most probable one is taken, the first of equal ones. With top_k, only that number of
        tokens, the most probable ones, is drawn from. A sequence ends before the token ``stop``, if that is drawn. The
        random numbers of each sequence depend on the seed and on its place among the prompts alone. A prompt and what
        is generated have no more positions than the model, if it has positions: the last token needs none. But with
        ``sliding``, a sequence goes on: a token is drawn after as many of the last ones as the model has positions,
        each of which is computed again. Raises ValueError for other arguments, and for models that cannot be computed
        step by step.
        """

    def stack(self, data: Mapping[str, Any], loss_weights: Mapping[str, float] | None = None) -> tuple[Array, Array]:
        """Return the samples of all terms of a loss as one X and one Y, as ``loss`` and its derivatives take them.

        data          {term: X}, or {term: (X, Y)} for a term with targets; X may be ``Points``, Y a function of X
        loss_weights  {term: number}: the weight of the mean of each term in the loss; 1 for those left out. A term of
                      weight 0 needs no data

        Raises ValueError for a term without data, or whose data do not fit.
        """

    def derivatives(self, parameters: ArrayLike, X: ArrayLike) -> dict[str, Array]:
        """Return the outputs for the rows of X, and their derivatives that occur in the losses: arrays (N,) by name.

        Networks whose losses contain derivatives by inputs have them: "u_xx" is the second derivative of u by x. A sum
        of second derivatives, such as a Laplacian, is "u_sum"; its parts are included, too.
        """

    def residuals(self, parameters: ArrayLike, data: Mapping[str, Any]) -> dict[str, Array]:
        """Return the residuals of the terms at their samples, before squaring: arrays (N,), or (N, equations).

        data holds samples as for ``train``, of all terms or of some.
        """

    def outcomes(self, parameters: ArrayLike, X: ArrayLike | None = None) -> Outcomes:
        """Return for each sample how the chosen steps of its differential equations ended: "solved", or why it is NaN.

        Then it is "too many steps" (more than max_steps: the text says what to do about it), "steps too short" (where a
        solution leaves the range of numbers, or its rate jumps), "times before the start", or "not a number" where what
        is observed is NaN by itself, or keeps no reason; ``outcomes`` of the model tells these apart. The tuple of
        these texts has arrays ``status``, ``success`` and ``message``, (N,). It takes the time of ``predict``. Raises
        ValueError for a model whose steps are not chosen.
        """

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the inputs, outputs and parameters of the model by name, with their shapes and parameter counts.

        Each line is passed to ``print_fn``, by default ``print``; ``lines.append`` collects the lines.
        """


class FitOptions(TypedDict, total=False):
    """The options of ``fit`` that ``curve_fit`` hands on, for type checkers."""

    fixed: Iterable[Any] | Mapping[Any, Any]
    loss: str | None
    f_scale: float
    n_starts: int | str | None
    seed: int
    tolerance: float | None
    max_iterations: int | None
    threads: int
    data: Mapping[str, Any] | None
    loss_weights: Mapping[str, float] | None
    time_limit: float | None
    callback: Callable[[FitProgress], Any] | None
    progress: bool
    groups: Any
    own: Any
    sigma_x: Any


class FitParameters(TypedDict, total=False):
    """The parameters that FormulaRegressor and DynamicsRegressor share: options of ``fit``, for type checkers."""

    p0: ArrayLike | Mapping[Any, Any] | str | None
    absolute_sigma: bool
    bounds: Any
    fixed: Iterable[Any] | Mapping[Any, Any]
    loss: str | None
    f_scale: float
    n_starts: int | str | None
    random_state: Any
    tol: float | None
    max_iter: int | None
    threads: int
