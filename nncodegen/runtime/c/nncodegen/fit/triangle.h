/* The triangle of a QR decomposition of any number of rows, which are folded into it some at a time.

   Needs columns.h. Gives fold, fold_diagonal.

   A triangle R has one row for each of n columns, and the right-hand side as column n; row i begins at
   i*TRIANGLE_ROW. Rows to be folded in are stored as columns, COLUMN values apart, the right-hand side last, with
   rows of zeros up to whole vectors. For each column, a Householder reflection moves the entries of the new rows
   into the diagonal of R: R^T R grows by the products of the new rows, which are never formed, so that no digits are
   lost. (Golub and Van Loan, Matrix Computations, 4th edition, sections 5.2 and 6.5.) */

#ifndef NNCODEGEN_TRIANGLE_H
#define NNCODEGEN_TRIANGLE_H

#include "nncodegen/products/columns.h"

enum {
    FEW_COLUMNS = 12, /* up to this number of columns, no strips are made */
    MOST_AT_ONCE = 6  /* up to this number, each reflection also computes the products of the next */
};

/* Reflects a few columns, a constant number of at least two, so that the first one becomes zero. The products of the
   first column with all of them are given, and replaced by those of the second with all but the first: each value is
   read once for both. The last reflection leaves the values of the right-hand side alone, which nobody needs. */
INLINE void reflect_few(const size_t count, double *restrict row, double *restrict columns, size_t rows,
    double *restrict products)
{
    const int moves = products[0] != 0;
    const double root = sqrt(row[0]*row[0] + products[0]);
    const double diagonal = row[0] < 0 ? root : -root, head = row[0] - diagonal; /* without cancellation */
    const double by_head = 1/head, by_diagonal = -1/diagonal;
    double factors[MOST_AT_ONCE];
    row[0] = moves ? diagonal : row[0];
    for (size_t k = 1; k < count; k++) {
        factors[k] = moves ? (row[k] + products[k]*by_head)*by_diagonal : 0;
        row[k] -= moves ? factors[k]*head : 0;
    }
    if (count == 2)
        return;
    wide sums[MOST_AT_ONCE][SUM_WIDE/WIDE];
    for (size_t part = 0; part < SUM_WIDE/WIDE; part++) {
        wide s[MOST_AT_ONCE] = {{0}, {0}, {0}, {0}, {0}, {0}};
        for (size_t n = part*WIDE; n < rows; n += SUM_WIDE) {
            const wide a = *(const wide *) (columns + n);
            wide *const second = (wide *) (columns + COLUMN + n);
            SUBTRACT_WIDE(*second, factors[1], a);
            const wide b = *second;
            ADD_WIDE(s[1], b, b);
            for (size_t k = 2; k < count; k++) {
                wide *const other = (wide *) (columns + k*COLUMN + n);
                SUBTRACT_WIDE(*other, factors[k], a);
                ADD_WIDE(s[k], b, *other);
            }
        }
        for (size_t k = 1; k < count; k++)
            sums[k][part] = s[k];
    }
    for (size_t k = 1; k < count; k++)
        products[k - 1] = sum_of_wide(sums[k]);
}

/* Folds rows into the end of a triangle, of 2 to MOST_AT_ONCE columns, the right-hand side among them. */
static HOT void fold_few(double *triangle, size_t count, double *columns, size_t rows, double *products)
{
    multiply_columns(columns, columns, rows, count, products);
    for (; count > 1; count--) {
        switch (count) {
        case 2: reflect_few(2, triangle, columns, rows, products); break;
        case 3: reflect_few(3, triangle, columns, rows, products); break;
        case 4: reflect_few(4, triangle, columns, rows, products); break;
        case 5: reflect_few(5, triangle, columns, rows, products); break;
        default: reflect_few(MOST_AT_ONCE, triangle, columns, rows, products);
        }
        triangle += TRIANGLE_ROW + 1;
        columns += COLUMN;
    }
}

/* The reflections of a strip of columns. Each is I - (v v^T)/(-diagonal head), where v contains the head at the row
   of the triangle, and below it the column. For a column of zeros, everything is 0. */
typedef struct {
    double head[STRIP], by_head[STRIP], by_diagonal[STRIP]; /* by_head is 1/head, by_diagonal -1/diagonal */
    double products[STRIP][STRIP]; /* the products of the columns */
} reflections;

/* Reflects columns j to last - 1 so that column j becomes zero. */
INLINE void reflect(double *triangle, size_t j, size_t last, double *columns, size_t rows, double *products,
    double *head, double *by_head, double *by_diagonal)
{
    double *const row = triangle + j*TRIANGLE_ROW, *const column = columns + j*COLUMN;
    multiply_columns(column, column, rows, last - j, products);
    const double root = sqrt(row[j]*row[j] + products[0]);
    if (products[0] == 0) {
        *head = *by_head = *by_diagonal = 0;
        return;
    }
    const double diagonal = row[j] < 0 ? root : -root; /* this sign avoids cancellation in head */
    *head = row[j] - diagonal;
    *by_head = 1/ *head;
    *by_diagonal = -1/diagonal;
    row[j] = diagonal;
    for (size_t k = j + 1; k < last; k++) {
        const double factor = (row[k] + products[k - j]**by_head)**by_diagonal;
        row[k] -= factor**head;
        products[k - j] = factor;
    }
    subtract_columns(column, products + 1, column + COLUMN, rows, last - j - 1);
}

/* Computes the factors of the reflections of a strip for a column, from its products with the strip. Each factor is
   for the column after the reflections before, which follows from the products of the strip. The rows of the
   triangle, one for each reflection, change in this column. */
INLINE void factors_of_strip(double *triangle, const reflections *r, const double *products, double *factors)
{
    for (size_t i = 0; i < STRIP; i++) {
        double product = products[2*i];
        for (size_t l = 0; l < i; l++)
            product -= factors[2*l]*r->products[l][i];
        factors[2*i] = (triangle[i*TRIANGLE_ROW] + product*r->by_head[i])*r->by_diagonal[i];
        triangle[i*TRIANGLE_ROW] -= factors[2*i]*r->head[i];
    }
}

/* Applies the reflections of a strip, which begins with column j, to the columns from first to last - 1: two at
   once; the last one may be processed twice at once. */
static HOT void reflect_others(double *triangle, size_t j, size_t first, size_t last, double *columns, size_t rows,
    const reflections *r)
{
    const double *const strip = columns + j*COLUMN;
    for (size_t k = first; k < last; k += 2) {
        double *const b = columns + k*COLUMN, *const c = k + 1 < last ? b + COLUMN : b;
        double products[2*STRIP], factors[2*STRIP];
        multiply_strip(strip, b, c, rows, products);
        factors_of_strip(triangle + j*TRIANGLE_ROW + k, r, products, factors);
        if (c != b)
            factors_of_strip(triangle + j*TRIANGLE_ROW + k + 1, r, products + 1, factors + 1);
        for (size_t i = 0; c == b && i < STRIP; i++)
            factors[2*i + 1] = factors[2*i];
        subtract_strip(strip, factors, b, c, rows);
    }
}

/* Folds rows, a number of whole vectors, into a triangle of n columns. The rows are zero in the columns before
   first, and are overwritten. products has room for n + 1 values. */
static HOT void fold(double *restrict triangle, size_t first, size_t n, double *restrict columns, size_t rows,
    double *restrict products)
{
    size_t j = first;
    while (n + 1 - j > FEW_COLUMNS) {
        reflections r;
        for (size_t i = 0; i < STRIP; i++)
            reflect(triangle, j + i, j + STRIP, columns, rows, products, r.head + i, r.by_head + i, r.by_diagonal + i);
        for (size_t i = 0; i < STRIP; i++)
            multiply_columns(columns + (j + i)*COLUMN, columns + j*COLUMN, rows, STRIP, r.products[i]);
        reflect_others(triangle, j, j + STRIP, n + 1, columns, rows, &r);
        j += STRIP;
    }
    for (; n + 1 - j > MOST_AT_ONCE; j++) {
        double head, by_head, by_diagonal;
        reflect(triangle, j, n + 1, columns, rows, products, &head, &by_head, &by_diagonal);
    }
    fold_few(triangle + j*TRIANGLE_ROW + j, n + 1 - j, columns + j*COLUMN, rows, products);
}

/* Folds the rows of a diagonal matrix of equal values into a triangle of n columns. */
static UNUSED void fold_diagonal(double *triangle, size_t n, double value, double *columns, double *products)
{
    for (size_t first = 0; first < n; first += 64) {
        const size_t count = n - first < 64 ? n - first : 64, rows = whole_rows(count);
        for (size_t k = first; k <= n; k++)
            for (size_t i = 0; i < rows; i++)
                columns[k*COLUMN + i] = first + i == k && k < n ? value : 0;
        fold(triangle, first, n, columns, rows, products);
    }
}

#endif
