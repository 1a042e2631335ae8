/* Decompositions of matrices whose bits do not depend on the CPU and the compiler, if it fuses no product with a sum.

   Needs nothing. Gives sum_of_terms, length_of, singular_values, triangle_of. FixedOrder (ground/algebra.py) does the
   same with NumPy, and has the same bits. A sum adds the second half of its terms to the first until one is left. */

#ifndef NNCODEGEN_DECOMPOSE_H
#define NNCODEGEN_DECOMPOSE_H

#include <math.h>
#include <stddef.h>

/* A function that not every module calls. */
#define OPTIONAL static inline __attribute__((unused))

enum { MOST_SWEEPS = 60 }; /* eight are usual, and a few more for many columns */

/* Returns the sum of terms, which are overwritten. */
OPTIONAL double sum_of_terms(double *terms, size_t count)
{
    while (count > 1) {
        const size_t half = (count + 1)/2;
        for (size_t k = 0; k < count - half; k++)
            terms[k] += terms[half + k];
        count = half;
    }
    return count ? terms[0] : 0;
}

/* Returns the sum of products of two columns; terms has room for them. */
OPTIONAL double sum_of_products(const double *a, const double *b, size_t count, double *terms)
{
    for (size_t k = 0; k < count; k++)
        terms[k] = a[k]*b[k];
    return sum_of_terms(terms, count);
}

/* Returns the root of the sum of squares, which neither overflow nor vanish. */
OPTIONAL double length_of(const double *values, size_t count, double *terms)
{
    double largest = 0;
    for (size_t k = 0; k < count; k++)
        largest = fabs(values[k]) > largest ? fabs(values[k]) : largest;
    if ((largest > 0x1p-500 && largest < 0x1p500) || largest == 0 || largest == HUGE_VAL)
        return sqrt(sum_of_products(values, values, count, terms));
    for (size_t k = 0; k < count; k++)
        terms[k] = (values[k]/largest)*(values[k]/largest);
    return largest*sqrt(sum_of_terms(terms, count));
}

/* Rotates two columns, of which the first rows are to be orthogonal. Returns whether they were not. */
OPTIONAL int rotate_columns(double *p, double *q, size_t rows, size_t length, double *terms)
{
    const double aa = sum_of_products(p, p, rows, terms), bb = sum_of_products(q, q, rows, terms);
    const double ab = sum_of_products(p, q, rows, terms);
    if (!(fabs(ab) > 0x1p-51*sqrt(aa)*sqrt(bb)))
        return 0;
    const double slope = (bb - aa)/(2*ab), tangent = (slope < 0 ? -1 : 1)/(fabs(slope) + sqrt(1 + slope*slope));
    const double cosine = 1/sqrt(1 + tangent*tangent), sine = cosine*tangent;
    for (size_t k = 0; k < length; k++) {
        const double x = p[k], y = q[k];
        p[k] = cosine*x - sine*y;
        q[k] = sine*x + cosine*y;
    }
    return 1;
}

/* Computes the singular value decomposition of a matrix (rows, columns), whose rows are not fewer: U (rows, columns),
   singular values in descending order, and directions (columns, columns), one a row. Pairs of columns are rotated until
   all are orthogonal (Hestenes, 1958). work has room for columns*(rows + columns) + rows values, and places for
   columns + 1.

   The pairs of a round have no column in common: in the next round, all but the first column move on by one place. */
OPTIONAL void singular_values(const double *matrix, size_t rows, size_t columns, double *U, double *singular,
    double *directions, double *work, size_t *places)
{
    const size_t length = rows + columns, even = columns + columns%2;
    double *const terms = work + columns*length;
    for (size_t j = 0; j < columns; j++)
        for (size_t i = 0; i < length; i++)
            work[j*length + i] = i < rows ? matrix[i*columns + j] : i - rows == j;
    for (size_t j = 0; j < even; j++)
        places[j] = j;
    for (int turned = 1, sweep = 0; turned && sweep < MOST_SWEEPS; sweep++) {
        turned = 0;
        for (size_t round = 0; round + 1 < even; round++) {
            for (size_t k = 0; k < even/2; k++) {
                const size_t one = places[k], other = places[even - 1 - k];
                double *const left = work + (one < other ? one : other)*length;
                double *const right = work + (one < other ? other : one)*length;
                if (one < columns && other < columns)
                    turned |= rotate_columns(left, right, rows, length, terms);
            }
            const size_t last = places[even - 1];
            for (size_t k = even - 1; k > 1; k--)
                places[k] = places[k - 1];
            places[1] = last;
        }
    }
    for (size_t j = 0; j < columns; j++) { /* sorted by insertion: equal ones stay in their order, NaN comes last */
        const double value = length_of(work + j*length, rows, terms);
        size_t k = j;
        for (; k > 0 && (value > singular[k - 1] || (singular[k - 1] != singular[k - 1] && value == value)); k--) {
            singular[k] = singular[k - 1];
            places[k] = places[k - 1];
        }
        singular[k] = value;
        places[k] = j;
    }
    for (size_t j = 0; j < columns; j++) {
        const double *const column = work + places[j]*length, by = singular[j] > 0 ? singular[j] : 1;
        for (size_t i = 0; i < rows; i++)
            U[i*columns + j] = column[i]/by;
        for (size_t i = 0; i < columns; i++)
            directions[j*columns + i] = column[rows + i];
    }
}

/* Computes the triangle (min(rows, width), width) of the QR decomposition of a matrix (rows, width) by Householder's
   reflections. work has room for rows*width + rows values. */
OPTIONAL void triangle_of(const double *matrix, size_t rows, size_t width, double *triangle, double *work)
{
    const size_t steps = rows < width ? rows : width;
    double *const terms = work + rows*width;
    for (size_t j = 0; j < width; j++)
        for (size_t i = 0; i < rows; i++)
            work[j*rows + i] = matrix[i*width + j];
    for (size_t j = 0; j < steps; j++) {
        double *const column = work + j*rows + j;
        const double size = length_of(column, rows - j, terms), head = column[0];
        const double diagonal = head < 0 ? size : -size; /* this sign avoids cancellation */
        column[0] = head - diagonal;
        const double square = diagonal*column[0]; /* half of that of the reflected vector, with the other sign */
        for (size_t k = j + 1; k < width; k++) {
            double *const other = work + k*rows + j;
            const double factor = sum_of_products(column, other, rows - j, terms)/(square == 0 ? 1 : square);
            for (size_t i = 0; i < rows - j; i++)
                other[i] += column[i]*factor;
        }
        column[0] = diagonal;
    }
    for (size_t i = 0; i < steps; i++)
        for (size_t k = 0; k < width; k++)
            triangle[i*width + k] = k < i ? 0 : work[k*rows + i];
}

#endif
