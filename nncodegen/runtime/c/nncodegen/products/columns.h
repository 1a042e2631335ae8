/* Columns of doubles side by side, each of whole vectors: their products and sums.

   Needs vectors.h. Gives WIDE, whole_rows, multiply_columns, subtract_columns,
   multiply_strip, subtract_strip. */

#ifndef NNCODEGEN_COLUMNS_H
#define NNCODEGEN_COLUMNS_H

#include "nncodegen/base/vectors.h"

enum {
    WIDE = VECTOR_BYTES/sizeof(double),
    SUM_WIDE = SUM_BYTES/sizeof(double), /* the partial sums of a column: SUM_LANES in vectors.h */
    STRIP = 8 /* the number of columns that are processed at once, if there are many */
};

/* Returns the number of rows rounded up to whole vectors. */
INLINE size_t whole_rows(size_t rows)
{
    return (rows + SUM_WIDE - 1)/SUM_WIDE*SUM_WIDE;
}

/* Adds the product of two vectors, or of a value and a vector, to a vector; subtracts it. */
#if NN_SAME_BITS
#define ADD_WIDE(s, a, b) (s) = fused_wide((a) - (wide) {0}, b, s)
#define SUBTRACT_WIDE(s, a, b) (s) = fused_wide((wide) {0} - (a), b, s)
#else
#define ADD_WIDE(s, a, b) (s) += (a)*(b)
#define SUBTRACT_WIDE(s, a, b) (s) -= (a)*(b)
#endif

/* Returns the sum of SUM_WIDE values. */
#if NN_SAME_BITS
INLINE double sum_of_wide(const wide *all)
{
    const double *const s = (const double *) all;
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}
#else
INLINE double sum_of_wide(const wide *all)
{
    const wide s = *all;
    typedef double half __attribute__((vector_size(VECTOR_BYTES/2), may_alias));
    const half two = ((const half *) &s)[0] + ((const half *) &s)[1];
#if VECTOR_BYTES > 32
    typedef double quarter __attribute__((vector_size(VECTOR_BYTES/4), may_alias));
    const quarter last = ((const quarter *) &two)[0] + ((const quarter *) &two)[1];
#else
    const half last = two;
#endif
    double total = 0;
    for (size_t lane = 0; lane < sizeof last/sizeof(double); lane++)
        total += last[lane];
    return total;
}
#endif

/* Computes the products of one column with up to four others; each vector of it is read once. */
INLINE void multiply_few(const double *a, const double *b, size_t rows, size_t count, double *products)
{
    wide sums[4][SUM_WIDE/WIDE];
    for (size_t part = 0; part < SUM_WIDE/WIDE; part++) {
        wide s[4] = {{0}, {0}, {0}, {0}};
        for (size_t n = part*WIDE; n < rows; n += SUM_WIDE) {
            const wide v = *(const wide *) (a + n);
            for (size_t k = 0; k < count; k++)
                ADD_WIDE(s[k], v, *(const wide *) (b + k*COLUMN + n));
        }
        for (size_t k = 0; k < count; k++)
            sums[k][part] = s[k];
    }
    for (size_t k = 0; k < count; k++)
        products[k] = sum_of_wide(sums[k]);
}

static HOT void multiply_columns(const double *a, const double *b, size_t rows, size_t count,
    double *products)
{
    size_t k = 0;
    for (; k + 4 <= count; k += 4)
        multiply_few(a, b + k*COLUMN, rows, 4, products + k);
    if (count - k == 3)
        multiply_few(a, b + k*COLUMN, rows, 3, products + k);
    else if (count - k == 2)
        multiply_few(a, b + k*COLUMN, rows, 2, products + k);
    else if (count - k == 1)
        multiply_few(a, b + k*COLUMN, rows, 1, products + k);
}

/* Subtracts multiples of one column from up to four others. */
INLINE void subtract_few(const double *a, const double *factors, double *b, size_t rows, size_t count)
{
    for (size_t n = 0; n < rows; n += WIDE) {
        const wide v = *(const wide *) (a + n);
        for (size_t k = 0; k < count; k++)
            SUBTRACT_WIDE(*(wide *) (b + k*COLUMN + n), factors[k], v);
    }
}

static HOT void subtract_columns(const double *a, const double *factors, double *b, size_t rows,
    size_t count)
{
    size_t k = 0;
    for (; k + 4 <= count; k += 4)
        subtract_few(a, factors + k, b + k*COLUMN, rows, 4);
    if (count - k == 3)
        subtract_few(a, factors + k, b + k*COLUMN, rows, 3);
    else if (count - k == 2)
        subtract_few(a, factors + k, b + k*COLUMN, rows, 2);
    else if (count - k == 1)
        subtract_few(a, factors + k, b + k*COLUMN, rows, 1);
}

/* Computes the products of the columns of a strip with two other columns, products[2*i] and products[2*i + 1]: four at
   a time, which leaves enough registers for the rest. */
static HOT void multiply_strip(const double *strip, const double *b, const double *c, size_t rows,
    double *products)
{
    for (size_t i = 0; i < STRIP; i += 4) {
        const double *const a = strip + i*COLUMN;
        wide first[4][SUM_WIDE/WIDE], second[4][SUM_WIDE/WIDE];
        for (size_t part = 0; part < SUM_WIDE/WIDE; part++) {
            wide s[4] = {{0}, {0}, {0}, {0}}, t[4] = {{0}, {0}, {0}, {0}};
            for (size_t n = part*WIDE; n < rows; n += SUM_WIDE) {
                const wide v = *(const wide *) (b + n), w = *(const wide *) (c + n);
                for (size_t k = 0; k < 4; k++) {
                    ADD_WIDE(s[k], *(const wide *) (a + k*COLUMN + n), v);
                    ADD_WIDE(t[k], *(const wide *) (a + k*COLUMN + n), w);
                }
            }
            for (size_t k = 0; k < 4; k++) {
                first[k][part] = s[k];
                second[k][part] = t[k];
            }
        }
        for (size_t k = 0; k < 4; k++) {
            products[2*(i + k)] = sum_of_wide(first[k]);
            products[2*(i + k) + 1] = sum_of_wide(second[k]);
        }
    }
}

/* Subtracts multiples of the columns of a strip from two others. */
static HOT void subtract_strip(const double *strip, const double *factors, double *b, double *c, size_t rows)
{
    for (size_t n = 0; n < rows; n += WIDE) {
        wide v = *(const wide *) (b + n), w = *(const wide *) (c + n);
        for (size_t k = 0; k < STRIP; k++) {
            const wide a = *(const wide *) (strip + k*COLUMN + n);
            SUBTRACT_WIDE(v, factors[2*k], a);
            SUBTRACT_WIDE(w, factors[2*k + 1], a);
        }
        *(wide *) (b + n) = v;
        *(wide *) (c + n) = w;
    }
}

#endif
