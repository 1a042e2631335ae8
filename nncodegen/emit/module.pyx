# The native part: calls into C, without the interpreter's lock.

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport HUGE_VAL, isfinite
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import threading
from os import environ as _environ
from time import perf_counter as _perf_counter

from numpy import dtype as _dtype, empty as _empty, finfo as _finfo, ndarray as _ndarray

cdef Py_ssize_t _columns = len(input_names)
cdef object _real = _dtype(precision)
cdef double _tiniest = _finfo(_real).tiny

cdef extern from "@name@.h":
    ctypedef struct @name@_poll:
        int (*stop)(void *) noexcept nogil
        void *context
        double interval
        double spent
        double asked

    ctypedef struct @name@_data:
        const @real@ *inputs
        const @real@ *targets
        size_t samples
        const @real@ *weights
        const @real@ *counts
        const double *spread

    ctypedef struct @name@_training:
        @name@_data data
        @name@_data validation
        size_t batch
        int optimizer
        const double *options
        const double *factors
        int factors_of_updates
        double l1
        double l2
        double weight_decay
        double clip_value
        double clip_norm
        double tolerance
        int shuffle
        int sequential
        uint64_t seed
        size_t threads
        size_t until
        int monitor
        int higher
        double min_delta
        size_t patience
        int metrics
        int without_loss
        @name@_poll poll
        @real@ *parameters
        @real@ *best
        @real@ *state
        void *work
        size_t *order
        uint64_t random
        size_t epochs
        size_t updates
        size_t begin
        size_t sweep
        double epoch_loss
        double batch_loss
        double largest
        double *measures
        double best_figure
        size_t best_epoch
        double *history
        size_t columns
        int status

    @MANY@ctypedef struct @name@_many:
    @MANY@    const @real@ *inputs
    @MANY@    const @real@ *targets
    @MANY@    size_t input_stride
    @MANY@    size_t target_stride
    @MANY@    size_t samples
    @MANY@    size_t batch
    @MANY@    int optimizer
    @MANY@    const double *options
    @MANY@    const double *learning_rates
    @MANY@    const double *initial_state
    @MANY@    double tolerance
    @MANY@    int shuffle
    @MANY@    uint64_t *random
    @MANY@    size_t epochs
    @MANY@    @name@_poll poll
    @MANY@    size_t models
    @MANY@    size_t first
    @MANY@    size_t last
    @MANY@    void *work
    @MANY@    size_t *order
    @MANY@    @real@ *parameters
    @MANY@    double *loss
    @MANY@    double *history
    @MANY@    uint64_t *done
    @MANY@    int *status

    @MANY@enum: @name@_MODELS
    @MANY@size_t @name@_many_size() nogil
    @MANY@int @name@_train_many(@name@_many *) nogil
    enum: @name@_CONVERGED
    size_t @name@_cost() nogil
    const char *@name@_variant()
    int @name@_use(const char *)
    size_t @name@_work_size() nogil
    size_t @name@_state_size() nogil
    size_t @name@_measures_size() nogil
    size_t @name@_first_not_finite(const @real@ *, size_t) nogil
    int @name@_predict(const @real@ *, const @real@ *, size_t, void *, @real@ *, @name@_poll *) nogil
    enum: @name@_FEW
    int @name@_predict_few(const @real@ *, const @real@ *, size_t, void *, @real@ *) nogil
    int @name@_loss(const @real@ *, const @real@ *, const @real@ *, const @real@ *, size_t, void *, double *,
        @name@_poll *) nogil
    int @name@_loss_and_gradient(const @real@ *, const @real@ *, const @real@ *, const @real@ *, size_t, void *,
        double *, @real@ *, @name@_poll *) nogil
    void @name@_train(@name@_training *) nogil


def _use_variant():
    """The variant of the kernel that is used from now on, and all that this CPU can run, the fastest first.

    It is the fastest, or that of NNCODEGEN_VARIANT, or the next below it.
    """
    bound = _environ.get("NNCODEGEN_VARIANT") or _VARIANTS[0]
    if bound not in _VARIANTS:
        raise ImportError(f"NNCODEGEN_VARIANT is {bound!r}; there are: {', '.join(_VARIANTS)}")
    usable = [name for name in _VARIANTS if @name@_use(name.encode())]
    allowed = [name for name in usable if _VARIANTS.index(name) >= _VARIANTS.index(bound)]
    @name@_use((allowed or usable)[0].encode())
    return @name@_variant().decode(), tuple(usable)


variant, variants = _use_variant()  # before any other call: the variants need different memory


@BLAS@@BLAS_NATIVE@
@BLAS@
cdef class _Call:
    """What every call needs: work memory, and a way to stop: on a signal, or where a hook says so."""

    cdef void *work
    cdef @name@_poll poll
    cdef readonly object error
    cdef public object hook

    def __cinit__(self):
        self.hook = getattr(_calls, "hook", None)
        self.work = malloc(@name@_work_size())
        if not self.work:
            raise MemoryError
        self.poll.stop = _stop
        self.poll.context = <void *> self
        self.poll.interval = 0.03
        self.poll.spent = 0
        self.poll.asked = 0

    def __dealloc__(self):
        free(self.work)


# What the calls of a thread ask, besides, whether to end.
_calls = threading.local()


cdef int _stop(void *context) noexcept with gil:
    cdef _Call call = <_Call> context
    try:
        PyErr_CheckSignals()
        return 1 if call.hook is not None and call.hook() else 0
    except BaseException as error:
        call.error = error
        return 1


cdef void *_address(array) except? NULL:
    if array is None:
        return NULL
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    cdef void *address = view.buf
    PyBuffer_Release(&view)  # the caller holds the array, whose memory does not move
    return address


def _native_first_not_finite(array, size_t count):
    cdef const @real@ *values = <const @real@ *> _address(array)
    cdef size_t position
    with nogil:
        position = @name@_first_not_finite(values, count)
    return position


def _native_predict(parameters, X, size_t samples, outputs):
    cdef _Call call = _Call()
    cdef const @real@ *p = <const @real@ *> _address(parameters)
    cdef const @real@ *x = <const @real@ *> _address(X)
    cdef @real@ *result = <@real@ *> _address(outputs)
    cdef int stopped
    @BLAS@cdef bint held = _hold_blas()
    with nogil:
        stopped = @name@_predict(p, x, samples, call.work, result, &call.poll)
    @BLAS@_release_blas(held)
    if stopped:
        raise call.error or KeyboardInterrupt


def _native_loss(parameters, X, Y, weights, size_t samples, gradient):
    """The loss; its gradient is written to an array, unless that is None."""
    cdef _Call call = _Call()
    cdef const @real@ *p = <const @real@ *> _address(parameters)
    cdef const @real@ *x = <const @real@ *> _address(X)
    cdef const @real@ *y = <const @real@ *> _address(Y)
    cdef const @real@ *w = <const @real@ *> _address(weights)
    cdef @real@ *g = <@real@ *> _address(gradient)
    cdef double loss = 0
    cdef int stopped
    @BLAS@cdef bint held = _hold_blas()
    with nogil:
        if g:
            stopped = @name@_loss_and_gradient(p, x, y, w, samples, call.work, &loss, g, &call.poll)
        else:
            stopped = @name@_loss(p, x, y, w, samples, call.work, &loss, &call.poll)
    @BLAS@_release_blas(held)
    if stopped:
        raise call.error
    return loss


cdef class _NativeTraining(_Call):
    """A training that is under way. Numbers come and go in arrays: arguments of their own would be much C to compile."""

    cdef @name@_training run
    cdef list held

    def __init__(self, buffers, state, options, int optimizer, uint64_t seed):
        self.held = [buffers, state, options, None, None, None, None]
        self.run.parameters = <@real@ *> _address(buffers)
        self.run.best = self.run.parameters + <size_t> parameter_count
        self.run.state = <@real@ *> _address(state)
        self.run.options = <const double *> _address(options)
        self.run.optimizer = optimizer
        self.run.seed = seed
        self.run.work = self.work
        self.run.poll = self.poll

    def use(self, arrays, size_t samples, int validation):
        """Sets what to train on, or to validate with: X, Y, weights, counts, spread."""
        cdef @name@_data *data = &self.run.validation if validation else &self.run.data
        self.held[4 if validation else 3] = arrays
        data.inputs = <const @real@ *> _address(arrays[0])
        data.targets = <const @real@ *> _address(arrays[1])
        data.weights = <const @real@ *> _address(arrays[2])
        data.counts = <const @real@ *> _address(arrays[3])
        data.spread = <const double *> _address(arrays[4])
        data.samples = samples

    def order(self, order, size_t batch):
        """Sets the size of batches; the samples are shuffled if there is an array to write their order to."""
        self.held[5] = order
        self.run.order = <size_t *> _address(order)
        self.run.shuffle = order is not None
        self.run.batch = batch

    def settle(self, numbers, measures):
        """Sets how to train: the numbers are those of _Training.settle; measures holds sums for metrics."""
        cdef const double *number = <const double *> _address(numbers)
        self.held[6] = measures
        self.run.measures = <double *> _address(measures)
        self.run.l1 = number[0]
        self.run.l2 = number[1]
        self.run.weight_decay = number[2]
        self.run.clip_value = number[3]
        self.run.clip_norm = number[4]
        self.run.tolerance = number[5]
        self.run.sequential = <int> number[6]
        self.run.columns = <size_t> number[7]
        self.run.monitor = <int> number[8]
        self.run.higher = <int> number[9]
        self.run.min_delta = number[10]
        self.run.patience = <size_t> number[11]
        self.run.poll.interval = number[12]
        self.run.threads = <size_t> number[13]
        self.run.metrics = <int> number[14]
        self.run.without_loss = <int> number[15]
        if self.run.threads > 1:  # each needs work memory of its own
            free(self.work)
            self.work = malloc(self.run.threads*@name@_work_size())
            if not self.work:
                raise MemoryError
            self.run.work = self.work

    def tell(self, counters, numbers):
        """Writes where the training is to arrays of uint64 and float64."""
        cdef uint64_t *counter = <uint64_t *> _address(counters)
        cdef double *number = <double *> _address(numbers)
        counter[0] = self.run.random
        counter[1] = self.run.epochs
        counter[2] = self.run.updates
        counter[3] = self.run.begin
        counter[4] = self.run.sweep
        counter[5] = self.run.best_epoch
        number[0] = self.run.epoch_loss
        number[1] = self.run.batch_loss
        number[2] = self.run.largest
        number[3] = self.run.best_figure

    def place(self, counters, numbers):
        """Sets where the training is."""
        cdef const uint64_t *counter = <const uint64_t *> _address(counters)
        cdef const double *number = <const double *> _address(numbers)
        self.run.random = counter[0]
        self.run.epochs = counter[1]
        self.run.updates = counter[2]
        self.run.begin = counter[3]
        self.run.sweep = counter[4]
        self.run.best_epoch = counter[5]
        self.run.epoch_loss = number[0]
        self.run.batch_loss = number[1]
        self.run.largest = number[2]
        self.run.best_figure = number[3]

    def advance(self, history, factors, int factors_of_updates):
        """Trains for as many epochs as history has rows for. Returns the status."""
        self.run.history = <double *> _address(history)
        self.run.factors = <const double *> _address(factors)
        self.run.factors_of_updates = factors_of_updates
        self.run.until = self.run.epochs + <size_t> len(history)
        self.error = None
        @BLAS@cdef bint held = _hold_blas()
        with nogil:
            @name@_train(&self.run)
        @BLAS@_release_blas(held)
        return self.run.status

    @property
    def epochs(self):
        return self.run.epochs

    @property
    def updates(self):
        return self.run.updates


@MANY@def _native_train_many(X, Y, bint own_X, bint own_Y, size_t samples, size_t batch, int optimizer, options, rates,
@MANY@                       initial_state, double tolerance, int shuffle, random, size_t first, size_t last, size_t epochs, parameters,
@MANY@                       loss, history, done, status):
@MANY@    """Trains the models first <= m < last, whose parameters are changed in place."""
@MANY@    cdef _Call call = _Call()
@MANY@    cdef @name@_many run
@MANY@    cdef bytearray work = bytearray(@name@_many_size())
@MANY@    cdef bytearray order = bytearray(samples*@name@_MODELS*sizeof(size_t) if shuffle else 0)
@MANY@    run.inputs = <const @real@ *> _address(X)
@MANY@    run.targets = <const @real@ *> _address(Y)
@MANY@    run.input_stride = samples*<size_t> len(input_names) if own_X else 0
@MANY@    run.target_stride = samples*<size_t> len(target_names) if own_Y else 0
@MANY@    run.samples = samples
@MANY@    run.batch = batch
@MANY@    run.optimizer = optimizer
@MANY@    run.options = <const double *> _address(options)
@MANY@    run.learning_rates = <const double *> _address(rates)
@MANY@    run.initial_state = <const double *> _address(initial_state)
@MANY@    run.tolerance = tolerance
@MANY@    run.shuffle = shuffle
@MANY@    run.random = <uint64_t *> _address(random)
@MANY@    run.poll = call.poll
@MANY@    run.models, run.epochs = <size_t> parameters.shape[0], epochs
@MANY@    run.first, run.last = first, last
@MANY@    run.work = <void *> _address(work)
@MANY@    run.order = <size_t *> _address(order)
@MANY@    run.parameters = <@real@ *> _address(parameters)
@MANY@    run.loss = <double *> _address(loss)
@MANY@    run.history = <double *> _address(history) if history is not None else NULL
@MANY@    run.done = <uint64_t *> _address(done)
@MANY@    run.status = <int *> _address(status)
@MANY@    cdef int stopped
@MANY@    with nogil:
@MANY@        stopped = @name@_train_many(&run)
@MANY@    if stopped:
@MANY@        raise call.error or KeyboardInterrupt
@MANY@
@MANY@
@MANY@_group_size = @name@_MODELS
_state_size = @name@_state_size()
_measures_size = @name@_measures_size()
cdef dict _python = globals()  # where the Python part has its names


@SHORT@

# The rest of the module is Python, compiled when the module is imported.

import linecache

_INTERFACE = @INTERFACE@

linecache.cache[f"<{__name__}>"] = (len(_INTERFACE), None, _INTERFACE.splitlines(True), f"<{__name__}>")
_DOCUMENTATION = __doc__
exec(compile(_INTERFACE, f"<{__name__}>", "exec", dont_inherit=True), globals())

@BLAS@_BLAS = @BLAS_INTERFACE@
@BLAS@
@BLAS@linecache.cache[f"<{__name__}.blas>"] = (len(_BLAS), None, _BLAS.splitlines(True), f"<{__name__}.blas>")
@BLAS@exec(compile(_BLAS, f"<{__name__}.blas>", "exec", dont_inherit=True), globals())
@BLAS@
_MANY = @MANY_INTERFACE@

linecache.cache[f"<{__name__}.many>"] = (len(_MANY), None, _MANY.splitlines(True), f"<{__name__}.many>")
exec(compile(_MANY, f"<{__name__}.many>", "exec", dont_inherit=True), globals())
__doc__ = _DOCUMENTATION

cdef tuple _defaults = _python["train"].__defaults__[11:]  # of what _native_train_short takes as one tuple
cdef object _rules = _python["_RULES"]
