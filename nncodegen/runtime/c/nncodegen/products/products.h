/* Products of matrices, and sums over the samples of a tile.

   Needs vectors.h. Gives contract, contract_ends, accumulate, add_rows, add_up, flush, repeat_last and
   zeros_after. */

#ifndef NNCODEGEN_PRODUCTS_H
#define NNCODEGEN_PRODUCTS_H

#include "nncodegen/products/blocks.h"
#include "nncodegen/products/transpose.h"
#include "nncodegen/base/vectors.h"

/* Whether the last block of a product has a function for a single row. Where results must not depend on the CPU, the
   product itself has a single row then: CPUs differ in how many rows are left after the others. */
#define HAS_SINGLE_ROW(rows, left) ((left) == 1 && (!NN_SAME_BITS || (rows) == 1))

/* Returns the number of terms of the parts into which a long sum is cut: alike for all columns of a product, those
   after the last whole vector as well. */
INLINE size_t part_of_sum(size_t inner)
{
    const size_t parts = inner > PANEL ? (inner + PANEL - 1)/PANEL : 1;
    return (inner + parts - 1)/parts;
}

/* Computes out[r][c] = sum(k) a[r*a_row + k*a_inner]*b[k*b_inner + c*b_column]; if scale is not 0, adds scale times
   that to out; then multiplies by factor[r][c], unless that is NULL. The rows of out are padded to whole vectors,
   and so are those of b, unless b is transposed, with b_inner 1. Blocks of the result stay in registers. Long sums
   are cut into parts. For each part, two vectors of b for every term, a panel, are copied to memory that stays in
   the first-level cache. Such a copy is also made if b is transposed, and if many blocks would read vectors that
   cross cache lines. */
static HOT void contract(size_t rows, size_t columns, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, size_t b_column, real *restrict out, size_t out_row,
    const real *restrict factor, real scale)
{
    const real by = scale != 0 ? scale : 1;
    vector panel[2*PANEL];
    const size_t part = part_of_sum(inner);
    const int crosses_lines = rows > COPY_ROWS && ((uintptr_t) b | b_inner*sizeof(real))%VECTOR_BYTES != 0;
    for (size_t c = 0; c < columns; c += 2*LANES) {
        const int pair = columns - c > LANES;
        for (size_t first = 0; first < inner; first += part) {
            const size_t depth = inner - first < part ? inner - first : part;
            const int again = scale != 0 || first > 0;
            const real *bc = b + first*b_inner + c*b_column;
            size_t b_step = b_inner;
            if (b_column > 1) {
                transpose(depth, columns - c < 2*LANES ? columns - c : 2*LANES, bc, b_column, (real *) panel, 2*LANES,
                    2*LANES);
                bc = (const real *) panel;
                b_step = 2*LANES;
            } else if (inner > NN_LONG || crosses_lines) {
                for (size_t k = 0; k < depth; k++) {
                    panel[2*k] = load(bc + k*b_inner);
                    if (pair)
                        panel[2*k + 1] = load(bc + k*b_inner + LANES);
                }
                bc = (const real *) panel;
                b_step = 2*LANES;
            }
            size_t r = 0;
            /* whole blocks first: the number of their rows is a constant */
            for (; r + BLOCK_ROWS <= rows; r += BLOCK_ROWS) {
                const real *const ar = a + r*a_row + first*a_inner;
                real *const to = out + r*out_row + c;
                const real *const times = factor && first + depth == inner ? factor + r*out_row + c : NULL;
                if (BLOCK_ROWS == 8 && pair)
                    block_8x2(8, depth, ar, a_row, a_inner, bc, b_step, to, out_row, times, again, by);
                else if (BLOCK_ROWS == 8)
                    block_8x1(8, depth, ar, a_row, a_inner, bc, b_step, to, out_row, times, again, by);
                else if (pair)
                    block_4x2(4, depth, ar, a_row, a_inner, bc, b_step, to, out_row, times, again, by);
                else
                    block_4x1(4, depth, ar, a_row, a_inner, bc, b_step, to, out_row, times, again, by);
            }
            if (r < rows) {
                const size_t left = rows - r;
                const real *const ar = a + r*a_row + first*a_inner;
                real *const to = out + r*out_row + c;
                const real *const times = factor && first + depth == inner ? factor + r*out_row + c : NULL;
                if (HAS_SINGLE_ROW(rows, left) && pair)
                    block_1x2(depth, ar, a_inner, bc, b_step, to, times, again, by);
                else if (HAS_SINGLE_ROW(rows, left))
                    block_1x1(depth, ar, a_inner, bc, b_step, to, times, again, by);
                else if (left > 4 && pair)
                    block_8x2(left, depth, ar, a_row, a_inner, bc, b_step, to, out_row, times, again, by);
                else if (left > 4)
                    block_8x1(left, depth, ar, a_row, a_inner, bc, b_step, to, out_row, times, again, by);
                else if (left > 2 && pair)
                    block_4x2(left, depth, ar, a_row, a_inner, bc, b_step, to, out_row, times, again, by);
                else if (left > 2)
                    block_4x1(left, depth, ar, a_row, a_inner, bc, b_step, to, out_row, times, again, by);
                else if (pair)
                    block_2x2(left, depth, ar, a_row, a_inner, bc, b_step, to, out_row, times, again, by);
                else
                    block_2x1(left, depth, ar, a_row, a_inner, bc, b_step, to, out_row, times, again, by);
            }
        }
    }
}

/* If vectors are long, defines a function that does what contract_ends does for rows in blocks of eight, with vectors
   of fewer values: two of them take the time of a long one, and no more is stored than there is. Every sum is that of
   block_8x1. */
#if HAS_SHORT_VECTORS
#define SHORT_VECTORS(name, type, unaligned_type, ADD) \
static HOT size_t name(size_t rows, size_t inner, const real *restrict a, size_t a_row, size_t a_inner, \
    const real *restrict b, size_t b_inner, real *restrict out, size_t out_row, int add, real scale) \
{ \
    size_t r = 0; \
    for (; r + 8 <= rows; r += 8) { \
        type s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0}, s6 = {0}, s7 = {0}; \
        const real *k = a + r*a_row; \
        for (size_t n = 0; n < inner; n++, k += a_inner) { \
            const type by = *(const unaligned_type *) (b + n*b_inner); \
            ADD(s0, k[0], by); \
            ADD(s1, k[a_row], by); \
            ADD(s2, k[2*a_row], by); \
            ADD(s3, k[3*a_row], by); \
            ADD(s4, k[4*a_row], by); \
            ADD(s5, k[5*a_row], by); \
            ADD(s6, k[6*a_row], by); \
            ADD(s7, k[7*a_row], by); \
        } \
        const type sums[8] = {s0, s1, s2, s3, s4, s5, s6, s7}; \
        for (size_t j = 0; j < 8; j++) { \
            unaligned_type *const to = (unaligned_type *) (out + (r + j)*out_row); \
            type sum = sums[j]; \
            if (add) { \
                sum = *to; \
                ADD(sum, scale, sums[j]); \
            } \
            *to = sum; \
        } \
    } \
    return r; \
}

SHORT_VECTORS(blocks_of_fours, four, unaligned_four, ADD_FOURS)
#if NN_BITS == 32
SHORT_VECTORS(blocks_of_eights, eight, unaligned_eight, ADD_EIGHTS)
#endif
#undef SHORT_VECTORS
#endif

/* Computes a part of the sums of contract_ends. */
static HOT void part_of_ends(size_t rows, size_t rest, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, real *restrict out, size_t out_row, real scale)
{
    const real by = scale != 0 ? scale : 1;
    vector ends[BLOCK_ROWS];
    size_t r = 0;
#if HAS_SHORT_VECTORS
    if (rest == 4)
        r = blocks_of_fours(rows, inner, a, a_row, a_inner, b, b_inner, out, out_row, scale != 0, by);
#if NN_BITS == 32
    if (rest == 8)
        r = blocks_of_eights(rows, inner, a, a_row, a_inner, b, b_inner, out, out_row, scale != 0, by);
#endif
#endif
    for (; r < rows; r += BLOCK_ROWS) {
        const size_t left = rows - r < BLOCK_ROWS ? rows - r : BLOCK_ROWS;
        const real *const ar = a + r*a_row;
        if (HAS_SINGLE_ROW(rows, left))
            block_1x1(inner, ar, a_inner, b, b_inner, (real *) ends, NULL, 0, 1);
        else if (left > 4)
            block_8x1(left, inner, ar, a_row, a_inner, b, b_inner, (real *) ends, LANES, NULL, 0, 1);
        else if (left > 2)
            block_4x1(left, inner, ar, a_row, a_inner, b, b_inner, (real *) ends, LANES, NULL, 0, 1);
        else
            block_2x1(left, inner, ar, a_row, a_inner, b, b_inner, (real *) ends, LANES, NULL, 0, 1);
        for (size_t k = 0; k < left; k++)
            keep_first(ends[k], rest, out + (r + k)*out_row, scale != 0, by);
    }
}

/* Like contract, for the columns after the last whole vector, if the rows of out have no padding. */
static HOT void contract_ends(size_t rows, size_t columns, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, size_t b_column, real *restrict out, size_t out_row,
    real scale)
{
    const size_t rest = columns%LANES, whole = columns - rest;
    vector panel[PANEL];
    const size_t part = part_of_sum(inner);
    for (size_t first = 0; rest && first < inner; first += part) {
        const size_t depth = inner - first < part ? inner - first : part;
        const real *bc = b + first*b_inner + whole*b_column;
        if (b_column > 1)
            transpose(depth, rest, bc, b_column, (real *) panel, LANES, LANES);
        part_of_ends(rows, rest, depth, a + first*a_inner, a_row, a_inner, b_column > 1 ? (const real *) panel : bc,
            b_column > 1 ? LANES : b_inner, out + whole, out_row, scale == 0 && first > 0 ? 1 : scale);
    }
}

/* Computes out[c] = sum(n) d[n*row + c] over the samples of a tile; if scale is not 0, adds scale times that to out. */
static HOT void add_rows(size_t columns, const real *restrict d, size_t row, real *restrict out, size_t count,
    real scale)
{
    const real by = scale != 0 ? scale : 1;
    for (size_t c = 0; c < columns; c += LANES) {
        vector s0 = {0}, s1 = {0};
        size_t n = 0;
        for (; n + 2 <= count; n += 2) {
            s0 += load(d + n*row + c);
            s1 += load(d + (n + 1)*row + c);
        }
        if (n < count)
            s0 += load(d + n*row + c);
        s0 += s1;
        if (columns - c < LANES)
            keep_first(s0, columns - c, out + c, scale != 0, by);
        else
            keep(s0, out, c, NULL, scale != 0, by);
    }
}

/* Copies the values of the last of count samples to the samples that pad a tile, which are read in vectors of
   samples. */
static UNUSED void repeat_last(real *a, size_t features, size_t a_sample, size_t a_feature, size_t count, size_t padded)
{
    for (size_t n = count; n < padded; n++)
        for (size_t k = 0; k < features; k++)
            a[n*a_sample + k*a_feature] = a[(count - 1)*a_sample + k*a_feature];
}

/* Sets the values of the samples that pad a tile to zero. */
static UNUSED void zeros_after(real *a, size_t features, size_t a_sample, size_t a_feature, size_t count,
    size_t padded)
{
    for (size_t n = count; n < padded; n++)
        for (size_t k = 0; k < features; k++)
            a[n*a_sample + k*a_feature] = 0;
}

/* Adds sum(n) d[j][n]*x[i][n] over the samples of a tile to the sum of each weight [j][i]; for a single tile, it
   sets the sum. */
static HOT void accumulate(size_t rows, size_t columns, const real *restrict d, const real *restrict x,
    real *restrict partials, double *restrict sums, size_t padded, int single_tile)
{
    for (size_t j = 0; j < rows; j += LANE_SUM_ROWS) {
        for (size_t i = 0; i < columns; i += 4) {
            const real *const dj = d + j*TILE, *const xi = x + i*TILE;
            lane_sums(rows - j, columns - i, dj, xi, padded, j*columns + i, columns, partials, sums, single_tile);
        }
    }
}

/* Adds sum(n) d[j][n] over the samples of a tile to the sum of each weight [j]; for a single tile, it sets the sum. */
static HOT void add_up(size_t rows, const real *restrict d, real *restrict partials, double *restrict sums,
    size_t padded, int single_tile)
{
    for (size_t j = 0; j < rows; j += 4) {
        const size_t last = rows - j - 1, j1 = last < 1 ? last : 1, j2 = last < 2 ? last : 2, j3 = last < 3 ? last : 3;
        const real *const d0 = d + j*TILE, *const d1 = d0 + j1*TILE, *const d2 = d0 + j2*TILE, *const d3 = d0 + j3*TILE;
        vector s[4*SUM_VECTORS];
        for (size_t part = 0; part < SUM_VECTORS; part++) {
            vector s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
            for (size_t n = part*LANES; n < padded; n += SUM_LANES) {
                s0 += load(d0 + n);
                s1 += load(d1 + n);
                s2 += load(d2 + n);
                s3 += load(d3 + n);
            }
            s[part] = s0;
            s[SUM_VECTORS + part] = s1;
            s[2*SUM_VECTORS + part] = s2;
            s[3*SUM_VECTORS + part] = s3;
        }
        add_four(s, last + 1, j, partials, sums, single_tile);
    }
}

/* Adds up the lanes of the partial sums to the sums of a chunk, and sets them to zero. */
static HOT void flush(real *restrict partials, double *restrict sums)
{
    const size_t weights = PARTIALS/SUM_LANES;
    for (size_t k = 0; k < weights; k += 4) {
        four totals;
        sums_of_four((const vector *) partials + k*SUM_VECTORS, &totals);
        for (size_t l = 0; l < 4 && k + l < weights; l++)
            sums[k + l] = (double) totals[l];
    }
    for (size_t k = 0; k < weights*SUM_VECTORS; k++)
        ((vector *) partials)[k] = (vector) {0};
}

#endif
