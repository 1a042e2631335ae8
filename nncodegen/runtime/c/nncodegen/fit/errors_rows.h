/* The rows of a fit with errors in its inputs, at given parameters and at changed inputs.

   Needs residuals.h and errors_in_x.h. Gives begin_changes, evaluate_errors, cost_of_samples, release_changes,
   report_plain_residuals, report_changes. */

#ifndef NNCODEGEN_ERRORS_ROWS_H
#define NNCODEGEN_ERRORS_ROWS_H

#include "nncodegen/fit/errors_in_x.h"
#include "nncodegen/fit/residuals.h"

/* The first damping of the changes of a sample, and the least one: less is 0. */
#define FIRST_DAMPING_OF_CHANGES 0.1
#define LEAST_DAMPING_OF_CHANGES 1e-3

/* Adds the changes of one input, in units of sigma, to its values, which are apart by a distance. */
INLINE void change_input(const size_t apart, size_t count, const double *restrict changes, const real *restrict given,
    const real *restrict sigma, real *restrict to)
{
    for (size_t n = 0; n < count; n++)
        to[n*apart] = (real) ((double) given[n*apart] + changes[n]*(double) sigma[n*apart]);
}

/* Computes the inputs of a tile, changed. */
static UNUSED void change_inputs(const NN(fitting) *run, errors_in_x *x, size_t first, size_t count)
{
    const size_t inputs = INPUTS;
    for (size_t i = 0; i < inputs; i++) {
        const double *const changes = x->there.changes + i*x->samples + first;
        const real *const given = run->inputs + first*inputs + i, *const sigma = run->sigma_x + first*inputs + i;
        if (inputs == 1)
            change_input(1, count, changes, given, sigma, x->inputs);
        else
            change_input(inputs, count, changes, given, sigma, x->inputs + i);
    }
}

/* Applies the loss to the residuals of one output of a tile, and adds to the costs of its samples. */
static HOT void weigh_errors(const NN(fitting) *run, fit_memory *m, const point_with_errors *p, size_t first,
    size_t count, size_t output)
{
    const size_t place = output*run->samples + first;
    double *const restrict residuals = m->residuals + output*FOLDED_ROWS;
    double *const restrict factors = m->factors + output*FOLDED_ROWS;
    double *const restrict plain = p->plain + place, *const restrict weighed = p->residuals + place;
    double *const restrict costs = p->cost + first;
    for (size_t n = 0; n < count; n++)
        plain[n] = factors[n] != 0 ? residuals[n] : (double) NAN;
    if (run->robust == NN(LINEAR)) {
        for (size_t n = 0; n < count; n++)
            costs[n] += residuals[n]*residuals[n]/2;
    } else {
        add_robust(run->robust, run->robust_scale, count, residuals, factors, costs);
    }
    for (size_t n = 0; n < count; n++)
        weighed[n] = residuals[n];
}

/* Computes the rows of the changes themselves, and adds to the sums and to the costs of samples. */
static HOT void take_changed(const NN(fitting) *run, const point_with_errors *p, size_t first, size_t count,
    residual_sums *sums)
{
    const size_t inputs = INPUTS;
    double *const restrict costs = p->cost + first;
    for (size_t n = 0; n < count; n++)
        costs[n] = 0;
    for (size_t i = 0; i < inputs; i++) {
        const double *const changes = p->changes + i*run->samples + first;
        double *const restrict sides = p->sides + i*run->samples + first;
        double *const restrict factors = p->factors + i*run->samples + first;
        double squares = 0;
        SUM_LOOP(squares)
        for (size_t n = 0; n < count; n++) {
            squares += changes[n]*changes[n];
            sides[n] = changes[n];
            factors[n] = 1;
        }
        sums->chi2 += squares;
        if (run->robust == NN(LINEAR)) {
            for (size_t n = 0; n < count; n++)
                costs[n] += sides[n]*sides[n]/2;
        } else {
            add_robust(run->robust, run->robust_scale, count, sides, factors, costs);
        }
    }
}

/* Copies derivatives times factors into a column; those of missing values are 0. */
INLINE void take_column(const size_t row, size_t count, const real *restrict from, const double *restrict factors,
    double *restrict to)
{
    for (size_t n = 0; n < count; n++) {
        const double value = (double) from[n*row]*factors[n];
        to[n] = factors[n] != 0 ? value : 0;
    }
}

/* Multiplies a column by standard deviations, which are apart by a distance; those that are 0 make it 0. */
INLINE void scale_column(const size_t apart, size_t count, const real *restrict sigma, double *restrict to)
{
    for (size_t n = 0; n < count; n++)
        to[n] = sigma[n*apart] > 0 ? to[n]*(double) sigma[n*apart] : 0;
}

/* Copies the derivatives of one output of a tile: by the parameters that are not fixed, and by the changes. */
static HOT void take_slopes(const NN(fitting) *run, const fit_memory *m, const point_with_errors *p, size_t first,
    size_t count, size_t output)
{
    const size_t inputs = INPUTS, samples = run->samples;
    const real *const from = m->rows.rows + DERIVATIVES;
    const double *const factors = m->factors + output*FOLDED_ROWS;
    for (size_t k = 0; k < m->n; k++) {
        double *const to = p->rows + (output*PARAMETERS + k)*samples + first;
        WITH_ROW_LENGTH(take_column, count, from + m->free[k], factors, to)
    }
    for (size_t i = 0; i < inputs; i++) {
        double *const restrict to = p->slopes + (output*inputs + i)*samples + first;
        const real *const sigma = run->sigma_x + first*inputs + i;
        WITH_ROW_LENGTH(take_column, count, from + PARAMETERS - inputs + i, factors, to)
        if (inputs == 1)
            scale_column(1, count, sigma, to);
        else
            scale_column(inputs, count, sigma, to);
    }
}

/* Changes the dampings of samples by how much of its promise each has kept: more where a step gained too little. */
static UNUSED void control_changes(errors_in_x *x, size_t samples, double cost, int lost)
{
    const double *const before = x->here.cost, *const after = x->there.cost, *const falls = x->falls;
    const double least = 1e-12*cost;
    double *restrict const damping = x->damping, largest = 0;
    LARGEST_LOOP(largest)
    for (size_t n = 0; n < samples; n++) {
        const double gain = lost ? -HUGE_VAL : before[n] - after[n], fall = falls[n], now = damping[n];
        const double more = now > 0 ? 8*now : FIRST_DAMPING_OF_CHANGES;
        const double less = now > 10*LEAST_DAMPING_OF_CHANGES ? now/10 : 0;
        const double kept = gain > 0.75*fall ? less : now, next = gain >= 0.25*fall ? kept : more;
        damping[n] = fall > least ? next : now;
        largest = damping[n] > largest ? damping[n] : largest;
    }
    x->damped = largest > 0;
}

/* Returns the cost at a point. */
static UNUSED double cost_of_samples(const point_with_errors *p, size_t samples)
{
    double cost = 0;
    SUM_LOOP(cost)
    for (size_t n = 0; n < samples; n++)
        cost += p->cost[n];
    return cost;
}

/* Computes the sums at some parameters and at the tried changes, and the triangle, unless the cost is above the
   limit. */
static HOT int evaluate_errors(NN(fitting) *run, fit_memory *m, const real *parameters, double *triangle, double limit,
    residual_sums *sums)
{
    errors_in_x *const x = m->errors;
    point_with_errors *const p = &x->there;
    int lost = 0;
    *sums = (residual_sums) {0, 0, 0};
    memset(triangle, 0, m->n*TRIANGLE_ROW*sizeof *triangle);
    begin_guards(m);
    prepare_rows(parameters, run->samples, m->rows);
    for (size_t first = 0; first < run->samples && !lost; first += TILE) {
        const size_t count = run->samples - first < TILE ? run->samples - first : TILE;
        change_inputs(run, x, first, count);
        take_changed(run, p, first, count, sums);
        for (size_t output = 0; output < FIT_OUTPUTS && !lost; output++) {
            seed(output, m->rows);
            rows_of_tile(parameters, x->inputs, 0, count, m->rows);
            for (size_t k = 0; output == 0 && k < FIT_OUTPUTS; k++) {
                take_residuals(run, NN(LINEAR), first, count, k, m, sums);
                weigh_errors(run, m, p, first, count, k);
            }
            lost = crosses_pole(output, count, m);
            take_slopes(run, m, p, first, count, output);
        }
        if (stopped(&run->poll, (double) FIT_OUTPUTS*OPERATIONS*(double) count))
            return STOPPED;
    }
    const double cost = sums->cost = cost_of_samples(p, run->samples);
    if (x->controlled)
        control_changes(x, run->samples, m->sums.cost, lost);
    if (lost || !(cost <= limit))
        return lost || !(cost > limit) ? NOT_FINITE : TOO_HIGH;
    if (fold_errors(&run->poll, m, x, p, triangle))
        return STOPPED;
    return cost - cost == 0 && is_finite_triangle(triangle, m->n) ? EVALUATED : NOT_FINITE;
}

/* Starts at the changes that are given. */
static UNUSED void begin_changes(const NN(fitting) *run, errors_in_x *x)
{
    const size_t inputs = INPUTS;
    for (size_t n = 0; n < run->samples; n++) {
        for (size_t i = 0; i < inputs; i++) {
            const double sigma = (double) run->sigma_x[n*inputs + i];
            x->there.changes[i*run->samples + n] = sigma > 0 ? run->changes[n*inputs + i]/sigma : 0;
        }
    }
}

/* Removes the dampings of changes. Returns whether there were any. */
static UNUSED int release_changes(errors_in_x *x)
{
    const int damped = x->damped;
    for (size_t n = 0; n < x->samples; n++)
        x->damping[n] = 0;
    x->damped = 0;
    return damped;
}

/* Writes the residuals at a point, before a robust loss. */
static COLD void report_plain_residuals(const NN(fitting) *run, const point_with_errors *p)
{
    const size_t outputs = FIT_OUTPUTS;
    for (size_t k = 0; run->residuals && k < run->samples*outputs; k++)
        run->residuals[k] = p->plain[k%outputs*run->samples + k/outputs];
}

/* Writes the changes of inputs at a point. */
static COLD void report_changes(const NN(fitting) *run, const point_with_errors *p)
{
    const size_t inputs = INPUTS;
    for (size_t n = 0; n < run->samples; n++)
        for (size_t i = 0; i < inputs; i++)
            run->changes[n*inputs + i] = p->changes[i*run->samples + n]*(double) run->sigma_x[n*inputs + i];
}

#endif
