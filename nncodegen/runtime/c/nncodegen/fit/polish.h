/* The last digits of a solution: full Gauss-Newton steps, extrapolated.

   Needs evaluate.h and fit_point.h. Gives polish.

   If residuals remain at the solution, such steps s(x) shrink by about the same factor each, and the longest are in
   the same direction. This is estimated from two steps and extrapolated, which makes the convergence faster than
   linear (Anderson's acceleration of depth 1; Walker and Ni, 2011). The cost is of no use here, because it has only
   half of the digits. */

#ifndef NNCODEGEN_POLISH_H
#define NNCODEGEN_POLISH_H

#include "nncodegen/fit/evaluate.h"
#include "nncodegen/fit/fit_point.h"

enum { LAST_STEPS = 20 };

/* Changes the step by an extrapolation from the last one, with the lengths of the columns as weights. */
static COLD void extrapolate(fit_memory *m)
{
    double product = 0, square = 0;
    for (size_t k = 0; k < m->n; k++) {
        const double weight = m->clamped[k] ? 0 : m->scale[k]*m->scale[k], d = m->step[k] - m->last_step[k];
        product += weight*m->step[k]*d;
        square += weight*d*d;
    }
    const double factor = square > 0 ? product/square : 0;
    for (size_t k = 0; k < m->n; k++) {
        const double way = (double) m->parameters[m->free[k]] - m->last_place[k];
        m->spare[k] = m->clamped[k] ? 0 : m->step[k] - factor*(way + m->step[k] - m->last_step[k]);
    }
}

/* Returns the largest change relative to a parameter, or to a thousandth of the change that would be as large as the
   fit. */
static COLD double relative_change(const fit_memory *m)
{
    const double least = 1e-3*scaled_length(m);
    double largest = 0;
    for (size_t k = 0; k < m->n; k++) {
        const double size = larger(fabs((double) m->parameters[m->free[k]]), least*m->by_scale[k]);
        largest = size > 0 ? larger(largest, fabs(m->step[k])/size) : largest;
    }
    return largest;
}

/* Returns whether a step stays within the bounds. */
static COLD int is_within_bounds(const fit_memory *m)
{
    for (size_t k = 0; k < m->n; k++)
        if (!m->held[k] && (m->step[k] < m->low[k] || m->step[k] > m->high[k]))
            return 0;
    return 1;
}

/* Takes full steps from a solution, as long as they become shorter, until the rest is below the tolerance, relative
   to the parameters. The second step need not be shorter: only then there is something to extrapolate, and steps
   that overshoot become longer at first. Returns 1 if stopped. */
static COLD int polish(NN(fitting) *run, fit_memory *m, double tolerance)
{
    double last = HUGE_VAL;
    for (size_t number = 0; number < LAST_STEPS; number++) {
        for (size_t k = 0; k < m->n; k++)
            m->scale[k] = 0; /* only the columns here count, not those of earlier points */
        update_gradient_and_scales(run, m);
        const double length = sqrt(solve_system(m, 0));
        for (size_t k = 0; k < m->moving; k++)
            m->step[m->order[k]] = m->scaled[k]*m->by_scale[m->order[k]];
        if (!(length < (number == 1 ? 3*last : last)) || !is_within_bounds(m))
            return 0;
        memcpy(m->spare, m->step, m->n*sizeof *m->step);
        if (number > 0)
            extrapolate(m);
        for (size_t k = 0; k < m->n; k++) {
            m->last_step[k] = m->step[k];
            m->last_place[k] = (double) m->parameters[m->free[k]];
            m->step[k] = m->spare[k];
        }
        if (place_trial(run, m))
            return 1;
        const double change = relative_change(m), factor = number > 0 && length < 0.9*last ? length/last : 0.9;
        residual_sums sums;
        const int found = evaluate(run, m, m->trial, m->tried, m->sums.cost + 1e-9*size_of_cost(m), &sums);
        run->evaluations++;
        if (found != EVALUATED)
            return found == STOPPED;
        take_trial(m, &sums);
        if (change*factor <= tolerance*(1 - factor))
            return 0;
        last = length;
    }
    return 0;
}

#endif
