/* The rows of a problem at given parameters, for a loss that is no sum of squares, but convex in the outputs:
   generalized Gauss-Newton.

   Needs fit_rows.h and guards.h. Gives evaluate_convex.

   Let D = L L^T be the second derivatives of the loss of a sample by the outputs, and J the derivatives of the outputs
   by the parameters. The Hessian of the cost is approximately the sum of J^T D J (Schraudolph, Fast Curvature
   Matrix-Vector Products for Second-Order Gradient Descent, 2002). The rows that are folded into the triangle are L^T
   J. The kernel is called for each column of D, then for the rows, with the columns of L as seeds. The gradient, the
   sum of J^T g, need not be in the range of these rows, because a loss may have a slope where it has no curvature. It
   is summed separately. Column n of the triangle holds it instead of a right-hand side: damping.h solves for that
   (semi-normal equations). */

#ifndef NNCODEGEN_CONVEX_H
#define NNCODEGEN_CONVEX_H

#include "fit_rows.h"
#include "guards.h"

/* A second derivative counts as rounding below this relative size: relative to the largest one seen if it is negative;
   relative to its value before if it is the rest of a subtraction. */
#define IN_DOUBT (1000*ROUNDING)

/* The fraction of the squared gradient, relative to the size of the cost, that counts as curvature: so small that it
   does not matter, unless everything else is flat in this direction. It vanishes at a solution. */
#define LEAST_CURVATURE 1e-4

INLINE double *curvature_of(const fit_memory *m, size_t sample)
{
    return m->curvature + sample*FIT_OUTPUTS*FIT_OUTPUTS;
}

/* Copies the targets of a tile to the positions before the seeds. */
static UNUSED void take_targets(const NN(fitting) *run, size_t first, size_t count, row_memory r)
{
    for (size_t n = 0; n < TILE; n++)
        copy_row(run->targets + (first + (n < count ? n : count - 1))*FIT_TARGETS, r.seeds + n*TARGETS, FIT_TARGETS);
}

/* Adds up the losses of a tile. The factor of a sample is 0 if a target is missing, and else 1. */
static UNUSED void take_losses(size_t count, fit_memory *m, residual_sums *sums)
{
    const size_t targets = FIT_TARGETS;
    for (size_t n = 0; n < count; n++) {
        int known = 1;
        for (size_t k = 0; k < targets; k++)
            known &= m->rows.seeds[n*TARGETS + k] == m->rows.seeds[n*TARGETS + k];
        const double loss = known ? (double) m->rows.rows[n*OUTPUTS] : 0;
        m->factors[n] = known;
        sums->cost += loss;
        sums->chi2 += fabs(loss);
        sums->used += (size_t) known;
    }
}

/* Adds the contribution of one output to the gradient, and keeps its column of the second derivatives of samples. */
static HOT void take_derivatives(size_t count, size_t output, fit_memory *m)
{
    for (size_t n = 0; n < count; n++) {
        const real *const row = m->rows.rows + n*OUTPUTS, *const derivatives = row + DERIVATIVES;
        const double slope = (double) row[1 + output];
        double *const column = curvature_of(m, n) + output*FIT_OUTPUTS;
        if (m->factors[n] == 0) {
            memset(column, 0, FIT_OUTPUTS*sizeof *column);
            continue;
        }
        for (size_t k = 0; k < m->n; k++)
            m->slope[k] += slope*(double) derivatives[m->free[k]];
        for (size_t k = 0; k < FIT_OUTPUTS; k++) {
            column[k] = (double) row[1 + FIT_OUTPUTS + k];
            m->curviest = larger(m->curviest, fabs(column[k]));
        }
    }
}

/* Replaces a matrix D = L L^T by its factor L; column k begins at k*FIT_OUTPUTS. A column of L is 0 if nothing is left
   of D. whole has room for its diagonal. Returns 0 if D has a negative eigenvalue that rounding cannot explain, else
   1. */
static UNUSED int factorize_curvature(double *matrix, double *restrict whole, double curviest)
{
    const size_t n = FIT_OUTPUTS;
    for (size_t k = 0; k < n; k++)
        whole[k] = matrix[k*n + k];
    for (size_t j = 0; j < n; j++) {
        double *const column = matrix + j*n;
        const double left = column[j];
        if (left < -IN_DOUBT*curviest)
            return 0;
        const double by_root = left > IN_DOUBT*whole[j] ? 1/sqrt(left) : 0;
        for (size_t i = 0; i < n; i++)
            column[i] = i < j || by_root == 0 ? 0 : column[i]*by_root;
        for (size_t k = j + 1; k < n; k++)
            for (size_t i = k; i < n; i++)
                matrix[k*n + i] -= column[i]*column[k];
    }
    return 1;
}

/* Folds in the rows of column i of all L of a tile. */
static HOT void fold_curved(const NN(fitting) *run, fit_memory *m, const real *parameters, size_t first, size_t count,
    size_t i, double *triangle)
{
    if (SEEDED) {
        for (size_t n = 0; n < count; n++)
            for (size_t k = 0; k < FIT_OUTPUTS; k++)
                m->rows.seeds[n*TARGETS + FIT_TARGETS + k] = (real) curvature_of(m, n)[i*FIT_OUTPUTS + k];
        rows_of_tile(parameters, run->inputs, first, count, m->rows);
    } else {
        for (size_t n = 0; n < count; n++)
            m->factors[n] *= *curvature_of(m, n);
    }
    take_rows(count, 0, m);
    fold(triangle, 0, m->n, m->columns, whole_rows(count), m->products);
}

/* Computes the sums and the triangle of a tile. Returns EVALUATED, NOT_FINITE, or NOT_CONVEX with the index of the
   sample. */
static HOT int evaluate_tile(NN(fitting) *run, fit_memory *m, const real *parameters, double *triangle, size_t first,
    size_t count, residual_sums *sums)
{
    take_targets(run, first, count, m->rows);
    for (size_t output = 0; output < FIT_OUTPUTS; output++) {
        seed(output, m->rows);
        rows_of_tile(parameters, run->inputs, first, count, m->rows);
        if (output == 0)
            take_losses(count, m, sums);
        if (crosses_pole(output, count, m))
            return NOT_FINITE;
        take_derivatives(count, output, m);
    }
    if (!(sums->chi2 < HUGE_VAL))
        return NOT_FINITE;
    for (size_t n = 0; n < count; n++) {
        if (!factorize_curvature(curvature_of(m, n), m->diagonal, m->curviest)) {
            run->sample = first + n;
            return NOT_CONVEX;
        }
    }
    memset(m->residuals, 0, FOLDED_ROWS*sizeof *m->residuals); /* the right-hand side stays 0 */
    for (size_t i = 0; i < FIT_OUTPUTS; i++)
        fold_curved(run, m, parameters, first, count, i, triangle);
    return EVALUATED;
}

/* Folds in the gradient as one more row, so that it is in the range of the rows, and stores it after the triangle. */
static UNUSED void fold_gradient(fit_memory *m, double *triangle, double size)
{
    const double factor = size > 0 ? sqrt(LEAST_CURVATURE/size) : 0;
    for (size_t k = 0; k <= m->n; k++)
        for (size_t n = 0; n < whole_rows(1); n++)
            m->columns[k*COLUMN + n] = n == 0 && k < m->n ? factor*m->slope[k] : 0;
    fold(triangle, 0, m->n, m->columns, whole_rows(1), m->products);
    for (size_t k = 0; k < m->n; k++)
        triangle[k*TRIANGLE_ROW + m->n] = m->slope[k];
}

/* Computes the sums at some parameters, and the triangle, which is useless if the cost is above the limit: losses may
   have any sign, so that this is not known before the last sample. */
static HOT int evaluate_convex(NN(fitting) *run, fit_memory *m, const real *parameters, double *triangle, double limit,
    residual_sums *sums)
{
    *sums = (residual_sums) {0, 0, 0};
    memset(triangle, 0, m->n*TRIANGLE_ROW*sizeof *triangle);
    begin_guards(m);
    memset(m->slope, 0, m->n*sizeof *m->slope);
    prepare_rows(parameters, run->samples, m->rows);
    for (size_t first = 0; first < run->samples; first += TILE) {
        const size_t count = run->samples - first < TILE ? run->samples - first : TILE;
        const int found = evaluate_tile(run, m, parameters, triangle, first, count, sums);
        if (found != EVALUATED)
            return found;
        if (stopped(&run->poll, 2.0*FIT_OUTPUTS*OPERATIONS*(double) count))
            return STOPPED;
    }
    if (sums->cost > limit)
        return TOO_HIGH;
    fold_gradient(m, triangle, sums->chi2);
    return is_finite_triangle(triangle, m->n) ? EVALUATED : NOT_FINITE;
}

#endif
