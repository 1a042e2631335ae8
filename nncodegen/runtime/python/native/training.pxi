# Calls that can be stopped, and the state of a training.

cdef class _Call:
    """The base of every call: work memory, and a poll that stops it on a signal, or when a hook says so."""

    cdef _Native native
    cdef void *work
    cdef nncodegen_poll poll
    cdef readonly object error
    cdef public object hook

    def __cinit__(self, _Native native, *others):
        self.native = native
        self.hook = getattr(_calls, "hook", None)
        self.work = malloc(native.kernel.work_size())
        if not self.work:
            raise MemoryError
        self.poll.stop = _stop
        self.poll.context = <void *> self
        self.poll.interval = 0.03
        self.poll.spent = 0
        self.poll.asked = 0
        self.poll.max_steps = 0

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


cdef _set_options(nncodegen_training *run, dict members):
    """Set the members of a training that are options, by their names."""
    cdef const nncodegen_option *option = c_options
    cdef char *place
    for name in _option_names:
        place = <char *> run + option.offset
        if option.type == c"d":
            (<double *> place)[0] = members[name]
        elif option.type == c"i":
            (<int *> place)[0] = members[name]
        else:
            (<size_t *> place)[0] = members[name]
        option += 1


cdef list _names_of_options():
    cdef size_t k = 0
    cdef list names = []
    while c_options[k].name != NULL:
        names.append(c_options[k].name.decode())
        k += 1
    return names


cdef list _option_names = _names_of_options()


cdef class _Training(_Call):
    """A running training. Numbers are passed in arrays, because separate arguments would be much more C to compile."""

    cdef nncodegen_training run
    cdef list held

    def __init__(self, _Native native, buffers, state, options, int optimizer, uint64_t seed):
        self.held = [buffers, state, options, None, None, None, None]
        self.run.parameters = <real *> _address(buffers)
        self.run.best = self.run.parameters + native.count
        self.run.state = <real *> _address(state)
        self.run.options = <const double *> _address(options)
        self.run.optimizer = optimizer
        self.run.seed = seed
        self.run.work = self.work
        self.run.poll = self.poll

    def use(self, arrays, size_t samples, int validation):
        """Set the data to train or to validate with: X, Y, weights, counts, spread, starts and columns of sparse X."""
        cdef nncodegen_data *data = &self.run.validation if validation else &self.run.data
        self.held[4 if validation else 3] = arrays
        data.inputs = <const real *> _address(arrays[0])
        data.targets = <const real *> _address(arrays[1])
        data.weights = <const real *> _address(arrays[2])
        data.counts = <const real *> _address(arrays[3])
        data.spread = <const double *> _address(arrays[4])
        data.starts = <const size_t *> _address(arrays[5])
        data.columns = <const uint32_t *> _address(arrays[6])
        data.samples = samples

    def order(self, order, size_t batch):
        """Set the size of batches; the samples are shuffled if there is an array to write their order to."""
        self.held[5] = order
        self.run.order = <size_t *> _address(order)
        self.run.shuffle = order is not None
        self.run.batch = batch

    def set(self, dict members, measures, size_t columns, double interval):
        """Set the options, by the names of options.h; measures holds sums for metrics."""
        self.held[6] = measures
        self.run.measures = <double *> _address(measures)
        self.run.columns = columns
        self.run.poll.interval = interval
        _set_options(&self.run, members)
        if self.run.threads > 1:  # each thread needs separate work memory
            free(self.work)
            self.work = malloc(self.run.threads*self.native.kernel.work_size())
            if not self.work:
                raise MemoryError
            self.run.work = self.work

    def tell(self, counters, numbers):
        """Write the progress of the training to arrays of uint64 and float64."""
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
        """Set the progress of the training."""
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
        """Train for one epoch per row of history. Returns the status."""
        self.run.history = <double *> _address(history)
        self.run.factors = <const double *> _address(factors)
        self.run.factors_of_updates = factors_of_updates
        self.run.until = self.run.epochs + <size_t> len(history)
        self.error = None
        cdef bint held = _hold_blas(&self.native.blas)
        with nogil:
            self.native.kernel.train(&self.run)
        _release_blas(&self.native.blas, held)
        return self.run.status

    def parameters(self):
        """Return a copy of the current parameters; may be called by stop while the training runs."""
        reached = _empty(self.native.count, _real)
        self.native.kernel.copy_parameters(&self.run, <real *> _address(reached))
        return reached

    @property
    def epochs(self):
        return self.run.epochs

    @property
    def updates(self):
        return self.run.updates
