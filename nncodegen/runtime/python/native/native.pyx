# cython: language_level=3, binding=False, auto_pickle=False, freethreading_compatible=True

# The native part of compiled modules: calls into C, without the interpreter's lock. It is the same for all models.
#
# Cython compiles this file to C, which is compiled for each precision: NNCODEGEN_REAL is double or float, and
# NNCODEGEN_VARIANT_NAMES lists the variants that a kernel may have, the fastest first. A module that holds everything is
# linked with it, and is this module, with the functions of one model; nncodegen_python.h holds the Python files,
# compressed. A module that stays where it was built has only its kernel and its facts, and is made by this module, which
# a process then loads once for all of them (modules.pxi).

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport HUGE_VAL, floor, isfinite, sqrt
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

include "kernel.pxi"

# Names that are only used here are cdef, so that the module does not show them.
cdef object _sys = __import__("sys")
cdef object _numpy = __import__("numpy")
cdef object _empty = _numpy.empty
cdef object _ndarray = _numpy.ndarray
cdef object _perf_counter = __import__("time").perf_counter
cdef dict _namespace = globals()


cdef _be_unknown():
    """Unregister this module under the name of this file, where Cython puts it: imports use another name."""
    known = _sys.modules.get("nncodegen_wrapper")
    if known is not None and known.__dict__ is _namespace:
        del _sys.modules["nncodegen_wrapper"]


_be_unknown()


cdef list _strings(const char *const *texts):
    """Return the texts in an array that ends with NULL."""
    cdef size_t k = 0
    cdef list found = []
    while texts[k] != NULL:
        found.append(texts[k].decode())
        k += 1
    return found


cdef _runtime():
    """Return the Python part of all modules: the package that this process has already, or the one of this module."""
    cdef str name = "_nncodegen_" + c_digest.decode()
    cdef dict finder
    if name not in _sys.modules and not c_texts_size:  # this module stays where it was built
        __import__("nncodegen.runtime")
        if name not in _sys.modules:
            raise ImportError("this module was built by another version of nncodegen: build the model again")
    if name not in _sys.modules:
        finder = {"__name__": name + "_finder"}
        exec(compile(c_finder.decode(), "nncodegen/runtime/finder.py", "exec", dont_inherit=True), finder)
        texts = __import__("zlib").decompress(c_texts[:c_texts_size]).decode().split("\0")
        finder["install"](name, dict(zip(texts[::2], texts[1::2])))
    return __import__("importlib").import_module(name)


cdef object _python = _runtime()
cdef object _real = _numpy.dtype("float64" if sizeof(real) == sizeof(double) else "float32")
cdef double _tiniest = _numpy.finfo(_real).tiny
cdef object _calls = _python.calls  # its attribute hook, if set, is a function that a thread asks whether to end


cdef tuple _use_variant(nncodegen_functions *kernel):
    """Choose the fastest variant of a kernel that runs here; if NNCODEGEN_VARIANT is set, none faster than that.

    Returns all variants that this CPU can run, the fastest first.
    """
    names = c_variants.decode().split()
    bound = __import__("os").environ.get("NNCODEGEN_VARIANT") or names[0]
    if bound not in names:
        raise ImportError(f"NNCODEGEN_VARIANT is {bound!r}; there are: {', '.join(names)}")
    usable = [name for name in names if kernel.use(name.encode())]
    allowed = [name for name in usable if names.index(name) >= names.index(bound)]
    kernel.use((allowed or usable)[0].encode())
    return tuple(usable)


cdef enum:
    FEW_VALUES = 512  # up to this number, to check values takes no longer than to release Python's lock and retake it


cdef class _Native  # a model in C, below


include "arrays.pxi"
include "blas.pxi"
include "training.pxi"
include "labels.pxi"
include "short.pxi"
include "fits.pxi"
include "fitting.pxi"
include "algebra.pxi"


cdef class _Native:
    """A model in C, for the Python part of its module (native.py)."""

    cdef nncodegen_functions kernel
    cdef bint apart
    cdef dict namespace  # of the module
    cdef set asked  # the parts that have been asked for
    cdef Py_ssize_t columns, targets, outputs
    cdef size_t count  # of the values of its parameters
    cdef bint labels
    cdef size_t ranges_count
    cdef _range *ranges  # the inputs that have ranges
    cdef size_t steps, classes  # those of the only target, if labels of steps may stand for it; else 0
    cdef bint rising  # whether it has inputs that must rise, which the Python part checks
    cdef double cost  # the operations for a sample
    cdef _Blas blas
    cdef void *work  # memory for the next short call, unless another thread has taken it
    cdef object model  # that of the Python part
    cdef dict rules  # of the model
    cdef readonly size_t state_size, measures_size
    cdef readonly object variant
    cdef readonly tuple variants

    def __dealloc__(self):
        free(self.work)
        free(self.ranges)

    cdef need(self, str part):
        """Add the functions of a part to the kernel, if this is a module whose parts are compiled on first use."""
        cdef size_t address, k
        cdef void **own = <void **> &self.kernel
        cdef void **others
        if not self.apart or part in self.asked:
            return
        cdef nncodegen_functions before = self.kernel
        address = _python.address_of_part(self.namespace["__file__"], part)
        if address:
            others = <void **> address
            for k in range(sizeof(nncodegen_functions)//sizeof(void *)):  # those of other parts are NULL
                if others[k] != NULL:
                    own[k] = others[k]
        self.asked.add(part)
        try:
            _python.check_part(self.namespace["__file__"], part)  # which calls the functions, if they are new
        except BaseException:
            self.kernel = before
            self.asked.discard(part)
            raise

    def has(self, str part):
        return not self.apart or part in self.asked

    @property
    def group_size(self):
        self.need("many")
        return self.kernel.many_models() if self.kernel.many_models != NULL else 1

    cdef need_fits(self):
        """Add the functions of many fits: those with forward sweeps are a part, others are in that of single fits."""
        self.need("fits")
        if self.kernel.fits_lanes == NULL:
            self.need("fitting")

    @property
    def fits_lanes(self):
        self.need_fits()
        return self.kernel.fits_lanes() if self.kernel.fits_lanes != NULL else 0

    @property
    def has_hessian(self):
        self.need("hessian")
        return self.kernel.hessian_products != NULL

    def first_not_finite(self, array, size_t count):
        cdef const real *values = <const real *> _address(array)
        cdef size_t position
        with nogil:
            position = self.kernel.first_not_finite(values, count)
        return position

    def takes(self, values, int axes, Py_ssize_t columns):
        cdef nncodegen_array *array = _usual(values)
        cdef size_t count, position
        if not array or array.axes != axes or array.shape[axes - 1] != columns or array.shape[0] < 1:
            return False
        count = <size_t> (columns if axes == 1 else array.shape[0]*columns)
        if count <= FEW_VALUES:
            return _is_finite(self, array, count)
        with nogil:
            position = self.kernel.first_not_finite(<const real *> array.data, count)
        return position == count

    def in_ranges(self, X, size_t rows):
        return _in_ranges(self, <const real *> _address(X), rows)

    def predict(self, parameters, X, size_t samples, outputs, size_t max_steps=0):
        cdef _Call call = _Call(self)
        call.poll.max_steps = max_steps
        cdef const real *p = <const real *> _address(parameters)
        cdef const real *x = <const real *> _address(X)
        cdef real *result = <real *> _address(outputs)
        cdef int stopped
        cdef bint held = _hold_blas(&self.blas)
        with nogil:
            stopped = self.kernel.predict(p, x, samples, call.work, result, &call.poll)
        _release_blas(&self.blas, held)
        if stopped:
            raise call.error or KeyboardInterrupt

    def jacobian(self, parameters, X, size_t samples, derivatives, size_t max_steps=0):
        cdef _Call call = _Call(self)
        call.poll.max_steps = max_steps
        cdef const real *p = <const real *> _address(parameters)
        cdef const real *x = <const real *> _address(X)
        cdef real *result = <real *> _address(derivatives)
        self.need("fitting")
        cdef bytearray work = bytearray(self.kernel.jacobian_size())
        cdef void *memory = <void *> _address(work)
        cdef int stopped
        with nogil:
            stopped = self.kernel.jacobian(p, x, samples, memory, result, &call.poll)
        if stopped:
            raise call.error or KeyboardInterrupt

    def fit(self, X, Y, size_t samples, sigma, bounds, fixed, int robust, double robust_scale, double tolerance,
            size_t max_iterations, parameters, residuals, triangle, active, poles, costs, watch, errors=None,
            size_t max_steps=0, double output_error=0, penalty=None):
        self.need("fitting")
        return _fit(self, X, Y, samples, sigma, bounds, fixed, robust, robust_scale, tolerance, max_iterations,
            parameters, residuals, triangle, active, poles, costs, watch, errors, max_steps, output_error,
            penalty)

    def fit_groups(self, tuple data, begins, int robust, double robust_scale, parameters, columns, signs, size_t first,
            size_t last, tuple results, errors=None):
        self.need("fitting")
        _fit_groups(self, data, begins, robust, robust_scale, parameters, columns, signs, first, last, results, errors)

    def errors_memory(self, size_t samples, size_t groups):
        self.need("fitting")
        return _memory_of(self.kernel.errors_size(samples, groups))

    def hessian_products(self, parameters, directions, size_t count, X, Y, weights, size_t samples, products):
        cdef _Call call = _Call(self)
        cdef const real *p = <const real *> _address(parameters)
        cdef const real *v = <const real *> _address(directions)
        cdef const real *x = <const real *> _address(X)
        cdef const real *y = <const real *> _address(Y)
        cdef const real *w = <const real *> _address(weights)
        cdef real *result = <real *> _address(products)
        self.need("hessian")
        cdef bytearray work = bytearray(self.kernel.hessian_size())
        cdef void *memory = <void *> _address(work)
        cdef int stopped
        with nogil:
            stopped = self.kernel.hessian_products(p, v, count, x, y, w, samples, memory, result, &call.poll)
        if stopped:
            raise call.error or KeyboardInterrupt

    def fields(self, parameters, X, Y, size_t samples, values):
        cdef _Call call = _Call(self)
        cdef const real *p = <const real *> _address(parameters)
        cdef const real *x = <const real *> _address(X)
        cdef const real *y = <const real *> _address(Y)
        cdef real *result = <real *> _address(values)
        self.need("fields")
        cdef bytearray work = bytearray(self.kernel.fields_size())
        cdef void *memory = <void *> _address(work)
        cdef int stopped
        with nogil:
            stopped = self.kernel.fields(p, x, y, samples, memory, result, &call.poll)
        if stopped:
            raise call.error or KeyboardInterrupt

    def step_sizes(self):
        cdef size_t[5] sizes
        self.need("step")
        if self.kernel.step_sizes == NULL:
            return None
        self.kernel.step_sizes(sizes)
        return sizes[0], sizes[1], sizes[2], sizes[3]

    def step(self, parameters, tokens, size_t rows, states, probabilities):
        cdef const real *p = <const real *> _address(parameters)
        cdef const int32_t *given = <const int32_t *> _address(tokens)
        cdef real *s = <real *> _address(states)
        cdef real *result = <real *> _address(probabilities)
        cdef size_t[5] sizes
        self.kernel.step_sizes(sizes)
        cdef bytearray work = bytearray(sizes[4]*sizeof(real))
        cdef real *memory = <real *> _address(work)
        with nogil:
            self.kernel.one_step(p, given, rows, s, result, memory)

    def generate(self, parameters, prompts, lengths, size_t rows, size_t steps, double temperature, size_t top_k,
            int32_t stop, uint64_t seed, tokens, counts):
        cdef _Call call = _Call(self)
        cdef nncodegen_generation run
        cdef const int64_t *length = <const int64_t *> _address(lengths)
        cdef int64_t *count = <int64_t *> _address(counts)
        cdef size_t[5] sizes
        self.kernel.step_sizes(sizes)
        cdef bytearray work = bytearray((sizes[2] + sizes[4])*sizeof(real))
        run.parameters = <const real *> _address(parameters)
        run.prompt = <const int32_t *> _address(prompts)
        run.steps = steps
        run.temperature, run.top_k, run.stop = temperature, top_k, stop
        run.seed = seed
        run.poll = &call.poll
        run.state = <real *> _address(work)
        run.work = run.state + sizes[2]
        run.tokens = <int32_t *> _address(tokens)
        cdef int stopped = 0
        cdef size_t row
        with nogil:
            for row in range(rows):
                run.length, run.row = <size_t> length[row], row
                stopped = self.kernel.generate(&run)
                if stopped:
                    break
                count[row] = <int64_t> run.count
                run.prompt += run.length
                run.tokens += steps
        if stopped:
            raise call.error or KeyboardInterrupt

    def covariance(self, triangle, double scale, double least, covariance):
        return _covariance(triangle, scale, least, covariance)

    def singular_values(self, matrices, U, singular, directions):
        _singular_values(matrices, U, singular, directions)

    def triangles(self, matrices, triangles):
        _triangles(matrices, triangles)

    def lengths(self, rows, lengths):
        _lengths(rows, lengths)

    @property
    def predict_short(self):
        return PyCFunction_NewEx(&nncodegen_predict_short, self, NULL)

    def loss(self, parameters, X, Y, weights, size_t samples, gradient):
        cdef _Call call = _Call(self)
        cdef const real *p = <const real *> _address(parameters)
        cdef const real *x = <const real *> _address(X)
        cdef const real *y = <const real *> _address(Y)
        cdef const real *w = <const real *> _address(weights)
        cdef real *g = <real *> _address(gradient)
        cdef double loss = 0
        cdef int stopped
        cdef bint held = _hold_blas(&self.blas)
        with nogil:
            if g:
                stopped = self.kernel.loss_and_gradient(p, x, y, w, samples, call.work, &loss, g, &call.poll)
            else:
                stopped = self.kernel.loss(p, x, y, w, samples, call.work, &loss, &call.poll)
        _release_blas(&self.blas, held)
        if stopped:
            raise call.error or KeyboardInterrupt
        return loss

    @property
    def loss_short(self):
        return PyCFunction_NewEx(&nncodegen_loss_short, self, NULL)

    def training(self, buffers, state, options, int optimizer, uint64_t seed):
        return _Training(self, buffers, state, options, optimizer, seed)

    @property
    def train_short(self):
        return PyCFunction_NewEx(&nncodegen_train_short, self, NULL)

    def train_many(self, X, Y, bint own_X, bint own_Y, size_t samples, size_t batch, int optimizer, options, rates,
            initial_state, double weight_decay, l2, double tolerance, int shuffle, random, size_t first,
            size_t last, size_t epochs, parameters, loss, history, done, status):
        cdef _Call call = _Call(self)
        cdef nncodegen_many run
        self.need("many")
        cdef bytearray work = bytearray(self.kernel.many_size())
        cdef bytearray order = bytearray(samples*self.kernel.many_models()*sizeof(size_t) if shuffle else 0)
        run.inputs = <const real *> _address(X)
        run.targets = <const real *> _address(Y)
        run.input_stride = samples*<size_t> self.columns if own_X else 0
        run.target_stride = samples*<size_t> self.targets if own_Y else 0
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
            stopped = self.kernel.train_many(&run)
        if stopped:
            raise call.error or KeyboardInterrupt

    def fit_many(self, tuple data, strides, size_t samples, tuple limits, double tolerance, size_t max_iterations,
            bint absolute_sigma, size_t first, size_t last, tuple results, size_t max_steps=0):
        self.need_fits()
        _fit_many(self, data, strides, samples, limits, tolerance, max_iterations, absolute_sigma, first, last, results,
            max_steps)

    def blas_counter(self):
        return _blas_counter()

    def signature(self, routine):
        return _signature(routine)

    def know_blas(self, calls, size_t threads, size_t set_threads):
        _know_blas(&self.blas, calls, threads, set_threads)

    def use_blas(self, routine):
        _use_blas(self, routine)

    def blas_held(self):
        return _BlasHeld(self)


include "modules.pxi"
