/* A single fit of one of the formulas in fits_models.h, and the triangle of its rows, for Python. */

#include "fits_models.h"

/* The rows of a tile, by the loops for many fits: each sample is that of a fit, and all have the same parameters. */
static void jacobian_tile(const real *restrict parameters, const real *restrict inputs, const real *restrict targets,
    const real *restrict weights, size_t count, real *restrict work, real *restrict outputs)
{
    const size_t several = targets ? TARGETS : 0;
    real same[PARAMETERS*FITS], x[INPUTS*FITS], seeds[(TARGETS + 1)*FITS], rows[OUTPUTS*FITS];
    for (size_t p = 0; p < PARAMETERS*FITS; p++)
        same[p] = parameters[p/FITS];
    for (size_t first = 0; first < count; first += FITS) {
        const size_t samples = count - first < FITS ? count - first : FITS;
        for (size_t lane = 0; lane < FITS; lane++) {
            const size_t n = first + (lane < samples ? lane : 0);
            for (size_t i = 0; i < INPUTS; i++)
                x[i*FITS + lane] = inputs[n*INPUTS + i];
            for (size_t k = 0; k < several; k++)
                seeds[k*FITS + lane] = targets[n*TARGETS + k];
        }
        group_rows(same, x, seeds, work, rows);
        for (size_t n = 0; n < samples; n++)
            for (size_t k = 0; k < OUTPUTS; k++)
                outputs[(first + n)*OUTPUTS + k] = rows[k*FITS + n];
    }
    (void) weights;
}

#include "nncodegen/fit/fit.h"

size_t parameters(void)
{
    return PARAMETERS;
}

size_t bytes(void)
{
    return NN(fit_size)();
}

static int ask(void *left)
{
    return (*(size_t *) left)-- <= 1;
}

/* Fits; the call is stopped after a number of questions (0: never). What was found besides goes to numbers: cost, chi2,
   gradient; and counts: used, free, rank, iterations, evaluations. Returns the status. */
size_t fit(const real *inputs, const real *targets, size_t samples, const real *sigma, size_t sigmas,
    const real *lower, const real *upper, const unsigned char *fixed, size_t robust, double robust_scale,
    const double *tolerances, size_t max_iterations, size_t questions, void *work, real *found, double *residuals,
    double *triangle, signed char *active, double *numbers, size_t *counts)
{
    NN(fitting) run = {
        .inputs = inputs, .targets = targets, .samples = samples, .sigma = sigma, .sigmas = sigmas, .lower = lower,
        .upper = upper, .fixed = fixed, .robust = (int) robust, .robust_scale = robust_scale,
        .cost_tolerance = tolerances[0], .step_tolerance = tolerances[1], .gradient_tolerance = tolerances[2],
        .max_iterations = max_iterations, .work = work, .parameters = found, .residuals = residuals,
        .triangle = triangle, .active = active
    };
    if (questions > 0)
        run.poll = (NN(poll)) {.stop = ask, .context = &questions};
    NN(fit)(&run);
    numbers[0] = run.cost;
    numbers[1] = run.chi2;
    numbers[2] = run.gradient;
    counts[0] = run.used;
    counts[1] = run.free;
    counts[2] = run.rank;
    counts[3] = run.iterations;
    counts[4] = run.evaluations;
    return (size_t) run.status;
}

/* Folds rows, given as columns with the right-hand side last, into a triangle [n][n + 1], some at a time. */
void fold_rows(size_t n, size_t samples, size_t at_once, const double *rows, void *work, double *triangle)
{
    fit_memory m = carve_fit(work);
    memset(m.triangle, 0, TRIANGLE_VALUES*sizeof *m.triangle);
    for (size_t first = 0; first < samples; first += at_once) {
        const size_t count = samples - first < at_once ? samples - first : at_once;
        for (size_t k = 0; k <= n; k++)
            for (size_t i = 0; i < whole_rows(count); i++)
                m.columns[k*COLUMN + i] = i < count ? rows[k*samples + first + i] : 0;
        fold(m.triangle, 0, n, m.columns, whole_rows(count), m.products);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k <= n; k++)
            triangle[i*(n + 1) + k] = m.triangle[i*TRIANGLE_ROW + k];
}

/* The step of the system [n][n + 1] with some damping of parameters with these scales; without it, of least rank.
   Returns the rank. */
size_t damped(size_t n, const double *triangle, const double *scales, double damping, void *work, double *step)
{
    fit_memory m = carve_fit(work);
    m.n = n;
    memset(m.triangle, 0, TRIANGLE_VALUES*sizeof *m.triangle);
    for (size_t i = 0; i < n; i++)
        memcpy(m.triangle + i*TRIANGLE_ROW, triangle + i*(n + 1), (n + 1)*sizeof *triangle);
    for (size_t k = 0; k < n; k++) {
        double square = 0;
        for (size_t i = 0; i <= k; i++)
            square += triangle[i*(n + 1) + k]*triangle[i*(n + 1) + k];
        m.length[k] = sqrt(square);
        m.scale[k] = scales[k];
        m.by_scale[k] = 1/scales[k];
        m.clamped[k] = 0;
    }
    make_system(&m);
    solve_system(&m, damping);
    for (size_t k = 0; k < n; k++)
        step[m.order[k]] = m.scaled[k]*m.by_scale[m.order[k]];
    return m.rank;
}
