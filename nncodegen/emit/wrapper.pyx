# @MARK@. Do not edit: it is the same for every model.
# cython: language_level=3, binding=False, auto_pickle=False

# What Cython makes of this file is linked with the kernel of a model, and with NAME_module.c, which tells what differs
# from model to model. It is compiled with NNCODEGEN_REAL defined as double or float.

# The native part: calls into C, without the interpreter's lock.

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport HUGE_VAL, isfinite
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import sys

cdef dict _python = globals()  # where the Python parts have their names


def _be_unknown():
    """Takes back that Cython made the module known by the name of this file: it has the one by which it is imported."""
    known = sys.modules.get("@WRAPPER@")
    if known is not None and known.__dict__ is _python:
        del sys.modules["@WRAPPER@"]


_be_unknown()

import linecache
import threading
from os import environ as _environ
from time import perf_counter as _perf_counter

from numpy import dtype as _dtype, empty as _empty, finfo as _finfo, ndarray as _ndarray

cdef extern from *:
    """
#ifndef NNCODEGEN_REAL
#define NNCODEGEN_REAL double
#endif

/* Structures without a tag are the same type in two files if their members are (C11, 6.2.7), whatever they are called. */
#define NN_MODEL nncodegen
#define NN_REAL NNCODEGEN_REAL
#define NN_HAS_MANY 0
#define NN_HAS_BLAS 0
#include "nncodegen/interface.h"

#define HIDDEN __attribute__((visibility("hidden")))
extern HIDDEN const nncodegen_functions nncodegen_kernel;
extern HIDDEN const char *const nncodegen_facts[];
    """
    ctypedef double real "nncodegen_real"

    ctypedef struct nncodegen_poll:
        int (*stop)(void *) noexcept nogil
        void *context
        double interval
        double spent
        double asked

    ctypedef struct nncodegen_data:
        const real *inputs
        const real *targets
        size_t samples
        const real *weights
        const real *counts
        const double *spread

    ctypedef struct nncodegen_training:
        nncodegen_data data
        nncodegen_data validation
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
        nncodegen_poll poll
        real *parameters
        real *best
        real *state
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

    ctypedef struct nncodegen_many:
        const real *inputs
        const real *targets
        size_t input_stride
        size_t target_stride
        size_t samples
        size_t batch
        int optimizer
        const double *options
        const double *learning_rates
        const double *initial_state
        double weight_decay
        const double *l2
        double tolerance
        int shuffle
        uint64_t *random
        size_t epochs
        nncodegen_poll poll
        size_t models
        size_t first
        size_t last
        void *work
        size_t *order
        real *parameters
        double *loss
        double *history
        uint64_t *done
        int *status

    ctypedef void nncodegen_gemm()

    enum: nncodegen_CONVERGED
    enum: nncodegen_FEW

    ctypedef struct nncodegen_functions:
        size_t (*cost)() noexcept nogil
        void (*use_gemm)(nncodegen_gemm *) noexcept nogil
        const char *(*variant)() noexcept nogil
        int (*use)(const char *) noexcept nogil
        size_t (*work_size)() noexcept nogil
        size_t (*state_size)() noexcept nogil
        size_t (*measures_size)() noexcept nogil
        size_t (*first_not_finite)(const real *, size_t) noexcept nogil
        int (*predict)(const real *, const real *, size_t, void *, real *, nncodegen_poll *) noexcept nogil
        int (*predict_few)(const real *, const real *, size_t, void *, real *) noexcept nogil
        int (*loss)(const real *, const real *, const real *, const real *, size_t, void *, double *,
            nncodegen_poll *) noexcept nogil
        int (*loss_and_gradient)(const real *, const real *, const real *, const real *, size_t, void *, double *,
            real *, nncodegen_poll *) noexcept nogil
        size_t (*many_models)() noexcept nogil
        size_t (*many_size)() noexcept nogil
        int (*train_many)(nncodegen_many *) noexcept nogil
        void (*train)(nncodegen_training *) noexcept nogil
        void (*present)(const nncodegen_training *, real *) noexcept nogil

    const nncodegen_functions kernel "nncodegen_kernel"
    const char *const *_facts "nncodegen_facts"


def _run(str text, str part):
    """Executes a Python part of the module, whose lines tracebacks show."""
    file = f"<{__name__}{part}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    exec(compile(text, file, "exec", dont_inherit=True), _python)


def _told():
    """The facts of the model, as Python."""
    cdef size_t k = 0
    parts = []
    while _facts[k] != NULL:
        parts.append(_facts[k].decode())
        k += 1
    return "".join(parts)


_run(_told(), ".facts")
_DOCUMENTATION = _python["__doc__"]

cdef Py_ssize_t _columns = len(_python["input_names"])
cdef Py_ssize_t _targets = len(_python["target_names"])
cdef Py_ssize_t _outputs = len(_python["output_names"])
cdef bint _labels = _python["accepts_labels"]
cdef size_t _count = _python["parameter_count"]
cdef object _real = _dtype(_python["precision"])
cdef double _tiniest = _finfo(_real).tiny

_VARIANTS = @VARIANTS@


def _use_variant():
    """The variant of the kernel that is used from now on, and all that this CPU can run, the fastest first.

    It is the fastest, or that of NNCODEGEN_VARIANT, or the next below it.
    """
    bound = _environ.get("NNCODEGEN_VARIANT") or _VARIANTS[0]
    if bound not in _VARIANTS:
        raise ImportError(f"NNCODEGEN_VARIANT is {bound!r}; there are: {', '.join(_VARIANTS)}")
    usable = [name for name in _VARIANTS if kernel.use(name.encode())]
    allowed = [name for name in usable if _VARIANTS.index(name) >= _VARIANTS.index(bound)]
    kernel.use((allowed or usable)[0].encode())
    return kernel.variant().decode(), tuple(usable)


variant, variants = _use_variant()  # before any other call: the variants need different memory


@ARRAYS@


@BLAS@


cdef class _Call:
    """What every call needs: work memory, and a way to stop: on a signal, or where a hook says so."""

    cdef void *work
    cdef nncodegen_poll poll
    cdef readonly object error
    cdef public object hook

    def __cinit__(self):
        self.hook = getattr(_calls, "hook", None)
        self.work = malloc(kernel.work_size())
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


def _native_first_not_finite(array, size_t count):
    cdef const real *values = <const real *> _address(array)
    cdef size_t position
    with nogil:
        position = kernel.first_not_finite(values, count)
    return position


def _native_predict(parameters, X, size_t samples, outputs):
    cdef _Call call = _Call()
    cdef const real *p = <const real *> _address(parameters)
    cdef const real *x = <const real *> _address(X)
    cdef real *result = <real *> _address(outputs)
    cdef int stopped
    cdef bint held = _hold_blas()
    with nogil:
        stopped = kernel.predict(p, x, samples, call.work, result, &call.poll)
    _release_blas(held)
    if stopped:
        raise call.error or KeyboardInterrupt


def _native_loss(parameters, X, Y, weights, size_t samples, gradient):
    """The loss; its gradient is written to an array, unless that is None."""
    cdef _Call call = _Call()
    cdef const real *p = <const real *> _address(parameters)
    cdef const real *x = <const real *> _address(X)
    cdef const real *y = <const real *> _address(Y)
    cdef const real *w = <const real *> _address(weights)
    cdef real *g = <real *> _address(gradient)
    cdef double loss = 0
    cdef int stopped
    cdef bint held = _hold_blas()
    with nogil:
        if g:
            stopped = kernel.loss_and_gradient(p, x, y, w, samples, call.work, &loss, g, &call.poll)
        else:
            stopped = kernel.loss(p, x, y, w, samples, call.work, &loss, &call.poll)
    _release_blas(held)
    if stopped:
        raise call.error or KeyboardInterrupt
    return loss


cdef class _NativeTraining(_Call):
    """A training that is under way. Numbers come and go in arrays: arguments of their own would be much C to compile."""

    cdef nncodegen_training run
    cdef list held

    def __init__(self, buffers, state, options, int optimizer, uint64_t seed):
        self.held = [buffers, state, options, None, None, None, None]
        self.run.parameters = <real *> _address(buffers)
        self.run.best = self.run.parameters + _count
        self.run.state = <real *> _address(state)
        self.run.options = <const double *> _address(options)
        self.run.optimizer = optimizer
        self.run.seed = seed
        self.run.work = self.work
        self.run.poll = self.poll

    def use(self, arrays, size_t samples, int validation):
        """Sets what to train on, or to validate with: X, Y, weights, counts, spread."""
        cdef nncodegen_data *data = &self.run.validation if validation else &self.run.data
        self.held[4 if validation else 3] = arrays
        data.inputs = <const real *> _address(arrays[0])
        data.targets = <const real *> _address(arrays[1])
        data.weights = <const real *> _address(arrays[2])
        data.counts = <const real *> _address(arrays[3])
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
            self.work = malloc(self.run.threads*kernel.work_size())
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
        cdef bint held = _hold_blas()
        with nogil:
            kernel.train(&self.run)
        _release_blas(held)
        return self.run.status

    def parameters(self):
        """The parameters at present, also while the training is under way, for those whom it asks."""
        reached = _empty(_count, _real)
        kernel.present(&self.run, <real *> _address(reached))
        return reached

    @property
    def epochs(self):
        return self.run.epochs

    @property
    def updates(self):
        return self.run.updates


def _native_train_many(X, Y, bint own_X, bint own_Y, size_t samples, size_t batch, int optimizer, options, rates,
                       initial_state, double weight_decay, l2, double tolerance, int shuffle, random, size_t first,
                       size_t last, size_t epochs, parameters, loss, history, done, status):
    """Trains the models first <= m < last, whose parameters are changed in place."""
    cdef _Call call = _Call()
    cdef nncodegen_many run
    cdef bytearray work = bytearray(kernel.many_size())
    cdef bytearray order = bytearray(samples*kernel.many_models()*sizeof(size_t) if shuffle else 0)
    run.inputs = <const real *> _address(X)
    run.targets = <const real *> _address(Y)
    run.input_stride = samples*<size_t> _columns if own_X else 0
    run.target_stride = samples*<size_t> _targets if own_Y else 0
    run.samples = samples
    run.batch = batch
    run.optimizer = optimizer
    run.options = <const double *> _address(options)
    run.learning_rates = <const double *> _address(rates)
    run.initial_state = <const double *> _address(initial_state)
    run.weight_decay = weight_decay
    run.l2 = <const double *> _address(l2) if l2 is not None else NULL
    run.tolerance = tolerance
    run.shuffle = shuffle
    run.random = <uint64_t *> _address(random)
    run.poll = call.poll
    run.models, run.epochs = <size_t> parameters.shape[0], epochs
    run.first, run.last = first, last
    run.work = <void *> _address(work)
    run.order = <size_t *> _address(order)
    run.parameters = <real *> _address(parameters)
    run.loss = <double *> _address(loss)
    run.history = <double *> _address(history) if history is not None else NULL
    run.done = <uint64_t *> _address(done)
    run.status = <int *> _address(status)
    cdef int stopped
    with nogil:
        stopped = kernel.train_many(&run)
    if stopped:
        raise call.error or KeyboardInterrupt


_group_size = kernel.many_models() if kernel.many_models != NULL else 1
_state_size = kernel.state_size()
_measures_size = kernel.measures_size()


@SHORT@


# The rest of the module is Python, compiled when the module is imported.

_run(@INTERFACE@, "")
if kernel.use_gemm != NULL:
    _run(@BLAS_INTERFACE@, ".blas")
_run(@MANY_INTERFACE@, ".many")
_python["__doc__"] = _DOCUMENTATION

cdef tuple _defaults = _python["train"].__defaults__[11:]  # of what _native_train_short takes as one tuple
cdef object _rules = _python["_RULES"]
