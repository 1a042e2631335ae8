# The native part: calls into C, without the interpreter's lock.

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc

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
        size_t until
        int monitor
        int higher
        double min_delta
        size_t patience
        @name@_poll poll
        @real@ *parameters
        @real@ *next
        @real@ *gradient
        @real@ *best
        @real@ *state
        void *work
        size_t *order
        @real@ *outputs
        uint64_t random
        size_t epochs
        size_t updates
        size_t begin
        size_t sweep
        double epoch_loss
        double batch_loss
        double largest
        double best_figure
        size_t best_epoch
        double *history
        size_t columns
        int status

    size_t @name@_work_size() nogil
    size_t @name@_state_size() nogil
    size_t @name@_outputs_size() nogil
    size_t @name@_first_not_finite(const @real@ *, size_t) nogil
    int @name@_predict(const @real@ *, const @real@ *, size_t, void *, @real@ *, @name@_poll *) nogil
    int @name@_loss(const @real@ *, const @real@ *, const @real@ *, const @real@ *, size_t, void *, double *,
        @name@_poll *) nogil
    int @name@_loss_and_gradient(const @real@ *, const @real@ *, const @real@ *, const @real@ *, size_t, void *,
        double *, @real@ *, @name@_poll *) nogil
    void @name@_train(@name@_training *) nogil


cdef class _Call:
    """What every call needs: work memory, and a way to stop: on a signal, or where a hook says so."""

    cdef void *work
    cdef @name@_poll poll
    cdef readonly object error
    cdef public object hook

    def __cinit__(self):
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
    with nogil:
        stopped = @name@_predict(p, x, samples, call.work, result, &call.poll)
    if stopped:
        raise call.error


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
    with nogil:
        if g:
            stopped = @name@_loss_and_gradient(p, x, y, w, samples, call.work, &loss, g, &call.poll)
        else:
            stopped = @name@_loss(p, x, y, w, samples, call.work, &loss, &call.poll)
    if stopped:
        raise call.error
    return loss


cdef class _NativeTraining(_Call):
    """A training that is under way."""

    cdef @name@_training run
    cdef dict held
    cdef @real@ *buffers

    def __init__(self, buffers, int optimizer, options, state, uint64_t seed, int sequential):
        self.held = {"own": (buffers, options, state)}
        self.buffers = <@real@ *> _address(buffers)
        self.run.optimizer = optimizer
        self.run.options = <const double *> _address(options)
        self.run.sequential = sequential
        self.run.seed = seed
        self.run.random = seed
        self.run.parameters = self.buffers
        self.run.next = self.buffers + <size_t> parameter_count
        self.run.gradient = self.buffers + 2*<size_t> parameter_count
        self.run.best = self.buffers + 3*<size_t> parameter_count
        self.run.state = <@real@ *> _address(state)
        self.run.work = self.work
        self.run.best_figure = float("inf")
        self.run.monitor = -1
        self.run.columns = 1
        self.run.poll = self.poll

    def use(self, X, Y, size_t samples, weights, counts, spread, size_t batch, order):
        """Sets what to train on; it is shuffled if there is an order to write to."""
        self.held["data"] = (X, Y, weights, counts, spread, order)
        self.run.data.inputs = <const @real@ *> _address(X)
        self.run.data.targets = <const @real@ *> _address(Y)
        self.run.data.samples = samples
        self.run.data.weights = <const @real@ *> _address(weights)
        self.run.data.counts = <const @real@ *> _address(counts)
        self.run.data.spread = <const double *> _address(spread)
        self.run.batch = batch
        self.run.order = <size_t *> _address(order)
        self.run.shuffle = order is not None

    def regularize(self, double l1, double l2, double weight_decay, double clip_value, double clip_norm,
                   double tolerance):
        self.run.l1, self.run.l2, self.run.weight_decay = l1, l2, weight_decay
        self.run.clip_value, self.run.clip_norm, self.run.tolerance = clip_value, clip_norm, tolerance

    def validate(self, X, Y, size_t samples, weights, spread):
        """Sets what to validate with."""
        self.held["validation"] = (X, Y, weights, spread)
        self.run.validation.inputs = <const @real@ *> _address(X)
        self.run.validation.targets = <const @real@ *> _address(Y)
        self.run.validation.samples = samples
        self.run.validation.weights = self.run.validation.counts = <const @real@ *> _address(weights)
        self.run.validation.spread = <const double *> _address(spread)

    def watch(self, size_t columns, outputs, int monitor, int higher, double min_delta, size_t patience):
        """Sets what is measured after each epoch, and which column tells the best."""
        self.held["outputs"] = outputs
        self.run.columns, self.run.monitor, self.run.higher = columns, monitor, higher
        self.run.min_delta, self.run.patience = min_delta, patience
        self.run.outputs = <@real@ *> _address(outputs)

    def ask(self, hook, double interval):
        """Sets what is called now and then, at intervals of so many seconds or longer; it may end the training."""
        self.hook = hook
        self.run.poll.interval = interval

    def advance(self, history, factors, int factors_of_updates):
        """Trains for as many epochs as history has rows for. Returns the status."""
        self.run.history = <double *> _address(history)
        self.run.factors = <const double *> _address(factors)
        self.run.factors_of_updates = factors_of_updates
        self.run.until = self.run.epochs + <size_t> len(history)
        self.error = None
        with nogil:
            @name@_train(&self.run)
        return self.run.status

    @property
    def position(self):
        """Where the training is: (random, epochs, updates, begin, sweep, best_epoch), and numbers of the epoch."""
        run = &self.run
        return (
            (run.random, run.epochs, run.updates, run.begin, run.sweep, run.best_epoch),
            (run.epoch_loss, run.batch_loss, run.largest, run.best_figure),
        )

    @position.setter
    def position(self, place):
        run = &self.run
        run.random, run.epochs, run.updates, run.begin, run.sweep, run.best_epoch = place[0]
        run.epoch_loss, run.batch_loss, run.largest, run.best_figure = place[1]

    @property
    def epochs(self):
        return self.run.epochs

    @property
    def updates(self):
        return self.run.updates

    @property
    def row(self):
        """Which of the buffers holds the parameters."""
        return 0 if self.run.parameters == self.buffers else 1


_state_size = @name@_state_size()
_outputs_size = @name@_outputs_size()

# The rest of the module is Python, compiled when the module is imported.

import linecache

_INTERFACE = @INTERFACE@

linecache.cache[f"<{__name__}>"] = (len(_INTERFACE), None, _INTERFACE.splitlines(True), f"<{__name__}>")
_DOCUMENTATION = __doc__
exec(compile(_INTERFACE, f"<{__name__}>", "exec", dont_inherit=True), globals())
__doc__ = _DOCUMENTATION
