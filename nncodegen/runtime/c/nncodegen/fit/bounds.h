/* A damped step that stays within bounds: the exact minimum of |R s + q|^2 + damping |D s|^2 within them.

   Needs damping.h. Gives hold, damped_step. */

#ifndef NNCODEGEN_BOUNDS_H
#define NNCODEGEN_BOUNDS_H

#include "nncodegen/fit/damping.h"

/* Computes the distance of each parameter from its bounds, and which parameters are held at first: those at a bound
   beyond which the cost would fall. */
static UNUSED void hold(const NN(fitting) *run, fit_memory *m)
{
    for (size_t k = 0; k < m->n; k++) {
        const size_t p = m->free[k];
        const double value = (double) m->parameters[p];
        m->low[k] = run->lower ? (double) run->lower[p] - value : -HUGE_VAL;
        m->high[k] = run->upper ? (double) run->upper[p] - value : HUGE_VAL;
        m->held[k] = (signed char) ((m->high[k] <= 0 && m->gradient[k] < 0) - (m->low[k] >= 0 && m->gradient[k] > 0));
    }
}

/* Returns the clamped parameter with the steepest descent of the damped cost into the interior of its bounds, or n if
   there is none. */
static COLD size_t unwilling(fit_memory *m, double damping, double rounding)
{
    size_t found = m->n;
    double worst = rounding;
    for (size_t i = 0; i < m->n; i++) {
        const double *const row = m->triangle + i*TRIANGLE_ROW;
        double sum = FIT_CURVED ? 0 : row[m->n];
        for (size_t k = i; k < m->n; k++)
            sum += row[k]*m->step[k];
        m->change[i] = sum;
    }
    for (size_t k = 0; k < m->n; k++) {
        if (!m->clamped[k])
            continue;
        double slope = damping*m->scale[k]*m->step[k] + (FIT_CURVED ? m->gradient[k]*m->by_scale[k] : 0);
        for (size_t i = 0; i <= k; i++)
            slope += m->triangle[i*TRIANGLE_ROW + k]*m->change[i]*m->by_scale[k];
        if (slope*m->clamped[k] > worst) {
            worst = slope*m->clamped[k];
            found = k;
        }
    }
    return found;
}

/* Goes from the present step towards the solution of the system, up to the first bound on the way, where it clamps that
   parameter. Returns whether it met a bound. */
static COLD int go_to_bound(fit_memory *m)
{
    double fraction = 1;
    size_t hit = m->n;
    signed char side = 0;
    for (size_t k = 0; k < m->moving; k++) {
        const size_t p = m->order[k];
        const double goal = m->scaled[k]*m->by_scale[p], way = goal - m->step[p];
        if (goal <= m->high[p] && goal >= m->low[p])
            continue;
        const double part = ((way > 0 ? m->high[p] : m->low[p]) - m->step[p])/way;
        if (part <= fraction) {
            fraction = part;
            hit = p;
            side = way > 0 ? 1 : -1;
        }
    }
    for (size_t k = 0; k < m->moving; k++) {
        const size_t p = m->order[k];
        m->step[p] += fraction*(m->scaled[k]*m->by_scale[p] - m->step[p]);
    }
    if (hit == m->n)
        return 0;
    m->clamped[hit] = side;
    m->step[hit] = side > 0 ? m->high[hit] : m->low[hit];
    return 1;
}

/* Computes the damped step within bounds. Parameters are clamped at the bounds on the way to a solution, and released
   if the cost falls towards the interior, until none is (Stark and Parker, Bounded-variable least squares, 1995). Each
   round reduces the damped cost, so that no set of clamped parameters occurs twice, up to rounding. */
static COLD void step_within_bounds(fit_memory *m, double damping)
{
    double rounding = 0;
    for (size_t k = 0; k < m->n; k++) {
        rounding = larger(rounding, 1e-13*fabs(m->gradient[k])*m->by_scale[k]);
        m->step[k] = 0;
    }
    memcpy(m->clamped, m->held, m->n);
    for (size_t round = 0; round < 3*m->n + 10; round++) {
        make_system(m);
        solve_system(m, damping);
        if (go_to_bound(m))
            continue;
        const size_t found = unwilling(m, damping, rounding);
        if (found == m->n)
            return;
        m->clamped[found] = 0;
    }
}

/* Computes the step for a damping, within the bounds. Returns its length |D s|. */
static UNUSED double damped_step(const NN(fitting) *run, fit_memory *m, double damping)
{
    if (!run->lower && !run->upper) {
        const double square = solve_system(m, damping);
        for (size_t k = 0; k < m->moving; k++)
            m->step[m->order[k]] = m->scaled[k]*m->by_scale[m->order[k]];
        return sqrt(square);
    }
    step_within_bounds(m, damping);
    double square = 0;
    for (size_t k = 0; k < m->n; k++)
        square += m->step[k]*m->scale[k]*m->step[k]*m->scale[k];
    return sqrt(square);
}

#endif
