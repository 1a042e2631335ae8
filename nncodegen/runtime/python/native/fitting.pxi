# A fit by least squares.

cdef class _Fit(_Call):
    """A running fit: its arguments and its memory."""

    cdef nncodegen_fitting run
    cdef void *memory
    cdef object watch, reached

    def __cinit__(self, _Native native):
        self.run.work = self.memory = malloc(native.kernel.fit_size())
        if not self.memory:
            raise MemoryError

    def __dealloc__(self):
        free(self.memory)

    @property
    def iterations(self):
        return self.run.iterations

    @property
    def cost(self):
        return self.run.cost

    def parameters(self):
        """Return a copy of the best parameters so far; may be called during a call of the watch."""
        reached = _empty(self.native.count, _real)
        memcpy(_address(reached), _address(self.reached), self.native.count*sizeof(real))
        return reached

    cdef be_watched(self, watch, parameters):
        """Let a watch ask regularly or after each iteration whether to end; it may read the parameters later."""
        self.watch, self.reached = watch, parameters
        watch.native = self
        self.run.cost = float("nan")
        self.hook = watch.hook(self.hook)
        self.poll.interval = watch.interval
        if watch.after_each:
            self.run.after_each = _after_each


cdef int _after_each(void *context) noexcept with gil:
    cdef _Fit fit = <_Fit> context
    try:
        return 1 if fit.watch.calls() else 0
    except BaseException as error:
        fit.error = error
        return 1


cdef bytearray _memory_of(size_t size):
    """Return memory of a size that C tells, which is the largest of all if there is none that would be enough."""
    if size > <size_t> -1 >> 1:
        raise MemoryError("the fit needs more memory than can be addressed: give fewer samples")
    return bytearray(size)


cdef tuple _fit(_Native native, X, Y, size_t samples, sigma, bounds, fixed, int robust, double robust_scale,
        double tolerance, size_t max_iterations, parameters, residuals, triangle, active, poles, costs, watch, errors,
        size_t max_steps, double output_error, penalty):
    """Fit the model: write parameters, residuals, triangle, active, poles, costs and changes; see NN(fitting) in interface.h."""
    cdef _Fit fit = _Fit(native)
    cdef nncodegen_fitting *run = &fit.run
    run.inputs = <const real *> _address(X)
    run.targets = <const real *> _address(Y)
    run.samples = samples
    run.sigma = <const real *> _address(sigma)
    run.sigmas = 0 if sigma is None or sigma.ndim == 0 else 1 if sigma.ndim == 1 else <size_t> sigma.shape[1]
    run.lower = <const real *> (NULL if bounds is None else _address(bounds[0]))
    run.upper = <const real *> (NULL if bounds is None else _address(bounds[1]))
    run.fixed = <const unsigned char *> _address(fixed)
    run.robust = robust
    run.robust_scale = robust_scale
    run.cost_tolerance = run.step_tolerance = run.gradient_tolerance = tolerance
    run.output_error = output_error
    run.max_iterations = max_iterations
    if errors is not None:
        work = _memory_of(native.kernel.errors_size(samples, 1))
        run.sigma_x, run.changes = <const real *> _address(errors[0]), <double *> _address(errors[1])
        run.errors_work = <void *> _address(work)
    if penalty is not None:
        run.penalty, run.penalty_rows = <const double *> _address(penalty), <size_t> len(penalty)
    if watch is not None:
        fit.be_watched(watch, parameters)
    fit.poll.max_steps = max_steps
    run.poll = fit.poll
    run.parameters = <real *> _address(parameters)
    run.residuals = <double *> _address(residuals)
    run.history = <double *> _address(costs)
    run.kept = <size_t> len(costs)
    run.triangle = <double *> _address(triangle)
    run.active = <signed char *> _address(active)
    run.poles = <unsigned char *> _address(poles)
    with nogil:
        native.kernel.fit(run)
    fit.watch = fit.hook = None  # no reference cycle: memory is freed at once
    if fit.error is not None:
        raise fit.error
    if run.status == nncodegen_FIT_INTERRUPTED and (watch is None or not watch.reason):
        raise KeyboardInterrupt
    return run.cost, run.chi2, run.used, run.rank, run.iterations, run.evaluations, run.status, run.sample


cdef _fit_groups(_Native native, tuple data, begins, int robust, double robust_scale, parameters, columns, signs,
        size_t first, size_t last, tuple results, errors):
    """Compute the triangles of the groups first <= g < last; see native.py, and NN(groups) in interface.h."""
    cdef _Call call = _Call(native)
    cdef nncodegen_groups run
    cdef bytearray work = bytearray(native.kernel.fit_size())
    X, Y, sigma = data
    run.inputs = <const real *> _address(X)
    run.targets = <const real *> _address(Y)
    run.sigma = <const real *> _address(sigma)
    run.sigmas = 0 if sigma is None or sigma.ndim == 0 else 1 if sigma.ndim == 1 else <size_t> sigma.shape[1]
    run.begins = <const size_t *> _address(begins)
    run.robust = robust
    run.robust_scale = robust_scale
    run.parameters = <const real *> _address(parameters)
    run.columns = <const size_t *> _address(columns)
    run.free = <size_t> len(columns)
    run.signs = <const signed char *> _address(signs)
    run.poll = call.poll
    run.first, run.last = first, last
    run.work = <void *> _address(work)
    triangles, cost, chi2, used, residuals, seen = results
    run.triangles = <double *> _address(triangles)
    run.cost = <double *> _address(cost)
    run.chi2 = <double *> _address(chi2)
    run.used = <uint64_t *> _address(used)
    run.residuals = <double *> _address(residuals)
    run.seen = <signed char *> _address(seen)
    run.sigma_x = NULL
    if errors is not None:
        scratch = _memory_of(native.kernel.errors_size(0, 0))
        sigma_x, kept, run.task, run.turned, run.controlled, changes, steps, falls, squares, own_falls, damped = errors
        run.sigma_x, run.changes = <const real *> _address(sigma_x), <double *> _address(changes)
        run.errors_kept, run.errors_scratch = <void *> _address(kept), <void *> _address(scratch)
        run.steps, run.falls = <const double *> _address(steps), <double *> _address(falls)
        run.squares, run.own_falls = <double *> _address(squares), <double *> _address(own_falls)
        run.damped = <unsigned char *> _address(damped)
    cdef int stopped
    with nogil:
        stopped = native.kernel.fit_groups(&run)
    if stopped:
        raise call.error or KeyboardInterrupt


cdef enum:
    FEW_COLUMNS = 16  # up to this size, inverting a triangle is faster than a decomposition by NumPy


cdef bint _covariance(triangle, double scale, double least, covariance):
    """Write inverse(R'R)*scale for a triangle R; return False if some singular values may count as 0 (native.py).

    Let S have the columns of R divided by their norms. Its smallest singular value is at least 1/|inverse(S)|, and its
    largest at most |S|, in the Frobenius norm. Half of that ratio is used, because everything is rounded.
    """
    cdef double inverse[FEW_COLUMNS*FEW_COLUMNS]
    cdef double norms[FEW_COLUMNS]
    cdef const double *R = <const double *> _address(triangle)
    cdef double *result = <double *> _address(covariance)
    cdef Py_ssize_t n = len(triangle), i, j, k
    cdef double total, squares = 0
    if n == 0 or n > FEW_COLUMNS or not isfinite(scale):
        return False
    for j in range(n):
        total = 0
        for i in range(j + 1):
            total += R[i*n + j]*R[i*n + j]
        if not 1e-200 < total < 1e200 or R[j*n + j] == 0:
            return False
        norms[j] = sqrt(total)
    for j in range(n):  # column j of inverse(S), from its last row upwards
        inverse[j*n + j] = norms[j]/R[j*n + j]
        squares += inverse[j*n + j]*inverse[j*n + j]
        for i in range(j - 1, -1, -1):
            total = 0
            for k in range(i + 1, j + 1):
                total += R[i*n + k]/norms[k]*inverse[k*n + j]
            inverse[i*n + j] = -total*norms[i]/R[i*n + i]
            squares += inverse[i*n + j]*inverse[i*n + j]
    if not 1 > 2*least*sqrt(squares*<double> n):
        return False
    for i in range(n):
        for j in range(i, n):
            total = 0
            for k in range(j, n):
                total += inverse[i*n + k]*inverse[j*n + k]
            result[i*n + j] = result[j*n + i] = total/norms[i]/norms[j]*scale
    return True
