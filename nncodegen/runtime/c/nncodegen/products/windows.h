/* Sums of products whose factors are at positions given by lists: windows, their transposes, and layers after them.

   Needs sums.h. Gives offset_pair, zero, place_products, place_sums and place_totals. */

#ifndef NNCODEGEN_WINDOWS_H
#define NNCODEGEN_WINDOWS_H

#include "nncodegen/products/sums.h"

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

/* Defines place_R_rows, for R rows and two vectors of sums; if fewer rows are left, the last is computed again, but
   stored once. */
#define PLACE_ROWS(row_count) \
INLINE void place_##row_count##_rows(const offset_pair *rows, size_t left, const offset_pair *terms, \
    size_t term_count, const real *a, const real *b, real *out, size_t next, int add) \
{ \
    const size_t last = left - 1; \
    const real *const a0 = a + rows[0].first; \
    EACH_NEXT_ROW(row_count, PLACE_ROW, ) \
    ZERO_SUMS(row_count, 2, s) \
    for (size_t k = 0; k < term_count; k++) { \
        const ptrdiff_t i = terms[k].first; \
        const real *const bk = b + terms[k].second; \
        ADD_PRODUCTS(row_count, 2, s, PLACE_OF_A, PLACES_OF_B, ) \
    } \
    const vector sums[] = {EACH_ROW(row_count, LISTED, 2, s)}; \
    for (size_t r = 0; r < left; r++) { \
        keep(sums[2*r], out + rows[r].second, 0, NULL, add, 1); \
        if (next) \
            keep(sums[2*r + 1], out + rows[r].second, next, NULL, add, 1); \
    } \
}
#define PLACE_ROW(r, ...) const real *const a##r = a + rows[last < r ? last : r].first;
#define PLACE_OF_A(r, ...) a##r[i]
#define PLACES_OF_B(c, ...) load(bk + c*next)

PLACE_ROWS(4)
PLACE_ROWS(8) /* if there are enough registers */

/* Computes out[row.second + c] = sum(term) a[row.first + term.first]*b[term.second + c] for all rows and for the
   columns c, which fill whole vectors; if add, adds that to out. */
static HOT void place_products(const offset_pair *rows, size_t row_count, const offset_pair *terms, size_t term_count,
    const real *restrict a, const real *restrict b, real *restrict out, size_t columns, int add)
{
    for (size_t c = 0; c < columns; c += 2*LANES) {
        const size_t next = columns - c > LANES ? LANES : 0;
        size_t r = 0;
        for (; BLOCK_ROWS == 8 && r + 8 <= row_count; r += 8)
            place_8_rows(rows + r, 8, terms, term_count, a, b + c, out + c, next, add);
        for (; r < row_count; r += 4)
            place_4_rows(rows + r, row_count - r < 4 ? row_count - r : 4, terms, term_count, a, b + c, out + c, next,
                add);
    }
}

/* The beginnings of the values of a row and of a column, whose sums are those of the last one if there are fewer; and a
   vector of samples of each. */
#define ROW_OF_SUMS(r, ...) const real *const a##r = a + rows[last_row < r ? last_row : r].first;
#define COLUMN_OF_SUMS(c, ...) const real *const b##c = b + columns[last_column < c ? last_column : c].first;
#define SAMPLES_OF_ROW(r, n) load(a##r + i + n)
#define SAMPLES_OF_COLUMN(c, n) load(b##c + j + n)
#define LISTED_ROW(r, s) {LISTED(r, 4, s)},

/* Sums over the samples of a tile for some rows, up to LANE_SUM_ROWS, and up to 4 columns; if there are fewer, the
   last one is computed again, but added once. */
static inline UNUSED void block_of_sums(const offset_pair *rows, size_t row_count, const offset_pair *columns,
    size_t column_count, const offset_pair *terms, size_t term_count, const real *restrict a, const real *restrict b,
    double *restrict sums, size_t padded)
{
    const size_t last_row = row_count - 1, last_column = column_count - 1;
    const real *const a0 = a + rows[0].first, *const b0 = b + columns[0].first;
    EACH_NEXT_ROW(LANE_SUM_ROWS, ROW_OF_SUMS, )
    EACH_NEXT_COLUMN(4, COLUMN_OF_SUMS, )
    vector s[LANE_SUM_ROWS][4*SUM_VECTORS];
    for (size_t part = 0; part < SUM_VECTORS; part++) {
        ZERO_SUMS(LANE_SUM_ROWS, 4, s)
        for (size_t k = 0; k < term_count && part*LANES < padded; k++) {
            const ptrdiff_t i = terms[k].first, j = terms[k].second;
            for (size_t n = part*LANES; n < padded; n += SUM_LANES)
                ADD_VECTORS(LANE_SUM_ROWS, 4, s, SAMPLES_OF_ROW, SAMPLES_OF_COLUMN, n)
        }
        const vector of_rows[][4] = {EACH_ROW(LANE_SUM_ROWS, LISTED_ROW, s)};
        for (size_t k = 0; k < LANE_SUM_ROWS; k++)
            for (size_t l = 0; l < 4; l++)
                s[k][l*SUM_VECTORS + part] = of_rows[k][l];
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
    const size_t last_row = row_count - 1, last_column = column_count - 1;
    const real *const a0 = a + rows[0].first, *const b0 = b + columns[0].first;
    EACH_NEXT_ROW(2, ROW_OF_SUMS, )
    EACH_NEXT_COLUMN(4, COLUMN_OF_SUMS, )
    ZERO_SUMS(2, 4, s)
    for (size_t k = 0; k < term_count; k++) {
        const ptrdiff_t i = terms[k].first, j = terms[k].second;
        ADD_VECTORS(2, 4, s, SAMPLES_OF_ROW, SAMPLES_OF_COLUMN, 0)
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
#define ADD_PAIRS(s, n) \
    { \
        if (width == 3) \
            ADD_VECTORS(2, 3, s, SAMPLES_OF_ROW, SAMPLES_OF_COLUMN, n) \
        else \
            ADD_VECTORS(2, 2, s, SAMPLES_OF_ROW, SAMPLES_OF_COLUMN, n) \
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
    ZERO_SUMS(2, 3, s)
    ZERO_SUMS(2, 3, t)
    if (add) {
        const vector *const l0 = lanes[0], *const l1 = lanes[1];
        s00 = l0[0], t00 = l0[1], s01 = l0[2], t01 = l0[3], s02 = l0[4], t02 = l0[5];
        s10 = l1[0], t10 = l1[1], s11 = l1[2], t11 = l1[3], s12 = l1[4], t12 = l1[5];
    }
    for (size_t k = 0; k < term_count; k++) {
        const ptrdiff_t i = terms[k].first, j = terms[k].second;
        for (ptrdiff_t n = 0; n < whole; n += SUM_LANES) {
            ADD_PAIRS(s, n)
            ADD_PAIRS(t, n + LANES)
        }
        if ((size_t) whole < padded)
            ADD_PAIRS(s, whole)
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
