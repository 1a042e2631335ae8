# A fit by least squares.

cdef class _Fit(_Call):
    """A fit that is under way: its arguments and its memory."""

    cdef nncodegen_fitting run
    cdef void *memory

    def __cinit__(self):
        self.run.work = self.memory = malloc(kernel.fit_size())
        if not self.memory:
            raise MemoryError

    def __dealloc__(self):
        free(self.memory)


cdef tuple _fit(X, Y, size_t samples, sigma, bounds, fixed, int robust, double robust_scale, double tolerance,
        size_t max_iterations, parameters, residuals, triangle, active, history):
    """Fits the model: writes parameters, residuals, triangle, active and history; see NN(fitting) in interface.h."""
    cdef _Fit fit = _Fit()
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
    run.max_iterations = max_iterations
    run.poll = fit.poll
    run.parameters = <real *> _address(parameters)
    run.residuals = <double *> _address(residuals)
    run.history = <double *> _address(history)
    run.triangle = <double *> _address(triangle)
    run.active = <signed char *> _address(active)
    with nogil:
        kernel.fit(run)
    if run.status == nncodegen_FIT_INTERRUPTED:
        raise fit.error or KeyboardInterrupt
    return run.cost, run.chi2, run.used, run.rank, run.iterations, run.evaluations, run.status, run.sample
