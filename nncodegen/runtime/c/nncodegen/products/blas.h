/* Products that are computed by dgemm or sgemm of a BLAS, if the caller provides one.

   Needs vectors.h and the header of the model. Gives gemm, use_gemm, product, dot_products, end_rows. */

#ifndef NNCODEGEN_BLAS_H
#define NNCODEGEN_BLAS_H

#include "nncodegen/base/vectors.h"

/* The routine of BLAS, or NULL: then products are computed in blocks, as in models without BLAS. */
static NN(gemm) *gemm;

void NN(use_gemm)(NN(gemm) *routine)
{
    gemm = routine;
}

/* Computes out[r][c] = sum(k) a[r][k]*b[k][c] by BLAS; if scale is not 0, adds scale times that to out. a_row, b_row
   and out_row are the distances between rows, or between columns if a matrix is transposed. Fortran stores matrices by
   columns, so that BLAS sees all matrices transposed: it is asked for the transpose of out, with b as first factor. */
static UNUSED void product(size_t rows, size_t columns, size_t inner, const real *a, size_t a_row, int a_transposed,
    const real *b, size_t b_row, int b_transposed, real *out, size_t out_row, real scale)
{
    char a_as = a_transposed ? 'T' : 'N', b_as = b_transposed ? 'T' : 'N';
    int m = (int) columns, n = (int) rows, k = (int) inner, lda = (int) a_row, ldb = (int) b_row, ldc = (int) out_row;
    real times = scale != 0 ? scale : 1, before = scale != 0;
    gemm(&b_as, &a_as, &m, &n, &k, &times, (real *) b, &ldb, (real *) a, &lda, &before, out, &ldc);
}

/* Sets the padding of the rows of a result to zero: later loops compute with it, and would be slow with arbitrary
   values, such as subnormal numbers. */
static UNUSED void end_rows(size_t rows, size_t columns, real *out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = columns; c < out_row; c++)
            out[r*out_row + c] = 0;
}

/* Computes out[r][c] = sum(k) a[r][k]*b[c][k]; if scale is not 0, adds scale times that to out. Four columns at once,
   in vectors of terms. If fewer are left, the last one is computed again for the missing ones, but stored once. */
static UNUSED void dot_products(size_t rows, size_t columns, size_t inner, const real *restrict a, size_t a_row,
    const real *restrict b, size_t b_row, real *restrict out, size_t out_row, real scale)
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
                *to = scale != 0 ? *to + scale*total : total;
            }
        }
    }
}

#endif
