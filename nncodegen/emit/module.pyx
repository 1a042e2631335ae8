# The native part: calls into C, without the interpreter's lock.

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc

import threading

from numpy import dtype as _dtype, empty as _empty, ndarray as _ndarray

cdef Py_ssize_t _columns = len(input_names)
cdef object _real = _dtype(precision)

cdef extern from "@name@.h":
    ctypedef struct @name@_poll:
        int (*stop)(void *) noexcept nogil
        void *context
        double spent
        double asked

    ctypedef struct @name@_training:
        const @real@ *inputs
        const @real@ *targets
        size_t samples
        size_t batch
        int optimizer
        const double *options
        double tolerance
        int shuffle
        int sequential
        uint64_t random
        size_t until
        @name@_poll poll
        @real@ *parameters
        @real@ *next
        @real@ *gradient
        @real@ *state
        void *work
        size_t *order
        double *history
        size_t epochs
        double updates
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
    size_t @name@_work_size() nogil
    size_t @name@_state_size() nogil
    size_t @name@_first_not_finite(const @real@ *, size_t) nogil
    int @name@_predict(const @real@ *, const @real@ *, size_t, void *, @real@ *, @name@_poll *) nogil
    enum: @name@_FEW
    int @name@_predict_few(const @real@ *, const @real@ *, size_t, void *, @real@ *) nogil
    int @name@_loss(const @real@ *, const @real@ *, const @real@ *, const @real@ *, size_t, void *, double *,
        @name@_poll *) nogil
    int @name@_loss_and_gradient(const @real@ *, const @real@ *, const @real@ *, const @real@ *, size_t, void *,
        double *, @real@ *, @name@_poll *) nogil
    void @name@_train(@name@_training *) nogil


cdef class _Call:
    """What every call needs: work memory, and a way to stop on a signal."""

    cdef void *work
    cdef @name@_poll poll
    cdef list stored

    def __cinit__(self):
        self.stored = getattr(_calls, "stored", None)
        if self.stored is None:
            self.stored = []
        self.work = malloc(@name@_work_size())
        if not self.work:
            raise MemoryError
        self.poll.stop = _stop
        self.poll.context = <void *> self.stored
        self.poll.spent = 0
        self.poll.asked = 0

    def __dealloc__(self):
        free(self.work)


# Calls of a thread for which this holds a list share it: they stop where it holds an exception.
_calls = threading.local()


cdef int _stop(void *context) noexcept with gil:
    if <list> context:
        return 1
    try:
        PyErr_CheckSignals()
        return 0
    except BaseException as error:
        (<list> context).append(error)
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
        raise call.stored[0]


cdef void *_work = NULL  # of _native_predict_few, which holds the interpreter's lock


cdef bint _is_real(const char *format):
    return format != NULL and format[0] == c"@code@" and format[1] == 0


def _native_predict_few(parameters, X):
    """The outputs of a few rows, for arrays as they come from NumPy; None where predict must look closer."""
    cdef Py_buffer p, x
    global _work
    if type(parameters) is not _ndarray or type(X) is not _ndarray:
        return None
    try:
        PyObject_GetBuffer(parameters, &p, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    except (ValueError, BufferError):
        return None
    try:
        PyObject_GetBuffer(X, &x, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    except (ValueError, BufferError):
        PyBuffer_Release(&p)
        return None
    try:
        if (
            p.ndim != 1 or p.shape[0] != <Py_ssize_t> parameter_count or not _is_real(p.format)
            or x.ndim != 2 or x.shape[1] != _columns or not 1 <= x.shape[0] <= @name@_FEW or not _is_real(x.format)
        ):
            return None
        if not _work:
            _work = malloc(@name@_work_size())
            if not _work:
                raise MemoryError
        outputs = _empty((x.shape[0], output_count), _real)
        if not @name@_predict_few(<const @real@ *> p.buf, <const @real@ *> x.buf, <size_t> x.shape[0], _work,
                                  <@real@ *> _address(outputs)):
            return None
        return outputs
    finally:
        PyBuffer_Release(&p)
        PyBuffer_Release(&x)


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
        raise call.stored[0]
    return loss


cdef class _NativeTraining(_Call):
    """A training that is under way."""

    cdef @name@_training run
    cdef object held
    cdef @real@ *buffers

    def __init__(self, X, Y, size_t samples, size_t batch, int optimizer, options, double tolerance, int shuffle,
                 int sequential, uint64_t random, buffers, state, order):
        self.held = (X, Y, options, buffers, state, order)
        self.buffers = <@real@ *> _address(buffers)
        self.run.inputs = <const @real@ *> _address(X)
        self.run.targets = <const @real@ *> _address(Y)
        self.run.samples = samples
        self.run.batch = batch
        self.run.optimizer = optimizer
        self.run.options = <const double *> _address(options)
        self.run.tolerance = tolerance
        self.run.shuffle = shuffle
        self.run.sequential = sequential
        self.run.random = random
        self.run.poll = self.poll
        self.run.parameters = self.buffers
        self.run.next = self.buffers + <size_t> parameter_count
        self.run.gradient = self.buffers + 2*<size_t> parameter_count
        self.run.state = <@real@ *> _address(state)
        self.run.work = self.work
        self.run.order = <size_t *> _address(order)
        self.run.epochs = 0
        self.run.updates = 0
        self.run.status = 0

    def advance(self, history):
        """Trains for as many epochs as history has room for. Returns the status."""
        self.run.history = <double *> _address(history)
        self.run.until = self.run.epochs + <size_t> len(history)
        with nogil:
            @name@_train(&self.run)
        return self.run.status

    @property
    def epochs(self):
        return self.run.epochs

    @property
    def row(self):
        """Which of the buffers holds the parameters."""
        return 0 if self.run.parameters == self.buffers else 1

    @property
    def stop_reason(self):
        """The exception that a signal raised."""
        return self.stored[0]


@MANY@def _native_train_many(X, Y, bint own_X, bint own_Y, size_t samples, size_t batch, int optimizer, options, rates,
@MANY@                       double tolerance, int shuffle, random, size_t first, size_t last, parameters, loss, history,
@MANY@                       done, status):
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
@MANY@    run.tolerance = tolerance
@MANY@    run.shuffle = shuffle
@MANY@    run.random = <uint64_t *> _address(random)
@MANY@    run.poll = call.poll
@MANY@    run.models, run.epochs = <size_t> history.shape[1], <size_t> history.shape[0]
@MANY@    run.first, run.last = first, last
@MANY@    run.work = <void *> _address(work)
@MANY@    run.order = <size_t *> _address(order)
@MANY@    run.parameters = <@real@ *> _address(parameters)
@MANY@    run.loss = <double *> _address(loss)
@MANY@    run.history = <double *> _address(history)
@MANY@    run.done = <uint64_t *> _address(done)
@MANY@    run.status = <int *> _address(status)
@MANY@    cdef int stopped
@MANY@    with nogil:
@MANY@        stopped = @name@_train_many(&run)
@MANY@    if stopped:
@MANY@        raise call.stored[0]
@MANY@
@MANY@
@MANY@_group_size = @name@_MODELS
_state_size = @name@_state_size()

# The rest of the module is Python, compiled when the module is imported.

import linecache

_INTERFACE = @INTERFACE@

linecache.cache[f"<{__name__}>"] = (len(_INTERFACE), None, _INTERFACE.splitlines(True), f"<{__name__}>")
_DOCUMENTATION = __doc__
exec(compile(_INTERFACE, f"<{__name__}>", "exec", dont_inherit=True), globals())

_MANY = @MANY_INTERFACE@

linecache.cache[f"<{__name__}.many>"] = (len(_MANY), None, _MANY.splitlines(True), f"<{__name__}.many>")
exec(compile(_MANY, f"<{__name__}.many>", "exec", dont_inherit=True), globals())
__doc__ = _DOCUMENTATION
