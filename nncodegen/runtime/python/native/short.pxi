# A fast path for calls with usual arguments: C-contiguous NumPy arrays of the module's type, and the most common
# options. For a small model, checking all other arguments would take longer than the call itself. Each function returns
# None unless all arguments are usual and valid. Then the Python part, which has all checks and error messages, does the
# call. The results have the same bits.

cdef extern from *:
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1
    # with these, items are read as fast through the stable interface of Python as through that of one version
    bint PyDict_Next(dict, Py_ssize_t *, PyObject **, PyObject **)
    PyObject *PyDict_GetItemWithError(dict, object) except? NULL
    PyObject *PyTuple_GetItem(object, Py_ssize_t) except NULL
    PyObject *PyList_GetItem(list, Py_ssize_t) except NULL

cdef object _Result = _python.Result
cdef object _double = _numpy.dtype("float64")

# A call first asks whether to stop after this number of operations. Trainings and predictions take the fast path only
# with fewer operations, so that they never ask.
cdef double _LONG = 1e6

cdef struct _call:
    nncodegen_array *parameters
    size_t samples
    const real *inputs
    const real *targets
    real *rows  # of targets that were given as labels
    char *memory


cdef bint _is_finite(_Native native, nncodegen_array *array, size_t count):
    return native.kernel.first_not_finite(<const real *> array.data, count) == count


cdef size_t _rows(_Native native, given, Py_ssize_t columns, bint flat, const real **values):
    """Return the number of rows of a finite matrix with these columns (flat: (N,) means one column); 0 for others."""
    cdef nncodegen_array *array = _usual(given)
    if not array:
        return 0
    if not (array.axes == 2 and array.shape[1] == columns) and not (flat and array.axes == 1 and columns == 1):
        return 0
    values[0] = <const real *> array.data
    return <size_t> array.shape[0] if _is_finite(native, array, <size_t> (array.shape[0]*columns)) else 0


cdef bint _take_parameters(_Native native, _call *call, given):
    cdef nncodegen_array *array = _usual(given)
    cdef size_t count = native.count
    call.parameters = array
    return array != NULL and array.axes == 1 and <size_t> array.shape[0] == count and _is_finite(native, array, count)


cdef bint _take_samples(_Native native, _call *call, X, Y) except -1:
    """Return whether samples are usual, and all finite. The caller frees the rows of targets."""
    cdef size_t rows = 1
    if native.columns:
        rows = _rows(native, X, native.columns, True, &call.inputs)
        if not rows or native.rising or native.ranges_count and not _in_ranges(native, call.inputs, rows):
            return False
    elif X is not None:
        return False
    call.samples = rows
    if native.targets:
        call.samples = _rows(native, Y, native.targets, not native.labels, &call.targets)
        if not call.samples:
            call.targets = call.rows = _rows_of_labels(native, Y, &call.samples)
            if not call.rows:
                return False
        if native.columns and rows != call.samples:
            return False
    elif Y is not None:
        return False
    return call.samples > 0


cdef bint _is_long(_Native native, size_t samples):
    """Return whether a call with some samples may have to ask whether to stop."""
    return <double> samples*native.cost >= _LONG


cdef extern from *:
    """
#include <stdlib.h>

#define nncodegen_INLINE static inline __attribute__((always_inline)) /* the wrapper is compiled without inlining */

/* Puts a value in a place, and returns the one before: without the interpreter's lock, threads may do so at once. */
#ifdef Py_GIL_DISABLED
#define nncodegen_exchange(place, value) __atomic_exchange_n(place, value, __ATOMIC_ACQ_REL)
#else
nncodegen_INLINE void *nncodegen_exchange(void **place, void *value)
{
    void *const before = *place;
    *place = value;
    return before;
}
#endif

/* Returns the memory in a place, or new memory, if another call uses it or there is none; NULL without memory. */
nncodegen_INLINE void *nncodegen_take_memory(void **place, size_t (*size)(void))
{
    void *const memory = nncodegen_exchange(place, NULL);
    return memory ? memory : malloc(size());
}

/* Puts memory back, for the next call. */
nncodegen_INLINE void nncodegen_give_memory(void **place, void *memory)
{
    void *const other = nncodegen_exchange(place, memory);
    if (other)
        free(other);
}
    """
    void *nncodegen_take_memory(void **, size_t (*)() noexcept nogil) noexcept
    void nncodegen_give_memory(void **, void *) noexcept


cdef _predict_short(_Native native, parameters, X):
    """Return the outputs of a short call; None if the Python part must check the arguments."""
    cdef nncodegen_array *p = _usual(parameters)
    cdef nncodegen_array *x = _usual(X)
    cdef nncodegen_poll poll
    cdef size_t rows
    cdef void *work
    cdef bint finite = True
    if not p or p.axes != 1 or <size_t> p.shape[0] != native.count:
        return None
    if not x or not native.columns or x.axes != 2 or x.shape[1] != native.columns or x.shape[0] < 1:
        return None
    rows = <size_t> x.shape[0]
    if native.cost >= _LONG or native.rising or rows > nncodegen_FEW and _is_long(native, rows):
        return None
    if native.ranges_count and not _in_ranges(native, <const real *> x.data, rows):
        return None
    if rows > nncodegen_FEW and not (
        _is_finite(native, p, native.count)
        and _is_finite(native, x, rows*<size_t> native.columns)
    ):
        return None
    outputs = _new_matrix(rows, native.outputs)
    work = nncodegen_take_memory(&native.work, native.kernel.work_size)
    if not work:
        raise MemoryError
    if rows > nncodegen_FEW:
        memset(&poll, 0, sizeof(poll))
        native.kernel.predict(<real *> p.data, <real *> x.data, rows, work, <real *> _address(outputs), &poll)
    else:
        finite = native.kernel.predict_few(<real *> p.data, <real *> x.data, rows, work, <real *> _address(outputs))
    nncodegen_give_memory(&native.work, work)
    return outputs if finite else None


cdef _loss_short(_Native native, parameters, X, Y, gradient):
    """Return the loss; its gradient is written to an array unless that is None. Returns None if the Python part must
    check the arguments."""
    cdef _call call
    cdef _Call asking = None  # for calls that may have to ask whether to stop
    cdef nncodegen_poll unasked
    cdef nncodegen_poll *poll = &unasked
    cdef double value = 0
    cdef const real *p
    cdef void *work
    cdef void *taken = NULL  # for calls that do not take long
    cdef real *slope = <real *> _address(gradient)
    cdef bint held = False
    cdef int stopped
    memset(&call, 0, sizeof(call))
    memset(&unasked, 0, sizeof(unasked))
    if not _take_parameters(native, &call, parameters):
        return None
    try:
        if not _take_samples(native, &call, X, Y):
            return None
        if _is_long(native, call.samples):
            asking = _Call(native)
            work, poll, held = asking.work, &asking.poll, _hold_blas(&native.blas)
        else:
            work = taken = nncodegen_take_memory(&native.work, native.kernel.work_size)
            if not work:
                raise MemoryError
        p = <const real *> call.parameters.data
        with nogil:
            if slope:
                stopped = native.kernel.loss_and_gradient(p, call.inputs, call.targets, NULL, call.samples, work, &value, slope, poll)
            else:
                stopped = native.kernel.loss(p, call.inputs, call.targets, NULL, call.samples, work, &value, poll)
        if asking is not None:
            _release_blas(&native.blas, held)
            if stopped:
                raise asking.error or KeyboardInterrupt
        return value
    finally:
        if taken:
            nncodegen_give_memory(&native.work, taken)
        free(call.rows)


cdef bint _take_integer(value, long long low, long long high, size_t *integer):
    """Return whether a value is an integer within bounds, and write it."""
    cdef int overflow = 0
    cdef long long number
    if type(value) is not int:
        return False
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    integer[0] = <size_t> number
    return overflow == 0 and low <= number <= high


# The options that a short training accepts are the first ones of train, by index, and history; all others must have
# their defaults.
cdef enum:
    PLACE_X, PLACE_Y, PLACE_PARAMETERS, PLACE_OPTIMIZER, PLACE_LEARNING_RATE, PLACE_EPOCHS, PLACE_BATCH_SIZE
    PLACE_SHUFFLE, PLACE_SEED, PLACE_UPDATE, PLACE_TOLERANCE, PLACES
    PLACE_HISTORY = PLACES, VALUES

cdef tuple _names = tuple(_python.TRAIN.options)
cdef dict _places = {name: place for place, name in enumerate(_names)}
cdef list _defaults = [_python.TRAIN.defaults[name] for name in _names]
cdef Py_ssize_t _history = _places["history"]

if _names[:PLACES] != ("X", "Y", "parameters", "optimizer", "learning_rate", "epochs", "batch_size", "shuffle", "seed",
                       "update", "tolerance"):
    raise ImportError("train takes its first options in another order than short.pxi")

cdef nncodegen_training _default_run  # with the defaults of all options
memset(&_default_run, 0, sizeof(_default_run))
_set_options(&_default_run, _python.CheckedOptions(_python.TRAIN.defaults).members())
_default_run.best_figure, _default_run.columns = HUGE_VAL, 1


cdef bint _sort_arguments(tuple given, dict named, PyObject **values, dict hyperparameters) except -1:
    """Return whether all arguments are handled here: first options go to values, unknown ones to hyperparameters."""
    cdef Py_ssize_t place, position = 0
    cdef PyObject *found
    cdef PyObject *name
    cdef PyObject *value
    if len(given) > len(_defaults):
        return False
    for place in range(PLACES):
        values[place] = PyList_GetItem(_defaults, place)
    values[PLACE_HISTORY] = PyList_GetItem(_defaults, _history)
    for place in range(len(given)):
        if place < PLACES:
            values[place] = PyTuple_GetItem(given, place)
        elif PyTuple_GetItem(given, place) != PyList_GetItem(_defaults, place):
            return False
    while PyDict_Next(named, &position, &name, &value):
        found = PyDict_GetItemWithError(_places, <object> name)
        if not found:
            hyperparameters[<object> name] = <object> value
            continue
        place = <object> found
        if place < len(given):
            return False  # it is given twice
        if place < PLACES:
            values[place] = value
        elif place == _history:
            values[PLACE_HISTORY] = value
        elif value != PyList_GetItem(_defaults, place):
            return False
    return True


cdef _train_short(_Native native, tuple given, dict named):
    """Return the Result of a training; None if the Python part must check the arguments, or the training diverges."""
    cdef _call call
    cdef nncodegen_training run
    cdef size_t number
    cdef double sweeps
    cdef PyObject *values[VALUES]  # borrowed from the arguments and the defaults
    cdef dict hyperparameters = {}
    if not native.count or not _sort_arguments(given, named, values, hyperparameters):
        return None
    learning_rate, tolerance = <object> values[PLACE_LEARNING_RATE], <object> values[PLACE_TOLERANCE]
    shuffle, batch_size = <object> values[PLACE_SHUFFLE], <object> values[PLACE_BATCH_SIZE]
    update, history = <object> values[PLACE_UPDATE], <object> values[PLACE_HISTORY]
    if type(<object> values[PLACE_OPTIMIZER]) is not str or type(learning_rate) is not float or type(tolerance) is not float:
        return None
    memset(&call, 0, sizeof(call))
    memcpy(&run, &_default_run, sizeof(run))
    if not _take_integer(<object> values[PLACE_EPOCHS], 1, 1000000, &run.until):
        return None
    if not _take_integer(<object> values[PLACE_SEED], 0, 0x7FFFFFFFFFFFFFFF, &number):
        return None
    run.seed = run.random = number
    run.tolerance = tolerance
    if not (_tiniest < run.tolerance < HUGE_VAL or run.tolerance == 0):
        return None
    run.sequential = type(update) is str and update == "sequential"
    if not run.sequential and not (type(update) is str and update == "simultaneous"):
        return None
    run.without_loss = history is False
    if not run.without_loss and history is not True:
        return None
    run.shuffle = shuffle is True
    if not run.shuffle and shuffle is not False and shuffle is not None:
        return None
    try:
        if not _take_samples(native, &call, <object> values[PLACE_X], <object> values[PLACE_Y]):
            return None
        sweeps = <double> native.count if run.sequential else 1
        if <double> run.until*<double> call.samples*native.cost*sweeps >= _LONG:
            return None
        run.batch = call.samples
        if batch_size is not None and not _take_integer(batch_size, 1, 0x7FFFFFFFFFFFFFFF, &run.batch):
            return None
        if run.batch > call.samples:
            run.batch = call.samples
        if shuffle is None:
            run.shuffle = run.batch < call.samples
        return _run_short(native, &call, &run, values, hyperparameters)
    finally:
        free(call.memory)
        free(call.rows)


cdef object _run_short(_Native native, _call *call, nncodegen_training *run, PyObject **arguments, dict hyperparameters):
    """Return the Result of a training whose samples and options are set; takes the update rule and parameters."""
    cdef double loss = 0, started = _perf_counter()
    cdef size_t options
    parameters, optimizer = <object> arguments[PLACE_PARAMETERS], <object> arguments[PLACE_OPTIMIZER]
    learning_rate, seed = <object> arguments[PLACE_LEARNING_RATE], <object> arguments[PLACE_SEED]
    cdef PyObject *known = NULL if hyperparameters else PyDict_GetItemWithError(native.rules, optimizer)
    rule = <object> known if known else None
    if rule is None:
        rule = _python.short_rule(native.model, optimizer, learning_rate, hyperparameters)
        if rule is None:
            return None
    # a rule is: name, number, lowest and highest learning rate, options, state, whether it is used
    name, values, state = (
        <object> PyTuple_GetItem(rule, 0), <object> PyTuple_GetItem(rule, 4),
        <object> PyTuple_GetItem(rule, 5),
    )
    cdef double low = <object> PyTuple_GetItem(rule, 2), high = <object> PyTuple_GetItem(rule, 3)
    if not low < <double> learning_rate < high:
        return None
    if parameters is None:
        parameters = native.model.initial_parameters(seed)
    if not _take_parameters(native, call, parameters):
        return None

    reached, history = _new_vector(<Py_ssize_t> native.count, _real), _new_vector(<Py_ssize_t> run.until, _double)
    options = <size_t> len(values)*sizeof(double)
    call.memory = <char *> malloc(
        options + (call.samples*sizeof(size_t) if run.shuffle else 0) + native.kernel.work_size()
    )
    if not call.memory:
        raise MemoryError
    run.options = <double *> call.memory
    memcpy(call.memory, _address(values), options)
    (<double *> call.memory)[0] = learning_rate
    run.order = <size_t *> (call.memory + options)
    run.work = <void *> (run.order + (call.samples if run.shuffle else 0))
    run.parameters = <real *> _address(reached)
    memcpy(run.parameters, call.parameters.data, native.count*sizeof(real))
    if len(state):
        state = state.copy()
        run.state = <real *> _address(state)
    run.data.inputs, run.data.targets, run.data.samples = call.inputs, call.targets, call.samples
    run.optimizer = <object> PyTuple_GetItem(rule, 1)
    run.history = <double *> _address(history)
    with nogil:
        native.kernel.train(run)
        native.kernel.loss(run.parameters, call.inputs, call.targets, NULL, call.samples, run.work, &loss, &run.poll)
    if run.status > <int> nncodegen_CONVERGED or not isfinite(loss):
        return None
    if run.epochs < run.until:
        history = history[:run.epochs].copy()
    return _Result(
        native.model, reached, loss, {"loss": history}, "converged" if run.status else "completed", None, _perf_counter() - started, "",
        (name, reached, state, (run.random, run.epochs, run.updates, 0, 0, 0, seed, call.samples),
         (run.epoch_loss, run.batch_loss, run.largest, HUGE_VAL)),
        learning_rate if <object> PyTuple_GetItem(rule, 6) else None,
    )


# Python hands on the arguments of these functions as an array. Methods of Cython get a tuple of them as long as the
# stable interface is that of Python 3.11, which takes 400 instructions more: a tenth of a prediction of one row.
cdef extern from *:
    """
static PyMethodDef nncodegen_predict_short, nncodegen_loss_short, nncodegen_train_short;

static void nncodegen_set_function(PyMethodDef *definition, const char *name, void *function)
{
    definition->ml_name = name;
    definition->ml_meth = (PyCFunction) function;
    definition->ml_flags = METH_FASTCALL;
}
    """
    ctypedef struct PyMethodDef:
        pass

    PyMethodDef nncodegen_predict_short, nncodegen_loss_short, nncodegen_train_short
    void nncodegen_set_function(PyMethodDef *, const char *, void *)
    object PyCFunction_NewEx(PyMethodDef *, object, PyObject *)


cdef _check_count(Py_ssize_t count, Py_ssize_t expected):
    if count != expected:
        raise TypeError(f"{count} arguments instead of {expected}")


cdef object _called_predict_short(object native, PyObject *const *given, Py_ssize_t count):
    if count != 2:
        _check_count(count, 2)
    return _predict_short(<_Native> native, <object> given[0], <object> given[1])


cdef object _called_loss_short(object native, PyObject *const *given, Py_ssize_t count):
    if count != 4:
        _check_count(count, 4)
    return _loss_short(<_Native> native, <object> given[0], <object> given[1], <object> given[2], <object> given[3])


cdef object _called_train_short(object native, PyObject *const *given, Py_ssize_t count):
    if count != 2:
        _check_count(count, 2)
    return _train_short(<_Native> native, <tuple?> <object> given[0], <dict?> <object> given[1])


nncodegen_set_function(&nncodegen_predict_short, "predict_short", <void *> _called_predict_short)
nncodegen_set_function(&nncodegen_loss_short, "loss_short", <void *> _called_loss_short)
nncodegen_set_function(&nncodegen_train_short, "train_short", <void *> _called_train_short)
