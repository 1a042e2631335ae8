/* Sums of products whose factors are at positions given by lists: windows, their transposes, and layers after them.

   Needs vectors.h. Gives offset_pair, zero, place_products, place_sums and place_totals. */

#ifndef NNCODEGEN_WINDOWS_H
#define NNCODEGEN_WINDOWS_H

#include "nncodegen/base/vectors.h"

enum {
    KEPT_ROWS = 32, /* the rows of sums whose lanes are kept: 8 kB */
    KEPT_TERMS = 4 /* the terms that are added to them before the next ones */
};

/* The offsets of two values from the beginnings of two arrays. */
typedef struct {
    ptrdiff_t first, second;
} offset_pair;

/* Sets values to zero. */
INLINE void zero(real *values, size_t count)
{
    memset(values, 0, count*sizeof(real));
}

/* Four rows and two vectors of sums; if fewer rows are left, the last is computed again, but stored once. */
INLINE void four_rows(const offset_pair *rows, size_t left, const offset_pair *terms, size_t term_count,
    const real *a, const real *b, real *out, size_t next, int add)
{
    const size_t last = left - 1;
    const real *const a0 = a + rows[0].first, *const a1 = a + rows[last < 1 ? last : 1].first;
    const real *const a2 = a + rows[last < 2 ? last : 2].first, *const a3 = a + rows[last < 3 ? last : 3].first;
    vector s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0}, s20 = {0}, s21 = {0}, s30 = {0}, s31 = {0};
    for (size_t k = 0; k < term_count; k++) {
        const ptrdiff_t i = terms[k].first;
        const real *const bk = b + terms[k].second;
        const vector b0 = load(bk), b1 = load(bk + next);
        ADD_PRODUCT(s00, a0[i], b0);
        ADD_PRODUCT(s01, a0[i], b1);
        ADD_PRODUCT(s10, a1[i], b0);
        ADD_PRODUCT(s11, a1[i], b1);
        ADD_PRODUCT(s20, a2[i], b0);
        ADD_PRODUCT(s21, a2[i], b1);
        ADD_PRODUCT(s30, a3[i], b0);
        ADD_PRODUCT(s31, a3[i], b1);
    }
    real *const to[] = {out + rows[0].second, out + rows[last < 1 ? last : 1].second,
        out + rows[last < 2 ? last : 2].second, out + rows[last < 3 ? last : 3].second};
    const vector sums[] = {s00, s01, s10, s11, s20, s21, s30, s31};
    for (size_t r = 0; r < left; r++) {
        keep(sums[2*r], to[r], 0, NULL, add, 1);
        if (next)
            keep(sums[2*r + 1], to[r], next, NULL, add, 1);
    }
}

/* Like four_rows, for eight rows, if there are enough registers. */
INLINE void eight_rows(const offset_pair *rows, const offset_pair *terms, size_t term_count, const real *a,
    const real *b, real *out, size_t next, int add)
{
    const real *const a0 = a + rows[0].first, *const a1 = a + rows[1].first;
    const real *const a2 = a + rows[2].first, *const a3 = a + rows[3].first;
    const real *const a4 = a + rows[4].first, *const a5 = a + rows[5].first;
    const real *const a6 = a + rows[6].first, *const a7 = a + rows[7].first;
    vector s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0}, s20 = {0}, s21 = {0}, s30 = {0}, s31 = {0};
    vector s40 = {0}, s41 = {0}, s50 = {0}, s51 = {0}, s60 = {0}, s61 = {0}, s70 = {0}, s71 = {0};
    for (size_t k = 0; k < term_count; k++) {
        const ptrdiff_t i = terms[k].first;
        const real *const bk = b + terms[k].second;
        const vector b0 = load(bk), b1 = load(bk + next);
        ADD_PRODUCT(s00, a0[i], b0);
        ADD_PRODUCT(s01, a0[i], b1);
        ADD_PRODUCT(s10, a1[i], b0);
        ADD_PRODUCT(s11, a1[i], b1);
        ADD_PRODUCT(s20, a2[i], b0);
        ADD_PRODUCT(s21, a2[i], b1);
        ADD_PRODUCT(s30, a3[i], b0);
        ADD_PRODUCT(s31, a3[i], b1);
        ADD_PRODUCT(s40, a4[i], b0);
        ADD_PRODUCT(s41, a4[i], b1);
        ADD_PRODUCT(s50, a5[i], b0);
        ADD_PRODUCT(s51, a5[i], b1);
        ADD_PRODUCT(s60, a6[i], b0);
        ADD_PRODUCT(s61, a6[i], b1);
        ADD_PRODUCT(s70, a7[i], b0);
        ADD_PRODUCT(s71, a7[i], b1);
    }
    const vector sums[] = {s00, s01, s10, s11, s20, s21, s30, s31, s40, s41, s50, s51, s60, s61, s70, s71};
    for (size_t r = 0; r < 8; r++) {
        keep(sums[2*r], out + rows[r].second, 0, NULL, add, 1);
        if (next)
            keep(sums[2*r + 1], out + rows[r].second, next, NULL, add, 1);
    }
}

/* Computes out[row.second + c] = sum(term) a[row.first + term.first]*b[term.second + c] for all rows and for the
   columns c, which fill whole vectors; if add, adds that to out. */
static HOT void place_products(const offset_pair *rows, size_t row_count, const offset_pair *terms, size_t term_count,
    const real *restrict a, const real *restrict b, real *restrict out, size_t columns, int add)
{
    for (size_t c = 0; c < columns; c += 2*LANES) {
        const size_t next = columns - c > LANES ? LANES : 0;
        size_t r = 0;
        for (; BLOCK_ROWS == 8 && r + 8 <= row_count; r += 8)
            eight_rows(rows + r, terms, term_count, a, b + c, out + c, next, add);
        for (; r < row_count; r += 4)
            four_rows(rows + r, row_count - r < 4 ? row_count - r : 4, terms, term_count, a, b + c, out + c, next, add);
    }
}

/* Sums over the samples of a tile for some rows, up to LANE_SUM_ROWS, and up to 4 columns; if there are fewer, the
   last one is computed again, but added once. */
static inline UNUSED void block_of_sums(const offset_pair *rows, size_t row_count, const offset_pair *columns,
    size_t column_count, const offset_pair *terms, size_t term_count, const real *restrict a, const real *restrict b,
    double *restrict sums, size_t padded)
{
    const size_t r = row_count - 1, c = column_count - 1;
    const real *const a0 = a + rows[0].first, *const a1 = a + rows[r < 1 ? r : 1].first;
    const real *const a2 = a + rows[r < 2 ? r : 2].first, *const a3 = a + rows[r < 3 ? r : 3].first;
    const real *const b0 = b + columns[0].first, *const b1 = b + columns[c < 1 ? c : 1].first;
    const real *const b2 = b + columns[c < 2 ? c : 2].first, *const b3 = b + columns[c < 3 ? c : 3].first;
    vector s[4][4*SUM_VECTORS];
    for (size_t part = 0; part < SUM_VECTORS; part++) {
        vector s00 = {0}, s01 = {0}, s02 = {0}, s03 = {0}, s10 = {0}, s11 = {0}, s12 = {0}, s13 = {0};
        vector s20 = {0}, s21 = {0}, s22 = {0}, s23 = {0}, s30 = {0}, s31 = {0}, s32 = {0}, s33 = {0};
        for (size_t k = 0; k < term_count && part*LANES < padded; k++) {
            const ptrdiff_t i = terms[k].first, j = terms[k].second;
            for (size_t n = part*LANES; n < padded; n += SUM_LANES) {
                const vector x0 = load(b0 + j + n), x1 = load(b1 + j + n), x2 = load(b2 + j + n), x3 = load(b3 + j + n);
                const vector y0 = load(a0 + i + n), y1 = load(a1 + i + n);
                ADD_PRODUCT(s00, y0, x0), ADD_PRODUCT(s01, y0, x1), ADD_PRODUCT(s02, y0, x2), ADD_PRODUCT(s03, y0, x3);
                ADD_PRODUCT(s10, y1, x0), ADD_PRODUCT(s11, y1, x1), ADD_PRODUCT(s12, y1, x2), ADD_PRODUCT(s13, y1, x3);
                if (LANE_SUM_ROWS == 4) {
                    const vector y2 = load(a2 + i + n), y3 = load(a3 + i + n);
                    ADD_PRODUCT(s20, y2, x0), ADD_PRODUCT(s21, y2, x1), ADD_PRODUCT(s22, y2, x2),
                        ADD_PRODUCT(s23, y2, x3);
                    ADD_PRODUCT(s30, y3, x0), ADD_PRODUCT(s31, y3, x1), ADD_PRODUCT(s32, y3, x2),
                        ADD_PRODUCT(s33, y3, x3);
                }
            }
        }
        const vector found[4][4] = {{s00, s01, s02, s03}, {s10, s11, s12, s13}, {s20, s21, s22, s23},
            {s30, s31, s32, s33}};
        for (size_t k = 0; k < 4; k++)
            for (size_t l = 0; l < 4; l++)
                s[k][l*SUM_VECTORS + part] = found[k][l];
    }
    for (size_t k = 0; k < row_count; k++) {
        four totals;
        sums_of_four(s[k], &totals);
        for (size_t l = 0; l < column_count; l++)
            sums[rows[k].second + columns[l].second] += (double) totals[l];
    }
}

/* Like block_of_sums, for two rows and a single vector of samples, where a sum has lanes in two vectors: the second one
   is 0, and is not stored. */
static inline UNUSED void block_of_first(const offset_pair *rows, size_t row_count, const offset_pair *columns,
    size_t column_count, const offset_pair *terms, size_t term_count, const real *restrict a, const real *restrict b,
    double *restrict sums)
{
    const size_t c = column_count - 1;
    const real *const a0 = a + rows[0].first, *const a1 = a + rows[row_count - 1].first;
    const real *const b0 = b + columns[0].first, *const b1 = b + columns[c < 1 ? c : 1].first;
    const real *const b2 = b + columns[c < 2 ? c : 2].first, *const b3 = b + columns[c < 3 ? c : 3].first;
    vector s00 = {0}, s01 = {0}, s02 = {0}, s03 = {0}, s10 = {0}, s11 = {0}, s12 = {0}, s13 = {0};
    for (size_t k = 0; k < term_count; k++) {
        const ptrdiff_t i = terms[k].first, j = terms[k].second;
        const vector x0 = load(b0 + j), x1 = load(b1 + j), x2 = load(b2 + j), x3 = load(b3 + j);
        const vector y0 = load(a0 + i), y1 = load(a1 + i);
        ADD_PRODUCT(s00, y0, x0), ADD_PRODUCT(s01, y0, x1), ADD_PRODUCT(s02, y0, x2), ADD_PRODUCT(s03, y0, x3);
        ADD_PRODUCT(s10, y1, x0), ADD_PRODUCT(s11, y1, x1), ADD_PRODUCT(s12, y1, x2), ADD_PRODUCT(s13, y1, x3);
    }
    const vector none = {0};
    four totals[2];
    sums_of_four((const vector []) {s00, none, s01, none, s02, none, s03, none}, &totals[0]);
    sums_of_four((const vector []) {s10, none, s11, none, s12, none, s13, none}, &totals[1]);
    for (size_t k = 0; k < row_count; k++)
        for (size_t l = 0; l < column_count; l++)
            sums[rows[k].second + columns[l].second] += (double) totals[k][l];
}

/* Adds the products of a vector of samples to sums of two rows and of two or three columns. */
#define ADD_PAIRS(s, i, j) \
    { \
        const vector y0 = load(a0 + (i)), y1 = load(a1 + (i)), x0 = load(b0 + (j)), x1 = load(b1 + (j)); \
        ADD_PRODUCT(s##00, y0, x0), ADD_PRODUCT(s##01, y0, x1); \
        ADD_PRODUCT(s##10, y1, x0), ADD_PRODUCT(s##11, y1, x1); \
        if (width == 3) { \
            const vector x2 = load(b2 + (j)); \
            ADD_PRODUCT(s##02, y0, x2), ADD_PRODUCT(s##12, y1, x2); \
        } \
    }

/* Computes the lanes of the sums of two rows and of two or three columns, as many as width says, where a sum has lanes
   in two vectors: those of neighbours in memory, which are read together. If add, adds to the lanes. */
INLINE void pairs_of_sums(const offset_pair *rows, size_t row_count, const offset_pair *columns, size_t column_count,
    const offset_pair *terms, size_t term_count, const real *restrict a, const real *restrict b, size_t padded,
    vector (*restrict lanes)[8], int add, int width)
{
    const real *const a0 = a + rows[0].first, *const a1 = a + rows[row_count - 1].first;
    const real *const b0 = b + columns[0].first, *const b1 = b + columns[column_count > 1].first;
    const real *const b2 = b + columns[column_count - 1].first;
    const ptrdiff_t whole = (ptrdiff_t) (padded/SUM_LANES*SUM_LANES);
    vector s00 = {0}, s01 = {0}, s02 = {0}, s10 = {0}, s11 = {0}, s12 = {0};
    vector t00 = {0}, t01 = {0}, t02 = {0}, t10 = {0}, t11 = {0}, t12 = {0};
    if (add) {
        const vector *const l0 = lanes[0], *const l1 = lanes[1];
        s00 = l0[0], t00 = l0[1], s01 = l0[2], t01 = l0[3], s02 = l0[4], t02 = l0[5];
        s10 = l1[0], t10 = l1[1], s11 = l1[2], t11 = l1[3], s12 = l1[4], t12 = l1[5];
    }
    for (size_t k = 0; k < term_count; k++) {
        const ptrdiff_t i = terms[k].first, j = terms[k].second;
        for (ptrdiff_t n = 0; n < whole; n += SUM_LANES) {
            ADD_PAIRS(s, i + n, j + n)
            ADD_PAIRS(t, i + n + LANES, j + n + LANES)
        }
        if ((size_t) whole < padded)
            ADD_PAIRS(s, i + whole, j + whole)
    }
    const vector none = {0}, found[2][8] = {{s00, t00, s01, t01, s02, t02, none, none},
        {s10, t10, s11, t11, s12, t12, none, none}};
    memcpy(lanes, found, sizeof found);
}

#undef ADD_PAIRS

/* Like block_of_sums, for many rows and for two or three columns, where a sum has lanes in two vectors. A few terms are
   added for all rows before the next ones: the values of more terms, which are far from each other, would take each
   other's places in the cache. */
INLINE void columns_of_sums(const offset_pair *rows, size_t row_count, const offset_pair *columns,
    size_t column_count, const offset_pair *terms, size_t term_count, const real *restrict a, const real *restrict b,
    double *restrict sums, size_t padded, int width)
{
    vector lanes[KEPT_ROWS][8];
    for (size_t first = 0; first < term_count; first += KEPT_TERMS)
        for (size_t r = 0; r < row_count; r += 2)
            pairs_of_sums(rows + r, row_count - r < 2 ? 1 : 2, columns, column_count, terms + first,
                term_count - first < KEPT_TERMS ? term_count - first : KEPT_TERMS, a, b, padded, lanes + r, first > 0,
                width);
    for (size_t r = 0; r < row_count; r++) {
        four totals;
        sums_of_four(lanes[r], &totals);
        for (size_t l = 0; l < column_count; l++)
            sums[rows[r].second + columns[l].second] += (double) totals[l];
    }
}

/* Computes sums[row.second + column.second] += sum(term, n) a[row.first + term.first + n]*b[column.first +
   term.second + n] for all rows and columns, over the samples n of a tile. */
static HOT void place_sums(const offset_pair *rows, size_t row_count, const offset_pair *terms, size_t term_count,
    const offset_pair *columns, size_t column_count, const real *restrict a, const real *restrict b,
    double *restrict sums, size_t padded)
{
    if (SUM_VECTORS == 2 && padded > LANES) {
        for (size_t c = 0; c < column_count;) {
            const size_t left = column_count - c, width = left == 3 || left > 4 ? 3 : left > 1 ? 2 : 1;
            for (size_t r = 0; r < row_count; r += KEPT_ROWS) {
                const size_t count = row_count - r < KEPT_ROWS ? row_count - r : KEPT_ROWS;
                if (width == 3)
                    columns_of_sums(rows + r, count, columns + c, 3, terms, term_count, a, b, sums, padded, 3);
                else
                    columns_of_sums(rows + r, count, columns + c, width, terms, term_count, a, b, sums, padded, 2);
            }
            c += width;
        }
        return;
    }
    if (SUM_VECTORS == 2) {
        for (size_t c = 0; c < column_count; c += 4)
            for (size_t r = 0; r < row_count; r += 2)
                block_of_first(rows + r, row_count - r < 2 ? 1 : 2, columns + c,
                    column_count - c < 4 ? column_count - c : 4, terms, term_count, a, b, sums);
        return;
    }
    for (size_t c = 0; c < column_count; c += 4)
        for (size_t r = 0; r < row_count; r += LANE_SUM_ROWS)
            block_of_sums(rows + r, row_count - r < LANE_SUM_ROWS ? row_count - r : LANE_SUM_ROWS, columns + c,
                column_count - c < 4 ? column_count - c : 4, terms, term_count, a, b, sums, padded);
}

/* Computes sums[row.second] += sum(term, n) a[row.first + term.first + n] for all rows, over the samples n of a
   tile. */
static HOT void place_totals(const offset_pair *rows, size_t row_count, const offset_pair *terms, size_t term_count,
    const real *restrict a, double *restrict sums, size_t padded)
{
    for (size_t r = 0; r < row_count; r += 4) {
        const size_t last = row_count - r - 1;
        const real *const a0 = a + rows[r].first, *const a1 = a + rows[r + (last < 1 ? last : 1)].first;
        const real *const a2 = a + rows[r + (last < 2 ? last : 2)].first;
        const real *const a3 = a + rows[r + (last < 3 ? last : 3)].first;
        vector s[4*SUM_VECTORS];
        for (size_t part = 0; part < SUM_VECTORS; part++) {
            vector s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
            for (size_t k = 0; k < term_count && part*LANES < padded; k++)
                for (size_t n = part*LANES; n < padded; n += SUM_LANES) {
                    const ptrdiff_t i = terms[k].first + (ptrdiff_t) n;
                    s0 += load(a0 + i);
                    s1 += load(a1 + i);
                    s2 += load(a2 + i);
                    s3 += load(a3 + i);
                }
            s[part] = s0;
            s[SUM_VECTORS + part] = s1;
            s[2*SUM_VECTORS + part] = s2;
            s[3*SUM_VECTORS + part] = s3;
        }
        four totals;
        sums_of_four(s, &totals);
        for (size_t l = 0; l < 4 && l <= last; l++)
            sums[rows[r + l].second] += (double) totals[l];
    }
}

#endif
