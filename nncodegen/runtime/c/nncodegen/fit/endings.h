/* The test whether a point at which no step makes progress is a solution.

   Needs evaluate.h and fit_point.h. Gives end_of_radius, end_of_valley, is_minimum. */

#ifndef NNCODEGEN_ENDINGS_H
#define NNCODEGEN_ENDINGS_H

#include "nncodegen/fit/evaluate.h"
#include "nncodegen/fit/fit_point.h"

/* Returns how much rounding may change the cost, through the outputs and through the parameters; and so may the error of
   solutions whose steps are chosen. */
static COLD double noise_of_cost(const NN(fitting) *run, fit_memory *m)
{
    double squares = scaled_length(m)*scaled_length(m);
    const size_t samples = FIT_CURVED ? 0 : run->samples;
    seed(0, m->rows);
    prepare_rows(m->parameters, run->samples, m->rows);
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        rows_of_tile(m->parameters, run->inputs, first, count, m->rows);
        squares += squares_of_outputs(run, first, count, m);
    }
    const double noise = larger(4*ROUNDING, run->output_error)*sqrt(squares);
    return noise*(sqrt(2*size_of_cost(m)) + noise/2);
}

/* Returns the largest part of a column that the error of solutions may make up. Steps control the error that one of them
   adds; that of solutions is some times as large, and so is that of their derivatives, relative to their length. */
static COLD double error_of_columns(const NN(fitting) *run)
{
    return 10*run->output_error;
}

/* Returns how a fit has ended that no longer gains, along a valley: it is at a solution if no step promises more than the
   tolerance or than rounding hides. Where the valley is flat, residuals are nearly orthogonal to all columns everywhere,
   which tells nothing. */
static COLD int end_of_valley(const NN(fitting) *run, fit_memory *m, double tolerance)
{
    const double fall = possible_fall(m, error_of_columns(run));
    return fall <= larger(tolerance*size_of_cost(m), noise_of_cost(run, m)) ? NN(FIT_COST) : NN(FIT_STALLED);
}

/* Returns how a fit has ended whose radius has shrunk until its steps are too short to change the cost by more than
   rounding. It is at a solution if no step promises more than the tolerance or than rounding hides, or if the residuals
   are orthogonal to all columns. */
static COLD int end_of_radius(const NN(fitting) *run, fit_memory *m, double tolerance)
{
    const double fall = possible_fall(m, error_of_columns(run)), cosine = largest_cosine(m);
    if (fall <= tolerance*size_of_cost(m) || cosine*cosine <= tolerance)
        return NN(FIT_STEP);
    return fall <= noise_of_cost(run, m) ? NN(FIT_COST) : NN(FIT_STALLED);
}

/* Returns the cost after changing some parameters, those with zero derivatives, by a fraction of their size; parameters
   with even and with odd indices may get different signs. Infinity beyond a bound, or if the cost is not finite. */
static COLD double cost_nearby(NN(fitting) *run, fit_memory *m, size_t first, size_t last, double even, double odd)
{
    residual_sums sums;
    size_t number = 0;
    for (size_t k = 0; k < m->n; k++) {
        const size_t p = m->free[k];
        const double value = (double) m->parameters[p], part = (value != 0 ? fabs(value) : 1)/32;
        m->step[k] = m->length[k] > 0 || k < first || k >= last ? 0 : number++%2 ? odd*part : even*part;
        if (m->step[k] < m->low[k] || m->step[k] > m->high[k])
            return HUGE_VAL;
    }
    if (place_trial(run, m))
        return HUGE_VAL;
    run->evaluations++;
    return evaluate(run, m, m->trial, m->tried, HUGE_VAL, &sums) == EVALUATED ? sums.cost : HUGE_VAL;
}

/* Returns whether a point where no step lowers the cost is a minimum, as far as this can be decided if derivatives by
   parameters are 0, as at a maximum of the cost: nearby, the cost must not fall. If all derivatives are 0, it must also
   rise somewhere. */
static COLD int is_minimum(NN(fitting) *run, fit_memory *m)
{
    const double cost = m->sums.cost, doubt = 16*ROUNDING*size_of_cost(m);
    const double signs[4][2] = {{1, 1}, {-1, -1}, {1, -1}, {-1, 1}};
    size_t flat = 0;
    int rises = 0;
    for (size_t k = 0; k < m->n; k++)
        flat += m->length[k] == 0;
    if (flat == 0 || !(size_of_cost(m) > 0))
        return 1;
    for (size_t trial = 0; trial < 2*m->n + 4; trial++) {
        const size_t k = trial/2, first = k < m->n ? k : 0, last = k < m->n ? k + 1 : m->n;
        const double *const both = signs[k < m->n ? trial%2 : trial - 2*m->n];
        if (last == first + 1 && m->length[first] > 0)
            continue;
        const double found = cost_nearby(run, m, first, last, both[0], both[1]);
        if (found < cost - doubt)
            return 0;
        rises |= found > cost + doubt && found < HUGE_VAL;
    }
    return rises || flat < m->n;
}

#endif
