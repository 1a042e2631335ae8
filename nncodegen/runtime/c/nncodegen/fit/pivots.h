/* The rank of a triangle, by a QR decomposition that takes the longest remaining column first.

   Needs fit_memory.h. Gives pivot. */

#ifndef NNCODEGEN_PIVOTS_H
#define NNCODEGEN_PIVOTS_H

#include "nncodegen/fit/fit_memory.h"

/* Copies the triangle of the system and its right-hand side into columns, with rows of zeros up to whole vectors. */
static COLD void copy_to_columns(fit_memory *m, size_t n, size_t rows)
{
    for (size_t k = 0; k <= n; k++) {
        double *const column = m->columns + k*COLUMN;
        const size_t filled = k < n ? k + 1 : n;
        for (size_t i = 0; i < filled; i++)
            column[i] = m->system[i*TRIANGLE_ROW + k];
        for (size_t i = filled; i < rows; i++)
            column[i] = 0;
    }
}

/* Exchanges two columns, and the values that belong to them. */
static COLD void exchange(fit_memory *m, size_t j, size_t k, size_t rows)
{
    double *const a = m->columns + j*COLUMN, *const b = m->columns + k*COLUMN;
    for (size_t i = 0; i < rows; i++) {
        const double value = a[i];
        a[i] = b[i];
        b[i] = value;
    }
    const size_t number = m->order[j];
    m->order[j] = m->order[k];
    m->order[k] = number;
    m->left[k] = m->left[j];
    m->summed[k] = m->summed[j];
}

/* Returns the column, from first on, that is longest from row first on. The squared lengths are those of the step
   before, minus the finished row; if most has been subtracted, they are summed up again, as in LAPACK. */
static COLD size_t longest_column(fit_memory *m, size_t first, size_t n, size_t rows)
{
    size_t best = first;
    for (size_t k = first; k < n; k++) {
        const double *const column = m->columns + k*COLUMN;
        if (first > 0)
            m->left[k] -= column[first - 1]*column[first - 1];
        if (first == 0 || m->left[k] <= 1e-8*m->summed[k]) {
            double sum = 0;
            for (size_t i = first; i < rows; i++)
                sum += column[i]*column[i];
            m->left[k] = m->summed[k] = sum;
        }
        best = m->left[k] > m->left[best] ? k : best;
    }
    return best;
}

/* Reflects column j, whose rows before j are finished, so that it is zero below row j; reflects the columns after
   it, too. Column n is the right-hand side. */
static COLD void reflect_square(fit_memory *m, size_t j, size_t n, size_t rows)
{
    double *const column = m->columns + j*COLUMN;
    for (size_t i = 0; i < j; i++) {
        m->system[i*TRIANGLE_ROW + j] = column[i];
        column[i] = 0;
    }
    multiply_columns(column, column, rows, n + 1 - j, m->products);
    const double root = sqrt(m->products[0]), diagonal = column[j] < 0 ? root : -root, head = column[j] - diagonal;
    m->system[j*TRIANGLE_ROW + j] = diagonal;
    column[j] = head;
    for (size_t k = j + 1; k <= n; k++)
        m->products[k - j] = (m->products[k - j] - diagonal*m->columns[k*COLUMN + j])/(-diagonal*head);
    subtract_columns(column, m->products + 1, column + COLUMN, rows, n - j);
}

/* Replaces the triangle of the system, with n columns, by one whose columns are in the order of the longest
   remainder. The remainder of the last columns, relative to the first, may be only rounding; then it is set to 0. If
   FIT_CURVED, this limit is sqrt(ROUNDING): the system is solved by the gradient, whose rounding counts as much as the
   square of the remainder. Returns the rank, the number of columns before those. */
static COLD size_t pivot(fit_memory *m, size_t n)
{
    const size_t rows = whole_rows(n);
    const double least = (double) (n < 10 ? 10 : n)*ROUNDING, rounding = FIT_CURVED ? sqrt(ROUNDING) : least;
    double largest = 0;
    size_t rank = 0;
    copy_to_columns(m, n, rows);
    for (; rank < n; rank++) {
        const size_t best = longest_column(m, rank, n, rows);
        const double left = sqrt(m->left[best]);
        largest = rank == 0 ? left : largest;
        if (!(left > rounding*largest))
            break;
        exchange(m, rank, best, rows);
        reflect_square(m, rank, n, rows);
    }
    for (size_t k = rank; k <= n; k++)
        for (size_t i = 0; i < n; i++)
            m->system[i*TRIANGLE_ROW + k] = i < rank ? m->columns[k*COLUMN + i] : 0;
    return rank;
}

#endif
