/* The rows of a problem at given parameters, for a loss that is no sum of squares, but convex in the outputs:
   generalized Gauss-Newton.

   Needs fit_rows.h and guards.h. Gives evaluate_convex, report_scales.

   Let D = L L^T be the second derivatives of the loss of a sample by the outputs, and J the derivatives of the outputs
   by the parameters. The Hessian of the cost is approximately the sum of J^T D J (Schraudolph, Fast Curvature
   Matrix-Vector Products for Second-Order Gradient Descent, 2002). The rows that are folded into the triangle are L^T
   J. The gradient, the sum of J^T g, need not be in the range of these rows, because a loss may have a slope where it
   has no curvature. It is summed separately. Column n of the triangle holds it instead of a right-hand side: damping.h
   solves for that (semi-normal equations).

   D consists of blocks of FIT_BLOCK successive outputs, and is 0 elsewhere: a loss that is a sum over times has a block
   for each time. With a seed of 1 for one output of each block, the kernel gives a column of all blocks at once; it is
   called FIT_BLOCK times. With FIT_FORWARD, its rows have all of J. Otherwise, it is called for each row of L^T J, with
   a column of L as seeds, and, if there are several blocks, once for J^T g, with g as seeds.

   A missing target leaves out the sample. With FIT_APART, it leaves out its block alone: targets belong to blocks in
   their order, and the kernel leaves out the loss of blocks whose targets are not known.

   With FIT_NOISE, the scale of each target is a formula: a sample has a block for the location of each target, then one
   for the logarithm of each scale, and D are expected second derivatives, those that are good for steps or, where
   m->informs, those of Fisher's information. */

#ifndef NNCODEGEN_CONVEX_H
#define NNCODEGEN_CONVEX_H

#include "nncodegen/fit/fit_rows.h"
#include "nncodegen/fit/guards.h"

/* A second derivative counts as rounding below this relative size: relative to the largest one seen if it is negative;
   if it is the rest of a subtraction, relative to the values from which its rounding comes. */
#define IN_DOUBT (1000*ROUNDING)

/* The fraction of the squared gradient, relative to the size of the cost, that counts as curvature: so small that it
   does not matter, unless everything else is flat in this direction. It vanishes at a solution. */
#define LEAST_CURVATURE 1e-4

#define FIT_BLOCKS (FIT_OUTPUTS/FIT_BLOCK)

/* The number of calls of the kernel for a tile. */
#define CURVED_CALLS (FIT_BLOCK + (FIT_FORWARD ? 0 : FIT_OUTPUTS + (FIT_BLOCKS > 1)))

/* Returns a block of second derivatives of a sample, or of L: column k begins at k*FIT_BLOCK. */
INLINE double *curvature_of(const fit_memory *m, size_t sample, size_t block)
{
    return m->curvature + (sample*FIT_OUTPUTS + block*FIT_BLOCK)*FIT_BLOCK;
}

/* Sets seeds that select one output of each block. */
static UNUSED void seed_blocks(size_t place, row_memory r)
{
    for (size_t n = 0; SEEDED && n < TILE; n++) {
        real *const seeds = r.seeds + n*TARGETS + FIT_TARGETS;
        for (size_t first = 0; first < FIT_OUTPUTS; first += FIT_BLOCK)
            for (size_t i = 0; i < FIT_BLOCK; i++)
                seeds[first + i] = i == place;
    }
}

/* Returns the part of a sample whose targets a block of outputs belongs to. */
INLINE size_t part_of(size_t block)
{
    return FIT_APART > 0 ? block%FIT_PARTS : 0;
}

/* Returns the factors of the samples of a tile for a block of outputs: 0 if a target is missing, and else 1. */
INLINE double *factors_of(const fit_memory *m, size_t block)
{
    return m->factors + part_of(block)*FOLDED_ROWS;
}

/* Copies the targets of a tile to the positions before the seeds, and sets the factors and what the kernel reads of
   them. */
static UNUSED void take_targets(const NN(fitting) *run, size_t first, size_t count, fit_memory *m)
{
    const size_t parts = FIT_PARTS, length = FIT_TARGETS/parts;
    for (size_t n = 0; n < TILE; n++) {
        real *const targets = m->rows.seeds + n*TARGETS;
        copy_row(run->targets + (first + (n < count ? n : count - 1))*FIT_TARGETS, targets, FIT_TARGETS);
        for (size_t part = 0; part < parts; part++) {
            int known = 1;
            for (size_t k = part*length; k < (part + 1)*length; k++)
                known &= targets[k] == targets[k];
            m->factors[part*FOLDED_ROWS + n] = known;
            if (FIT_APART > 0)
                targets[FIT_TARGETS + FIT_OUTPUTS + part] = (real) (known*(1 + m->informs));
        }
    }
}

/* Returns the number of parts of a sample whose targets are known. */
INLINE size_t count_known(size_t n, const fit_memory *m)
{
    size_t known = 0;
    for (size_t part = 0; part < (size_t) FIT_PARTS; part++)
        known += m->factors[part*FOLDED_ROWS + n] != 0;
    return known;
}

/* Adds up the losses of a tile. */
static UNUSED void take_losses(size_t count, const fit_memory *m, residual_sums *sums)
{
    for (size_t n = 0; n < count; n++) {
        const size_t known = count_known(n, m);
        const double loss = known > 0 ? (double) m->rows.rows[n*OUTPUTS] : 0;
        sums->cost += loss;
        sums->chi2 += fabs(loss);
        sums->used += known;
    }
}

/* Adds the gradient of a tile, if the rows of the kernel have the derivatives of all outputs. */
static HOT void add_slopes(size_t count, fit_memory *m)
{
    const size_t outputs = FIT_OUTPUTS;
    for (size_t n = 0; n < count; n++) {
        const real *const slopes = m->rows.rows + n*OUTPUTS + 1, *const derivatives = slopes - 1 + DERIVATIVES;
        for (size_t k = 0; k < m->n; k++)
            for (size_t output = 0; output < outputs; output++)
                if (factors_of(m, output/FIT_BLOCK)[n] != 0)
                    m->slope[k] += (double) slopes[output]*(double) derivatives[m->free[k]*outputs + output];
    }
}

/* Adds the gradient of a tile by a call of the kernel with the derivatives of the loss by the outputs as seeds. */
static HOT void add_gradient(const NN(fitting) *run, fit_memory *m, const real *parameters, size_t first, size_t count)
{
    const size_t outputs = FIT_OUTPUTS;
    for (size_t n = 0; n < count; n++) {
        const real *const slopes = m->rows.rows + n*OUTPUTS + 1;
        for (size_t output = 0; output < outputs; output++)
            m->rows.seeds[n*TARGETS + FIT_TARGETS + output] =
                factors_of(m, output/FIT_BLOCK)[n] != 0 ? slopes[output] : 0;
    }
    rows_of_tile(parameters, run->inputs, first, count, m->rows);
    for (size_t n = 0; n < count; n++) {
        const real *const derivatives = m->rows.rows + n*OUTPUTS + DERIVATIVES;
        if (count_known(n, m) == 0)
            continue;
        for (size_t k = 0; k < m->n; k++)
            m->slope[k] += (double) derivatives[m->free[k]];
    }
}

/* Keeps a column of the second derivatives of samples: that of the same output of each block. If all outputs are one
   block, the rows hold the derivatives of this output: adds its contribution to the gradient. */
static HOT void take_derivatives(size_t count, size_t place, fit_memory *m)
{
    const size_t size = FIT_BLOCK, outputs = FIT_OUTPUTS;
    const size_t alone = size == outputs && !FIT_FORWARD ? m->n : 0; /* the number of derivatives of one output */
    double curviest = m->curviest;
    for (size_t n = 0; n < count; n++) {
        const real *const row = m->rows.rows + n*OUTPUTS, *const derivatives = row + DERIVATIVES;
        const real *const products = row + 1 + outputs;
        const double slope = (double) row[1 + place];
        double *const columns = curvature_of(m, n, 0) + place*size;
        for (size_t k = 0; m->factors[n] != 0 && k < alone; k++)
            m->slope[k] += slope*(double) derivatives[m->free[k]];
        for (size_t first = 0; first < outputs; first += size) {
            double *const column = columns + first*size;
            if (factors_of(m, first/size)[n] == 0) {
                memset(column, 0, size*sizeof *column);
                continue;
            }
            for (size_t i = 0; i < size; i++) {
                column[i] = (double) products[first + i];
                curviest = larger(curviest, fabs(column[i]));
            }
        }
    }
    m->curviest = curviest;
}

/* Replaces a block D = L L^T by its factor L. A column of L is 0 if nothing is left of D but rounding. That of a rest is
   relative to what it was subtracted from, and so is what a small rest, as a divisor, brings into later ones: sizes has
   room for the values on the diagonal to which rounding is relative. Returns 0 if D has a negative eigenvalue that
   rounding cannot explain, else 1. */
static UNUSED int factorize_curvature(double *matrix, double *restrict sizes, double curviest)
{
    const size_t n = FIT_BLOCK;
    for (size_t k = 0; k < n; k++)
        sizes[k] = matrix[k*n + k];
    for (size_t j = 0; j < n; j++) {
        double *const column = matrix + j*n;
        const double left = column[j];
        if (left < -IN_DOUBT*curviest)
            return 0;
        const double by_root = left > IN_DOUBT*sizes[j] ? 1/sqrt(left) : 0;
        for (size_t i = 0; i < n; i++)
            column[i] = i < j || by_root == 0 ? 0 : column[i]*by_root;
        for (size_t i = j + 1; i < n; i++)
            sizes[i] += column[i]*column[i]*(by_root*by_root*sizes[j]);
        for (size_t k = j + 1; k < n; k++)
            for (size_t i = k; i < n; i++)
                matrix[k*n + i] -= column[i]*column[k];
    }
    return 1;
}

/* Makes the rows of the system for a column of a block of all L of a tile, if the rows of the kernel have all of J. */
static HOT void combine_rows(size_t count, size_t block, size_t place, fit_memory *m)
{
    const size_t rows = whole_rows(count);
    memset(m->columns + m->n*COLUMN, 0, rows*sizeof *m->columns); /* the right-hand side stays 0 */
    for (size_t k = 0; k < m->n; k++) {
        double *const to = m->columns + k*COLUMN;
        memset(to, 0, rows*sizeof *to);
        for (size_t i = place; i < FIT_BLOCK; i++) {
            const real *const from = derivatives_of(block*FIT_BLOCK + i, m->rows) + m->free[k]*BETWEEN;
            for (size_t n = 0; n < count; n++) {
                const double value = (double) from[n*OUTPUTS]*curvature_of(m, n, block)[place*FIT_BLOCK + i];
                to[n] += factors_of(m, block)[n] != 0 ? value : 0;
            }
        }
    }
}

/* Folds in the rows of a column of a block of all L of a tile. */
static HOT void fold_curved(const NN(fitting) *run, fit_memory *m, const real *parameters, size_t first, size_t count,
    size_t block, size_t place, double *triangle)
{
    const size_t part = part_of(block);
    memset(m->residuals + part*FOLDED_ROWS, 0, FOLDED_ROWS*sizeof *m->residuals); /* the right-hand side stays 0 */
    if (FIT_FORWARD) {
        combine_rows(count, block, place, m);
    } else if (SEEDED) {
        for (size_t n = 0; n < count; n++) {
            real *const seeds = m->rows.seeds + n*TARGETS + FIT_TARGETS;
            const double *const column = curvature_of(m, n, block) + place*FIT_BLOCK;
            memset(seeds, 0, FIT_OUTPUTS*sizeof *seeds);
            for (size_t i = 0; i < FIT_BLOCK; i++)
                seeds[block*FIT_BLOCK + i] = (real) column[i];
        }
        rows_of_tile(parameters, run->inputs, first, count, m->rows);
        take_rows(count, part, m);
    } else {
        for (size_t n = 0; n < count; n++)
            m->factors[n] *= m->curvature[n];
        take_rows(count, 0, m);
    }
    fold(triangle, 0, m->n, m->columns, whole_rows(count), m->products);
}

/* Computes the sums and the triangle of a tile. Returns EVALUATED, NOT_FINITE, or NOT_CONVEX with the index of the
   sample. */
static HOT int evaluate_tile(NN(fitting) *run, fit_memory *m, const real *parameters, double *triangle, size_t first,
    size_t count, residual_sums *sums)
{
    const size_t blocks = FIT_BLOCKS;
    take_targets(run, first, count, m);
    for (size_t place = 0; place < FIT_BLOCK; place++) {
        seed_blocks(place, m->rows);
        rows_of_tile(parameters, run->inputs, first, count, m->rows);
        if (place == 0)
            take_losses(count, m, sums);
        if (crosses_pole(place, count, m))
            return NOT_FINITE;
        take_derivatives(count, place, m);
    }
    if (!(sums->chi2 < HUGE_VAL))
        return NOT_FINITE;
    for (size_t k = 0; k < count*blocks; k++) {
        if (!factorize_curvature(m->curvature + k*FIT_BLOCK*FIT_BLOCK, m->diagonal, m->curviest)) {
            run->sample = first + k/blocks;
            return NOT_CONVEX;
        }
    }
    if (FIT_FORWARD)
        add_slopes(count, m);
    else if (blocks > 1)
        add_gradient(run, m, parameters, first, count);
    for (size_t block = 0; block < blocks; block++)
        for (size_t place = 0; place < FIT_BLOCK; place++)
            fold_curved(run, m, parameters, first, count, block, place, triangle);
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
        if (stopped(&run->poll, (double) CURVED_CALLS*OPERATIONS*(double) count))
            return STOPPED;
    }
    if (sums->cost > limit)
        return TOO_HIGH;
    fold_gradient(m, triangle, sums->chi2);
    return is_finite_triangle(triangle, m->n) ? EVALUATED : NOT_FINITE;
}

/* Writes the scale of the noise of each target at the parameters, NaN where a target is missing. */
static COLD void report_scales(NN(fitting) *run, fit_memory *m)
{
    const size_t targets = FIT_TARGETS;
    const int informs = m->informs;
    m->informs = 1;
    prepare_rows(m->parameters, run->samples, m->rows);
    for (size_t first = 0; first < run->samples; first += TILE) {
        const size_t count = run->samples - first < TILE ? run->samples - first : TILE;
        take_targets(run, first, count, m);
        seed_blocks(0, m->rows);
        rows_of_tile(m->parameters, run->inputs, first, count, m->rows);
        for (size_t n = 0; n < count; n++) {
            const real *const curvature = m->rows.rows + n*OUTPUTS + 1 + FIT_OUTPUTS;
            for (size_t k = 0; k < targets; k++) {
                const int known = factors_of(m, k)[n] != 0;
                run->residuals[(first + n)*targets + k] = known ? 1/sqrt((double) curvature[k]) : (double) NAN;
            }
        }
    }
    m->informs = informs;
}

#endif
