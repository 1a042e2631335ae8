/* A damped least-squares step: the s with the smallest |R s + q|^2 + damping |D s|^2, where the triangle R and q are
   those of the rows, and D scales the parameters.

   Needs pivots.h. Gives make_system, solve_system, slope_of_length.

   The system is solved for z = D s, for the parameters that may move; the others are clamped, and their step is
   given. */

#ifndef NNCODEGEN_DAMPING_H
#define NNCODEGEN_DAMPING_H

#include "nncodegen/fit/pivots.h"

/* A column is surely independent if its part orthogonal to the columns before it is at least this fraction of its
   length. */
#define SUSPECT (FIT_CURVED ? 10*sqrt(ROUNDING) : sizeof(real) > 4 ? 1e-10 : 1e-4)

/* Returns the right-hand side of row i, including the effect of the steps of clamped parameters. */
static COLD double side_of_row(const fit_memory *m, size_t i)
{
    const double *const row = m->triangle + i*TRIANGLE_ROW;
    double sum = row[m->n];
    for (size_t k = i; k < m->n; k++)
        sum += m->clamped[k] ? row[k]*m->step[k] : 0;
    return sum;
}

/* Computes the triangle of some columns, by folding the rows of these, which have gaps. */
static COLD void fold_moving(fit_memory *m)
{
    memset(m->system, 0, m->moving*TRIANGLE_ROW*sizeof *m->system);
    for (size_t first = 0; first < m->n; first += 64) {
        const size_t count = m->n - first < 64 ? m->n - first : 64, rows = whole_rows(count);
        for (size_t k = 0; k < m->moving; k++) {
            const size_t p = m->order[k];
            for (size_t i = 0; i < rows; i++)
                m->columns[k*COLUMN + i] = i < count ? m->triangle[(first + i)*TRIANGLE_ROW + p]*m->by_scale[p] : 0;
        }
        for (size_t i = 0; i < rows; i++)
            m->columns[m->moving*COLUMN + i] = i < count ? side_of_row(m, first + i) : 0;
        fold(m->system, 0, m->moving, m->columns, rows, m->products);
    }
}

/* Computes the right-hand side q of a system S from the gradient, S^T q = gradient, which the steps of clamped
   parameters change; only if FIT_CURVED. */
static UNUSED void solve_for_side(fit_memory *m)
{
    const size_t n = m->moving;
    for (size_t k = 0; k < m->n; k++)
        m->slope[k] = m->gradient[k];
    for (size_t i = 0; n < m->n && i < m->n; i++) {
        const double *const row = m->triangle + i*TRIANGLE_ROW;
        double change = 0;
        for (size_t k = i; k < m->n; k++)
            change += m->clamped[k] ? row[k]*m->step[k] : 0;
        for (size_t k = i; k < m->n; k++)
            m->slope[k] += row[k]*change;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t p = m->order[i];
        double sum = m->slope[p]*m->by_scale[p];
        for (size_t l = 0; l < i && i < m->rank; l++)
            sum -= m->system[l*TRIANGLE_ROW + i]*m->system[l*TRIANGLE_ROW + n];
        m->system[i*TRIANGLE_ROW + n] = i < m->rank ? sum/m->system[i*TRIANGLE_ROW + i] : 0;
    }
}

/* Builds the system of the parameters that are not clamped, and finds its rank: if a column seems to be a combination
   of others, columns are reordered. */
static UNUSED void make_system(fit_memory *m)
{
    m->moving = 0;
    for (size_t k = 0; k < m->n; k++)
        if (!m->clamped[k])
            m->order[m->moving++] = k;
    if (m->moving == m->n) {
        for (size_t i = 0; i < m->n; i++) {
            for (size_t k = i; k < m->n; k++)
                m->system[i*TRIANGLE_ROW + k] = m->triangle[i*TRIANGLE_ROW + k]*m->by_scale[k];
            m->system[i*TRIANGLE_ROW + m->n] = m->triangle[i*TRIANGLE_ROW + m->n];
        }
    } else {
        fold_moving(m);
    }
    int independent = 1;
    for (size_t k = 0; k < m->moving; k++) {
        const size_t p = m->order[k];
        independent &= fabs(m->system[k*TRIANGLE_ROW + k]) > SUSPECT*m->length[p]*m->by_scale[p];
    }
    m->rank = independent ? m->moving : pivot(m, m->moving);
    if (FIT_CURVED)
        solve_for_side(m);
}

/* Solves the system for the step z, with damping; returns the square of its length. Without damping, components that
   the system does not determine are 0. */
static UNUSED double solve_system(fit_memory *m, double damping)
{
    const size_t n = m->moving, rank = damping > 0 ? n : m->rank;
    const double *triangle = m->system;
    if (damping > 0) {
        memcpy(m->damped, m->system, n*TRIANGLE_ROW*sizeof *m->damped);
        fold_diagonal(m->damped, n, sqrt(damping), m->columns, m->products);
        triangle = m->damped;
    }
    double square = 0;
    for (size_t k = rank; k < n; k++)
        m->scaled[k] = 0;
    for (size_t i = rank; i-- > 0;) {
        const double *const row = triangle + i*TRIANGLE_ROW;
        double sum = row[n];
        for (size_t k = i + 1; k < rank; k++)
            sum += row[k]*m->scaled[k];
        m->scaled[i] = -sum/row[i];
        square += m->scaled[i]*m->scaled[i];
    }
    return square;
}

/* Returns the rate at which the length of the step falls as its damping grows, divided by the length:
   |S^-T z|^2/|z|^2, where S is the triangle of the last step, damped or not. (More, The Levenberg-Marquardt
   algorithm, 1978, section 5.) */
static UNUSED double slope_of_length(fit_memory *m, double damping, double length)
{
    const size_t n = m->moving;
    const double *const triangle = damping > 0 ? m->damped : m->system;
    double square = 0;
    for (size_t k = 0; k < n; k++)
        m->spare[k] = m->scaled[k]/length;
    for (size_t i = 0; i < n; i++) {
        const double value = m->spare[i]/triangle[i*TRIANGLE_ROW + i];
        for (size_t k = i + 1; k < n; k++)
            m->spare[k] -= triangle[i*TRIANGLE_ROW + k]*value;
        square += value*value;
    }
    return square;
}

#endif
