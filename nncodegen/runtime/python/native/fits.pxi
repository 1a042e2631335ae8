# Many fits side by side.

cdef _fit_many(_Native native, tuple data, strides, size_t samples, tuple limits, double tolerance,
        size_t max_iterations, bint absolute_sigma, size_t first, size_t last, tuple results, size_t max_steps):
    """Make the fits first <= m < last (see native.py)."""
    cdef _Call call = _Call(native)
    cdef nncodegen_fits run
    cdef bytearray work = _memory_of(native.kernel.fits_size(samples))
    cdef const size_t *stride = <const size_t *> _address(strides)
    X, Y, sigma, starts, lengths, sigma_x = data
    run.inputs, run.input_stride = <const real *> _address(X), stride[0]
    run.targets, run.target_stride = <const real *> _address(Y), stride[1]
    run.sigma, run.sigma_stride = <const real *> _address(sigma), stride[2]
    run.starts, run.start_stride = <const real *> _address(starts), stride[3]
    run.sigma_x, run.sigma_x_stride = <const real *> _address(sigma_x), stride[4]
    run.samples = samples
    run.lengths = <const size_t *> _address(lengths)
    lower, upper, fixed = limits
    run.lower = <const real *> _address(lower)
    run.upper = <const real *> _address(upper)
    run.fixed = <const unsigned char *> _address(fixed)
    run.cost_tolerance = run.step_tolerance = run.gradient_tolerance = tolerance
    run.max_iterations = max_iterations
    run.absolute_sigma = absolute_sigma
    call.poll.max_steps = max_steps
    run.poll = call.poll
    run.first, run.last = first, last
    run.work = <void *> _address(work)
    parameters, errors, covariance, chi2, count, iterations, status, poles = results
    run.parameters = <real *> _address(parameters)
    run.standard_errors = <real *> _address(errors)
    run.covariance = <real *> _address(covariance)
    run.chi2 = <double *> _address(chi2)
    run.data = <uint64_t *> _address(count)
    run.iterations = <uint64_t *> _address(iterations)
    run.status = <unsigned char *> _address(status)
    run.poles = <unsigned char *> _address(poles)
    cdef int stopped
    with nogil:
        stopped = native.kernel.fit_many(&run)
    if stopped:
        raise call.error or KeyboardInterrupt
