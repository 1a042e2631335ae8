# cython: language_level=3, binding=False, auto_pickle=False, freethreading_compatible=True

# The native part of a compiled module: calls into C, without the interpreter's lock. It is the same for all models.
#
# Cython compiles this file to C, which is linked with the kernel of a model and with the facts that differ from model
# to model. It is compiled for each precision: NNCODEGEN_REAL is double or float. NNCODEGEN_VARIANT_NAMES lists the
# variants that a kernel may have, the fastest first. NAME_module.c holds the Python files of this folder, compressed.

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport HUGE_VAL, isfinite, sqrt
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
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
cdef object _facts = _python.read("".join(_strings(c_facts)))
cdef Py_ssize_t _columns = sum([size for _, size in _facts.inputs])
cdef Py_ssize_t _targets = sum([size for _, size in _facts.targets])
cdef Py_ssize_t _outputs = sum([size for _, size in _facts.outputs])
cdef size_t _count = sum([parameter.size for parameter in _facts.parameters])
cdef bint _labels = _facts.labels
cdef object _real = _numpy.dtype(_facts.precision)
cdef double _tiniest = _numpy.finfo(_real).tiny
cdef object _calls = _python.calls  # its attribute hook, if set, is a function that a thread asks whether to end
cdef object _model  # set at the end of the import


cdef tuple _use_variant():
    """Choose the fastest variant of the kernel that runs here; if NNCODEGEN_VARIANT is set, none faster than that.

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


cdef set _asked = set()  # the parts that have been asked for


cdef _need(str part):
    """Add the functions of a part to the kernel, if this module is one whose parts are compiled on first use."""
    cdef size_t address, k
    cdef void **own = <void **> &kernel
    cdef void **others
    if not c_apart or part in _asked:
        return
    address = _python.address_of_part(_namespace["__file__"], part)
    if address:
        others = <void **> address
        for k in range(sizeof(nncodegen_functions)//sizeof(void *)):  # those of other parts are NULL
            if others[k] != NULL:
                own[k] = others[k]
    _asked.add(part)


cdef tuple _variants = _use_variant()  # must precede all other calls: the variants need different memory


include "arrays.pxi"
include "blas.pxi"
include "training.pxi"
include "short.pxi"
include "fits.pxi"
include "fitting.pxi"


cdef class _Native:
    """The native functions of the module, for its Python part (native.py)."""

    cdef readonly size_t state_size, measures_size
    cdef readonly object variant
    cdef readonly tuple variants

    def __cinit__(self):
        self.state_size, self.measures_size = kernel.state_size(), kernel.measures_size()
        self.variant, self.variants = kernel.variant().decode(), _variants

    @property
    def group_size(self):
        _need("many")
        return kernel.many_models() if kernel.many_models != NULL else 1

    @property
    def fits_lanes(self):
        _need("fitting")
        return kernel.fits_lanes() if kernel.fits_lanes != NULL else 0

    @property
    def has_hessian(self):
        _need("hessian")
        return kernel.hessian_products != NULL

    def first_not_finite(self, array, size_t count):
        cdef const real *values = <const real *> _address(array)
        cdef size_t position
        with nogil:
            position = kernel.first_not_finite(values, count)
        return position

    def takes(self, values, int axes, Py_ssize_t columns):
        cdef nncodegen_array *array = _usual(values)
        cdef size_t count, position
        if not array or array.axes != axes or array.shape[axes - 1] != columns or array.shape[0] < 1:
            return False
        count = <size_t> (columns if axes == 1 else array.shape[0]*columns)
        with nogil:
            position = kernel.first_not_finite(<const real *> array.data, count)
        return position == count

    def predict(self, parameters, X, size_t samples, outputs):
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

    def jacobian(self, parameters, X, size_t samples, derivatives):
        cdef _Call call = _Call()
        cdef const real *p = <const real *> _address(parameters)
        cdef const real *x = <const real *> _address(X)
        cdef real *result = <real *> _address(derivatives)
        _need("fitting")
        cdef bytearray work = bytearray(kernel.jacobian_size())
        cdef void *memory = <void *> _address(work)
        cdef int stopped
        with nogil:
            stopped = kernel.jacobian(p, x, samples, memory, result, &call.poll)
        if stopped:
            raise call.error or KeyboardInterrupt

    def fit(self, X, Y, size_t samples, sigma, bounds, fixed, int robust, double robust_scale, double tolerance,
            size_t max_iterations, parameters, residuals, triangle, active, poles, costs, watch):
        _need("fitting")
        return _fit(X, Y, samples, sigma, bounds, fixed, robust, robust_scale, tolerance, max_iterations, parameters,
            residuals, triangle, active, poles, costs, watch)

    def hessian_products(self, parameters, directions, size_t count, X, Y, weights, size_t samples, products):
        cdef _Call call = _Call()
        cdef const real *p = <const real *> _address(parameters)
        cdef const real *v = <const real *> _address(directions)
        cdef const real *x = <const real *> _address(X)
        cdef const real *y = <const real *> _address(Y)
        cdef const real *w = <const real *> _address(weights)
        cdef real *result = <real *> _address(products)
        _need("hessian")
        cdef bytearray work = bytearray(kernel.hessian_size())
        cdef void *memory = <void *> _address(work)
        cdef int stopped
        with nogil:
            stopped = kernel.hessian_products(p, v, count, x, y, w, samples, memory, result, &call.poll)
        if stopped:
            raise call.error or KeyboardInterrupt

    def fields(self, parameters, X, Y, size_t samples, values):
        cdef _Call call = _Call()
        cdef const real *p = <const real *> _address(parameters)
        cdef const real *x = <const real *> _address(X)
        cdef const real *y = <const real *> _address(Y)
        cdef real *result = <real *> _address(values)
        _need("fields")
        cdef bytearray work = bytearray(kernel.fields_size())
        cdef void *memory = <void *> _address(work)
        cdef int stopped
        with nogil:
            stopped = kernel.fields(p, x, y, samples, memory, result, &call.poll)
        if stopped:
            raise call.error or KeyboardInterrupt

    def covariance(self, triangle, double scale, double least, covariance):
        return _covariance(triangle, scale, least, covariance)

    def predict_short(self, parameters, X):
        return _predict_short(parameters, X)

    def loss(self, parameters, X, Y, weights, size_t samples, gradient):
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

    def loss_short(self, parameters, X, Y, gradient):
        return _loss_short(parameters, X, Y, gradient)

    def training(self, buffers, state, options, int optimizer, uint64_t seed):
        return _Training(buffers, state, options, optimizer, seed)

    def train_short(self, tuple given, dict named):
        return _train_short(given, named)

    def train_many(self, X, Y, bint own_X, bint own_Y, size_t samples, size_t batch, int optimizer, options, rates,
            initial_state, double weight_decay, l2, double tolerance, int shuffle, random, size_t first,
            size_t last, size_t epochs, parameters, loss, history, done, status):
        cdef _Call call = _Call()
        cdef nncodegen_many run
        _need("many")
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

    def fit_many(self, tuple data, strides, size_t samples, tuple limits, double tolerance, size_t max_iterations,
            bint absolute_sigma, size_t first, size_t last, tuple results):
        _need("fitting")
        _fit_many(data, strides, samples, limits, tolerance, max_iterations, absolute_sigma, first, last, results)

    def blas_counter(self):
        return _blas_counter()

    def signature(self, routine):
        return _signature(routine)

    def know_blas(self, calls, size_t threads, size_t set_threads):
        _know_blas(calls, threads, set_threads)

    def use_blas(self, routine):
        _use_blas(routine)

    def blas_held(self):
        return _BlasHeld()


_model = _python.fill(_namespace, _facts, _Native())
_rules = _model.short_rules
