/* The point of a fit: the parameters, and what follows from the triangle there; and a step from there.

   Needs bounds.h, errors_in_x.h, guards.h and penalty.h. Gives update_gradient_and_scales, find_step, place_trial,
   take_trial. */

#ifndef NNCODEGEN_FIT_POINT_H
#define NNCODEGEN_FIT_POINT_H

#include "nncodegen/fit/bounds.h"
#include "nncodegen/fit/errors_in_x.h"
#include "nncodegen/fit/fit_rows.h"
#include "nncodegen/fit/guards.h"
#include "nncodegen/fit/penalty.h"

/* Computes everything that follows from the triangle at the parameters: the gradient, the length of each column, the
   scales, the bounds that hold, and the system of the other parameters. */
static HOT void update_gradient_and_scales(const NN(fitting) *run, fit_memory *m)
{
    for (size_t k = 0; k < m->n; k++)
        m->gradient[k] = m->length[k] = 0;
    for (size_t i = 0; i < m->n; i++) {
        const double *const row = m->triangle + i*TRIANGLE_ROW, side = row[m->n];
        for (size_t k = i; k < m->n; k++) {
            m->gradient[k] += row[k]*side;
            m->length[k] += row[k]*row[k];
        }
    }
    for (size_t k = 0; FIT_CURVED && k < m->n; k++)
        m->gradient[k] = m->triangle[k*TRIANGLE_ROW + m->n];
    for (size_t k = 0; k < m->n; k++) {
        m->length[k] = sqrt(m->length[k]);
        m->scale[k] = larger(m->scale[k], m->length[k]);
        m->by_scale[k] = m->scale[k] > 0 ? 1/m->scale[k] : 1;
    }
    hold(run, m);
    memcpy(m->clamped, m->held, m->n);
    for (size_t k = 0; k < m->n; k++)
        m->step[k] = 0;
    make_system(m);
}

/* Returns the largest cosine of an angle between the residuals and a column, among columns that no bound holds. The
   length of the residuals is the one after a robust loss; if FIT_CURVED, the one whose square is as large as the
   losses. */
static UNUSED double largest_cosine(const fit_memory *m)
{
    double largest = 0;
    for (size_t k = 0; k < m->n; k++)
        if (!m->held[k] && m->length[k] > 0 && size_of_cost(m) > 0)
            largest = larger(largest, fabs(m->gradient[k])/m->length[k]/sqrt(2*size_of_cost(m)));
    if (m->errors && size_of_cost(m) > 0) /* no cosine with the column of a change is larger than this */
        largest = larger(largest, sqrt(m->errors->here.own_fall/size_of_cost(m)));
    return largest;
}

/* Returns the length of the parameters, |D x|. */
static UNUSED double scaled_length(const fit_memory *m)
{
    double square = 0;
    for (size_t k = 0; k < m->n; k++) {
        const double value = (double) m->parameters[m->free[k]]*m->scale[k];
        square += value*value;
    }
    return sqrt(square);
}

/* Computes the step that is as long as the radius, up to a tenth of it, or the one without damping if that is not
   longer; finds the damping for that. It uses Newton's method on 1/length, as MINPACK's lmpar; outside of the interval
   that is known to contain the damping, it takes the middle of that. Returns the length. */
static HOT double find_step(const NN(fitting) *run, fit_memory *m, double radius, double *damping)
{
    double length = damped_step(run, m, 0);
    if (length <= 1.1*radius) {
        *damping = 0;
        return length;
    }
    double low = 0, high = 0;
    if (m->rank == m->n && m->moving == m->n)
        low = (length - radius)/radius/slope_of_length(m, 0, length);
    for (size_t k = 0; k < m->n; k++)
        if (!m->held[k])
            high += m->gradient[k]*m->by_scale[k]*m->gradient[k]*m->by_scale[k];
    high = sqrt(high)/radius;
    double next = *damping > low && *damping < high ? *damping : low > 0 ? low : 1e-3*high;
    for (size_t k = 0; k < 10; k++) {
        *damping = next;
        length = damped_step(run, m, next);
        const double excess = length - radius;
        if (fabs(excess) <= 0.1*radius)
            break;
        if (excess > 0)
            low = larger(low, next);
        else
            high = next < high ? next : high;
        next += length > 0 ? excess/radius/slope_of_length(m, next, length) : 0;
        if (!(next > low && next < high))
            next = low > 0 ? sqrt(low*high) : 1e-3*high;
    }
    return length;
}

/* Computes the parameters after the step, within the bounds; replaces the step by the difference after rounding.
   Returns 1 if stopped, which only the changes of inputs may be. */
static UNUSED int place_trial(NN(fitting) *run, fit_memory *m)
{
    for (size_t k = 0; k < m->n; k++) {
        const size_t p = m->free[k];
        real value = (real) ((double) m->parameters[p] + m->step[k]);
        if (run->lower && (value < run->lower[p] || m->step[k] == m->low[k]))
            value = run->lower[p];
        if (run->upper && (value > run->upper[p] || m->step[k] == m->high[k]))
            value = run->upper[p];
        m->trial[p] = value;
        m->step[k] = (double) value - (double) m->parameters[p];
    }
    return m->errors && place_changes(&run->poll, m, m->errors);
}

/* Returns how much a step lowers the cost if the residuals are linear; and, in slope, the part due to the gradient
   alone. */
static UNUSED double predicted_fall(const NN(fitting) *run, const fit_memory *m, double *slope)
{
    double fall = 0;
    *slope = 0;
    if (m->errors) {
        *slope = m->errors->all_slope;
        return m->errors->all_fall + fall_of_penalty(run, m, slope);
    }
    for (size_t i = 0; i < m->n; i++) {
        const double *const row = m->triangle + i*TRIANGLE_ROW;
        double change = 0;
        for (size_t k = i; k < m->n; k++)
            change += row[k]*m->step[k];
        const double part = FIT_CURVED ? row[m->n]*m->step[i] : change*row[m->n];
        fall -= part + change*change/2;
        *slope += part;
    }
    return fall;
}

/* Returns how much the cost would fall without damping, if the residuals were linear. A step that the radius makes
   short, along a valley, cannot tell that. Columns of which no more than a part is left, beside those before them,
   promise nothing: that is 0, or what the error of columns is. */
static UNUSED double possible_fall(const fit_memory *m, double part)
{
    double squares = 0;
    for (size_t i = 0; i < m->rank; i++) {
        const double *const row = m->system + i*TRIANGLE_ROW;
        const double length = m->length[m->order[i]]*m->by_scale[m->order[i]];
        squares += fabs(row[i]) > part*length ? row[m->moving]*row[m->moving] : 0;
    }
    return squares/2 + (m->errors ? m->errors->here.own_fall : 0);
}

/* Makes the trial the current point of the fit. */
static UNUSED void take_trial(fit_memory *m, const residual_sums *sums)
{
    double *const triangle = m->triangle;
    real *const parameters = m->parameters;
    m->triangle = m->tried;
    m->tried = triangle;
    for (size_t k = 0; k < m->n; k++)
        parameters[m->free[k]] = m->trial[m->free[k]];
    m->sums = *sums;
    if (m->errors)
        take_changes(m->errors);
    keep_signs(m);
}

#endif
