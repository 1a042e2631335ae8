/* Many fits: each in a separate lane, which the next fit takes over when it ends.

   Needs fits_steps.h, poll.h, and the kernel group_rows. Gives fit_many and fits_lanes. */

#ifndef NNCODEGEN_FITS_H
#define NNCODEGEN_FITS_H

#include "nncodegen/fit/fits_steps.h"
#include "nncodegen/base/poll.h"

/* Copies the values of a row of data into one lane. */
INLINE void put_lane(const real *restrict values, size_t count, real *restrict lane)
{
    for (size_t k = 0; k < count; k++)
        lane[k*FITS] = values[k];
}

/* Returns whether data of a fit have to be read into its lane: shared data stay in it. */
INLINE int read_anew(size_t stride, int first_of_lane)
{
    return stride > 0 || first_of_lane;
}

/* Computes the weights of a lane, 0 for missing targets. Returns how many targets are not missing. */
static UNUSED size_t weigh_lane(const NN(fits) *run, size_t fit, size_t lane, group_of_fits *g)
{
    const real *const sigma = run->sigma ? run->sigma + fit*run->sigma_stride : NULL;
    const size_t count = run->samples*OBSERVED, used = g->samples[lane]*OBSERVED;
    size_t given = 0;
    for (size_t k = 0; k < count; k++) {
        real *const target = g->targets + k*FITS + lane;
        const int there = k < used && *target == *target;
        g->weights[k*FITS + lane] = !there ? 0 : sigma ? 1/sigma[k] : 1;
        *target = there ? *target : 0;
        given += (size_t) there;
    }
    return given;
}

/* Returns whether one of some values is NaN. */
INLINE int has_nan(const real *values, size_t count)
{
    int found = 0;
    for (size_t k = 0; k < count; k++)
        found |= values[k] != values[k];
    return found;
}

/* Starts the use of weights, at the first weight that is not 1: all other weights are 1. */
static UNUSED void begin_weights(const NN(fits) *run, group_of_fits *g)
{
    for (size_t k = 0; k < run->samples*OBSERVED*FITS; k++)
        g->weights[k] = 1;
    g->weighted = 1;
}

/* Starts the next fit in a lane. One must be left. */
static UNUSED void begin_fit(const NN(fits) *run, size_t lane, int first_of_lane, group_of_fits *g)
{
    const size_t fit = g->upcoming, count = run->samples*OBSERVED;
    const real *const start = run->starts + fit*run->start_stride;
    g->upcoming++;
    g->active++;
    g->fit[lane] = fit;
    g->fresh[lane] = ~(word) 0;
    g->closing[lane] = g->iterations[lane] = 0;
    put_lane(start, PARAMETERS, g->next + lane);
    if (read_anew(run->input_stride, first_of_lane))
        put_lane(run->inputs + fit*run->input_stride, run->samples*INPUTS, g->inputs + lane);
#if NN_CHANGES > 0
    if (read_anew(run->sigma_x_stride, first_of_lane))
        put_lane(run->sigma_x + fit*run->sigma_x_stride, run->samples*CHANGES, g->errors.sigma + lane);
    for (size_t k = 0; k < run->samples*CHANGES; k++)
        g->errors.changes[k*FITS + lane] = 0;
#endif
    if (!read_anew(run->target_stride, first_of_lane) && !run->lengths && !run->sigma_stride)
        return;
    const real *const targets = run->targets + fit*run->target_stride;
    g->samples[lane] = run->lengths ? run->lengths[fit] : run->samples;
#if NN_CHANGES > 0
    keep_none(&g->errors, g->samples[lane], run->samples, lane);
#endif
    put_lane(targets, count, g->targets + lane);
    if (!g->weighted && (run->sigma || g->samples[lane] < run->samples || has_nan(targets, count)))
        begin_weights(run, g);
    g->data[lane] = g->weighted ? weigh_lane(run, fit, lane, g) : count;
}

/* Makes a lane idle: it repeats a harmless fit, so that vectors stay full. With NaN as its inputs, such as times, its
   differential equations end at once, while others go on. */
static UNUSED void leave_lane(const NN(fits) *run, size_t lane, group_of_fits *g)
{
    const size_t inputs = NN_FIT_FORWARD ? run->samples*INPUTS : 0;
    for (size_t k = 0; k < inputs; k++)
        g->inputs[k*FITS + lane] = (real) NAN;
    g->fit[lane] = SIZE_MAX;
    g->samples[lane] = 0;
}

/* Writes the covariances and standard errors of a fit that waits in a lane: scale times the inverse, infinite if the
   data do not determine the parameters. */
static UNUSED void write_errors(const NN(fits) *run, const group_of_fits *g, size_t lane, double scale)
{
    real *const matrix = run->covariance ? run->covariance + g->ended_fit[lane]*PARAMETERS*PARAMETERS : NULL;
    real *const errors = run->standard_errors ? run->standard_errors + g->ended_fit[lane]*PARAMETERS : NULL;
    for (size_t i = 0; i < PARAMETERS; i++) {
        double value = 0;
        for (size_t j = 0; j <= i; j++) {
            const int fixed = run->fixed && (run->fixed[i] || run->fixed[j]);
            value = fixed ? 0 : scale == HUGE_VAL ? HUGE_VAL : (double) g->inverse[place_of(i, j)*FITS + lane]*scale;
            if (matrix) {
                matrix[i*PARAMETERS + j] = (real) value;
                matrix[j*PARAMETERS + i] = (real) value;
            }
        }
        if (errors)
            errors[i] = (real) sqrt(value);
    }
}

/* Finds the singular ones among the waiting fits, and writes their covariances. */
static UNUSED void finish_waiting(const NN(fits) *run, group_of_fits *g)
{
    words free[PARAMETERS];
    real rank[FITS] __attribute__((aligned(64)));
    for (size_t p = 0; p < PARAMETERS; p++)
        free[p] = (words) {0} - (word) !(run->fixed && run->fixed[p]);
    for (size_t lane = 0; lane < FITS; lane += LANES) {
        *at(rank + lane, 0) = factor(g->ended + lane, free, g->inverses + lane, g->row + lane);
        if (wants_inverse(run))
            invert(g->ended + lane, g->inverses + lane, g->row + lane, g->inverse + lane);
    }
    for (size_t k = 0; k < g->waiting; k++) {
        const size_t fit = g->ended_fit[k], data = (size_t) run->data[fit];
        const int determined = rank[k] >= (real) g->free && data >= g->free;
        unsigned char *const status = run->status + fit;
        if (!determined && (*status <= NN(FITS_GRADIENT) || *status == NN(FITS_FADED)))
            *status = data == 0 ? NN(FITS_NO_DATA) : data < g->free ? NN(FITS_TOO_FEW_DATA) : NN(FITS_SINGULAR);
        if (wants_inverse(run))
            write_errors(run, g, k, !determined ? HUGE_VAL : run->absolute_sigma ? 1
                : data > g->free ? run->chi2[fit]/(double) (data - g->free) : HUGE_VAL);
    }
    g->waiting = 0;
}

/* Returns whether a guard is 0, or has both signs, among the data of a fit. Those of inputs alone do not count: no
   parameter may be at their poles. */
static UNUSED int has_pole(const group_of_fits *g, size_t lane)
{
    int found = 0;
#if NN_FIT_GUARDS > NN_FIT_INPUT_GUARDS
    for (size_t guard = 0; guard < GUARDED - NN_FIT_INPUT_GUARDS; guard++)
        found |= !(g->signs[guard*FITS + lane] | g->signs[(GUARDED + guard)*FITS + lane]);
#else
    (void) g, (void) lane;
#endif
    return found;
}

/* Returns whether the derivative by a free parameter has almost vanished on the way of a fit: the data may not determine
   it, but the rest of it, which is due to rounding or to a last step that was too short, hides that. */
static UNUSED int has_faded(const NN(fits) *run, const group_of_fits *g, size_t lane)
{
    int found = 0;
    for (size_t p = 0; p < PARAMETERS; p++) {
        const real square = g->system[place_of(p, p)*FITS + lane], largest = g->scales[p*FITS + lane];
        found |= !(run->fixed && run->fixed[p]) && (double) square <= sqrt((double) EPSILON)*(double) largest;
    }
    return found;
}

/* Writes the results of a fit. */
static UNUSED void end_fit(const NN(fits) *run, size_t lane, group_of_fits *g)
{
    const size_t fit = g->fit[lane];
    const real *const found = (g->last[lane] ? g->next : g->current) + lane;
    const real cost = g->system[COST_PLACE*FITS + lane] - (g->last[lane] ? g->predicted[lane] : 0);
    const int finite = g->outcome[lane] != NN(FITS_NOT_FINITE);
    for (size_t p = 0; p < PARAMETERS; p++)
        run->parameters[fit*PARAMETERS + p] = finite ? found[p*FITS] : run->starts[fit*run->start_stride + p];
    run->chi2[fit] = finite ? (double) (cost > 0 ? cost : 0) : (double) NAN;
    run->data[fit] = g->data[lane];
    run->iterations[fit] = g->iterations[lane];
    run->status[fit] = (unsigned char) g->outcome[lane];
    if (run->status[fit] <= NN(FITS_GRADIENT) && has_faded(run, g, lane))
        run->status[fit] = NN(FITS_FADED);
    if (run->poles)
        run->poles[fit] = finite && has_pole(g, lane);
    for (size_t k = 0; k < TRIANGLE; k++)
        g->ended[k*FITS + g->waiting] = finite ? g->system[k*FITS + lane] : (real) NAN;
    g->ended_fit[g->waiting++] = fit;
    g->active--;
    if (g->waiting == FITS)
        finish_waiting(run, g);
}

/* Returns the largest number of samples of the current fits. */
static UNUSED size_t most_samples(const group_of_fits *g)
{
    size_t samples = 0;
    for (size_t lane = 0; lane < FITS; lane++)
        samples = g->samples[lane] > samples ? g->samples[lane] : samples;
    return samples;
}

/* Starts a fit in every lane; lanes after the last fit repeat the first one. */
static UNUSED void begin_all(const NN(fits) *run, group_of_fits *g)
{
    memset(g->fresh, 0, sizeof g->fresh);
    g->upcoming = run->first;
    g->active = g->waiting = 0;
    g->weighted = 0;
    g->free = 0;
    for (size_t p = 0; p < PARAMETERS; p++)
        g->free += !(run->fixed && run->fixed[p]);
    for (size_t k = 0; k != SEEDS*FITS; k++) /* where rows come from forward sweeps, there are none */
        g->seeds[k] = k/FITS%(OBSERVED + 1) == 0;
    memset(g->ended, 0, TRIANGLE*FITS*sizeof(real));
    for (size_t lane = 0; lane < FITS; lane++) {
        if (run->first + lane < run->last) {
            begin_fit(run, lane, 1, g);
            continue;
        }
        const size_t upcoming = g->upcoming;
        g->upcoming = run->first;
        begin_fit(run, lane, 1, g);
        g->active--;
        g->upcoming = upcoming;
        leave_lane(run, lane, g);
    }
}

int NN(fit_many)(NN(fits) *run)
{
    FLUSH_SUBNORMALS
    group_of_fits g;
    int stop = 0;
    if (run->first >= run->last)
        return 0;
    carve_fits(run->work, run->samples, &g);
    if (LIMITED)
        g.values[NN_FITS_VALUES*FITS] = (real) run->poll.max_steps;
    begin_all(run, &g);
    while (g.active > 0 && !stop) {
        const size_t samples = most_samples(&g);
        sum_up(g.next, g.inputs, g.targets, g.weighted ? g.weights : NULL, g.seeds, samples, g.values, g.rows,
            g.next_signs, g.totals, g.sums, &g.errors);
        judge_steps(run, &g);
        memset(g.fresh, 0, sizeof g.fresh);
        find_steps(run, &g);
        conclude(run, &g);
        for (size_t lane = 0; lane < FITS; lane++) {
            if (!g.outcome[lane] || g.fit[lane] == SIZE_MAX)
                continue;
            end_fit(run, lane, &g);
            if (g.upcoming < run->last)
                begin_fit(run, lane, 0, &g);
            else
                leave_lane(run, lane, &g);
        }
        stop = stopped(&run->poll, (double) FITS*OPERATIONS*(double) samples);
    }
    finish_waiting(run, &g);
    return stop;
}

size_t NN(fits_lanes)(void)
{
    return FITS;
}

#endif
