/* The products that are left to a routine of BLAS, where the caller gives one.

   Needs vectors.h and the header of the model. Gives gemm, use_gemm, product, dot_products, end_rows. */

#ifndef NNCODEGEN_BLAS_H
#define NNCODEGEN_BLAS_H

#include "vectors.h"

/* The routine of BLAS that multiplies matrices, or NULL: then the loops of this file do. */
static NN(gemm) *gemm;

void NN(use_gemm)(NN(gemm) *routine)
{
    gemm = routine;
}

/* out[r][l] = sum(k) a[r][k]*b[k][l], or (more) so many times of it more, by BLAS. Rows begin so many values after each
   other; a matrix that is turned lies with its columns in the place of rows. To Fortran, every matrix is turned: it
   computes the columns of out from those of b and a. */
static UNUSED void product(size_t rows, size_t columns, size_t inner, const real *a, size_t a_row, int a_turned,
    const real *b, size_t b_row, int b_turned, real *out, size_t out_row, real more)
{
    char a_as = a_turned ? 'T' : 'N', b_as = b_turned ? 'T' : 'N';
    int m = (int) columns, n = (int) rows, k = (int) inner, lda = (int) a_row, ldb = (int) b_row, ldc = (int) out_row;
    real times = more != 0 ? more : 1, before = more != 0;
    gemm(&b_as, &a_as, &m, &n, &k, &times, (real *) b, &ldb, (real *) a, &lda, &before, out, &ldc);
}

/* Zeros behind the values of rows, up to whole vectors: steps run over them as well, and would be slow with
   the numbers that happen to lie there. */
static UNUSED void end_rows(size_t rows, size_t columns, real *out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = columns; c < out_row; c++)
            out[r*out_row + c] = 0;
}

/* out[r][c] = sum(k) a[r][k]*b[c][k], or (more) so many times of it more: for four columns at once, in vectors
   along k. Where fewer are left, the last is computed again, and not stored again. */
static UNUSED void dot_products(size_t rows, size_t columns, size_t inner, const real *restrict a, size_t a_row,
    const real *restrict b, size_t b_row, real *restrict out, size_t out_row, real more)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c += 4) {
            const size_t last = columns - c - 1;
            const real *const ar = a + r*a_row, *const b0 = b + c*b_row, *const b1 = b0 + (last < 1 ? last : 1)*b_row;
            const real *const b2 = b0 + (last < 2 ? last : 2)*b_row, *const b3 = b0 + (last < 3 ? last : 3)*b_row;
            vector sums[4] = {{0}};
            for (size_t k = 0; k < inner; k += LANES) {
                const vector values = load(ar + k);
                sums[0] += values*load(b0 + k);
                sums[1] += values*load(b1 + k);
                sums[2] += values*load(b2 + k);
                sums[3] += values*load(b3 + k);
            }
            for (size_t i = 0; i < 4 && i <= last; i++) {
                real *const to = out + r*out_row + c + i, total = 0;
                for (size_t lane = 0; lane < LANES; lane++)
                    total += sums[i][lane];
                *to = more != 0 ? *to + more*total : total;
            }
        }
    }
}

#endif
