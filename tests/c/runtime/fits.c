/* Many fits of one of the formulas in fits_models.h, for Python. */

#include "fits_models.h"

#include "nncodegen/fit/fits.h"

size_t lanes(void)
{
    return NN(fits_lanes)();
}

size_t parameters(void)
{
    return PARAMETERS;
}

size_t bytes(size_t samples)
{
    return NN(fits_size)(samples);
}

static int ask(void *left)
{
    return (*(size_t *) left)-- <= 1;
}

/* Makes the fits first <= m < last; the strides say what each has of its own, in the order inputs, targets, sigma,
   starts. The call is stopped after a number of questions (0: never). */
size_t fit(const size_t *strides, size_t samples, size_t first, size_t last, const real *inputs, const real *targets,
    const real *sigma, const real *starts, const size_t *lengths, const real *lower, const real *upper,
    const unsigned char *fixed, const double *tolerances, size_t max_iterations, size_t absolute_sigma,
    size_t questions, void *work, real *parameters_found, double *chi2, real *covariance, real *standard_errors,
    uint64_t *data, uint64_t *iterations, unsigned char *status)
{
    NN(fits) run = {
        .inputs = inputs, .targets = targets, .sigma = sigma, .starts = starts,
        .input_stride = strides[0], .target_stride = strides[1], .sigma_stride = strides[2],
        .start_stride = strides[3], .samples = samples, .lengths = lengths, .lower = lower, .upper = upper,
        .fixed = fixed, .cost_tolerance = tolerances[0], .step_tolerance = tolerances[1],
        .gradient_tolerance = tolerances[2], .max_iterations = max_iterations,
        .absolute_sigma = (int) absolute_sigma, .first = first, .last = last, .work = work,
        .parameters = parameters_found, .chi2 = chi2, .covariance = covariance,
        .standard_errors = standard_errors, .data = data, .iterations = iterations, .status = status
    };
    if (questions > 0)
        run.poll = (NN(poll)) {.stop = ask, .context = &questions};
    return (size_t) NN(fit_many)(&run);
}
