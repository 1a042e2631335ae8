/* The rows of a fit with errors in its inputs, at given parameters and at changed inputs.

   Needs residuals.h and errors_in_x.h. Gives begin_changes, evaluate_errors, release_changes, tell_errors. */

#ifndef NNCODEGEN_ERRORS_ROWS_H
#define NNCODEGEN_ERRORS_ROWS_H

#include "errors_in_x.h"
#include "residuals.h"

/* The first damping of the changes of a sample, whose own rows are 1, and the least one: less is 0. */
#define FIRST_DAMPING_OF_CHANGES 0.1
#define LEAST_DAMPING_OF_CHANGES 1e-3

/* Computes the inputs of a tile, changed. */
static UNUSED void change_inputs(const NN(fitting) *run, errors_in_x *x, size_t first, size_t count)
{
    const size_t values = count*INPUTS, place = first*INPUTS;
    const double *const changes = x->there.changes + place;
    for (size_t k = 0; k < values; k++)
        x->inputs[k] = (real) ((double) run->inputs[place + k] + changes[k]*(double) run->sigma_x[place + k]);
}

/* Applies the loss to the residuals of one output of a tile, and adds to the costs of its samples. */
static HOT void weigh_errors(const NN(fitting) *run, fit_memory *m, point_with_errors *p, size_t first, size_t count,
    size_t output)
{
    for (size_t n = 0; n < count; n++) {
        double *const residual = m->residuals + output*FOLDED_ROWS + n, *const factor = m->factors + output*FOLDED_ROWS + n;
        double cost = *residual**residual/2;
        const int known = *factor != 0;
        p->plain[(first + n)*FIT_OUTPUTS + output] = known ? *residual : (double) NAN;
        if (run->robust != NN(LINEAR)) {
            cost = 0;
            *factor *= robust_terms(run->robust, run->robust_scale, residual, &cost);
        }
        p->residuals[(first + n)*FIT_OUTPUTS + output] = *residual;
        p->cost[first + n] += cost;
    }
}

/* Computes the rows of the changes themselves, and adds to the sums and to the costs of samples. */
static HOT void take_changed(const NN(fitting) *run, point_with_errors *p, size_t first, size_t count,
    residual_sums *sums)
{
    const size_t inputs = INPUTS;
    for (size_t n = first; n < first + count; n++) {
        p->cost[n] = 0;
        for (size_t i = n*inputs; i < (n + 1)*inputs; i++) {
            double side = p->changes[i], cost = side*side/2;
            sums->chi2 += side*side;
            p->factors[i] = 1;
            if (run->robust != NN(LINEAR)) {
                cost = 0;
                p->factors[i] = robust_terms(run->robust, run->robust_scale, &side, &cost);
            }
            p->sides[i] = side;
            p->cost[n] += cost;
        }
    }
}

/* Copies the derivatives of one output of a tile: by the parameters that are not fixed, and by the changes. */
static HOT void take_slopes(const NN(fitting) *run, const fit_memory *m, point_with_errors *p, size_t first,
    size_t count, size_t output)
{
    const size_t outputs = FIT_OUTPUTS, inputs = INPUTS;
    for (size_t n = 0; n < count; n++) {
        const real *const from = m->rows.rows + n*OUTPUTS + DERIVATIVES;
        const real *const sigmas = run->sigma_x + (first + n)*inputs;
        const double factor = m->factors[output*FOLDED_ROWS + n];
        double *const row = p->rows + ((first + n)*outputs + output)*PARAMETERS;
        double *const slopes = p->slopes + ((first + n)*outputs + output)*inputs;
        for (size_t k = 0; k < m->n; k++)
            row[k] = factor != 0 ? (double) from[m->free[k]]*factor : 0;
        for (size_t i = 0; i < inputs; i++)
            slopes[i] = factor != 0 && sigmas[i] > 0
                ? (double) from[PARAMETERS - inputs + i]*factor*(double) sigmas[i] : 0;
    }
}

/* Changes the dampings of samples by how much of its promise each has kept: more where a step gained too little. */
static UNUSED void control_changes(errors_in_x *x, size_t samples, double cost, int lost)
{
    x->damped = 0;
    for (size_t n = 0; n < samples; n++) {
        const double gain = lost ? -HUGE_VAL : x->here.cost[n] - x->there.cost[n], fall = x->falls[n];
        double *const damping = x->damping + n;
        if (fall > 1e-12*cost) {
            if (!(gain >= 0.25*fall))
                *damping = *damping > 0 ? 8**damping : FIRST_DAMPING_OF_CHANGES;
            else if (gain > 0.75*fall)
                *damping = *damping > 10*LEAST_DAMPING_OF_CHANGES ? *damping/10 : 0;
        }
        x->damped |= *damping > 0;
    }
}

/* Computes the sums at some parameters and at the tried changes, and the triangle, unless the cost is above the
   limit. */
static HOT int evaluate_errors(NN(fitting) *run, fit_memory *m, const real *parameters, double *triangle, double limit,
    residual_sums *sums)
{
    errors_in_x *const x = m->errors;
    point_with_errors *const p = &x->there;
    double cost = 0;
    int lost = 0;
    *sums = (residual_sums) {0, 0, 0};
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
    for (size_t n = 0; n < run->samples; n++)
        cost += p->cost[n];
    sums->cost = cost;
    if (x->controlled)
        control_changes(x, run->samples, m->sums.cost, lost);
    if (lost || !(cost <= limit))
        return lost || !(cost > limit) ? NOT_FINITE : TOO_HIGH;
    fold_errors(m, x, p, run->samples, triangle);
    return cost - cost == 0 && is_finite_triangle(triangle, m->n) ? EVALUATED : NOT_FINITE;
}

/* Starts at the changes that are given. */
static UNUSED void begin_changes(const NN(fitting) *run, errors_in_x *x)
{
    for (size_t k = 0; k < run->samples*INPUTS; k++)
        x->there.changes[k] = run->sigma_x[k] > 0 ? run->changes[k]/(double) run->sigma_x[k] : 0;
}

/* Removes the dampings of changes. Returns whether there were any. */
static UNUSED int release_changes(const NN(fitting) *run, errors_in_x *x)
{
    const int damped = x->damped;
    for (size_t n = 0; n < run->samples; n++)
        x->damping[n] = 0;
    x->damped = 0;
    return damped;
}

/* Writes the residuals and the changes of inputs. */
static COLD void tell_errors(const NN(fitting) *run, const errors_in_x *x)
{
    for (size_t k = 0; run->residuals && k < run->samples*FIT_OUTPUTS; k++)
        run->residuals[k] = x->here.plain[k];
    for (size_t k = 0; k < run->samples*INPUTS; k++)
        run->changes[k] = x->here.changes[k]*(double) run->sigma_x[k];
}

#endif
