/* The sum of the lanes of a vector. Its halves are added as vectors: to take lanes out takes longer than to add them. */
INLINE real sum_of_lanes(vector s)
{
    typedef real half __attribute__((vector_size(VECTOR_BYTES/2), may_alias));
    const half two = ((const half *) &s)[0] + ((const half *) &s)[1];
#if VECTOR_BYTES > 16
    typedef real quarter __attribute__((vector_size(VECTOR_BYTES/4), may_alias));
    const quarter last = ((const quarter *) &two)[0] + ((const quarter *) &two)[1];
#else
    const half last = two;
#endif
    real total = 0;
    for (size_t lane = 0; lane < sizeof last/sizeof(real); lane++)
        total += last[lane];
    return total;
}

/* out[j] = sum(i) a[j*row + i*column]*x[i]: for four rows at once, in vectors along i where the weights of a row lie
   side by side. Where there are fewer than four rows left, the last is computed again. */
static HOT void row_product(size_t rows, size_t inner, const real *restrict a, size_t row, size_t column,
    const real *restrict x, real *restrict out)
{
    const size_t whole = column == 1 ? inner/LANES*LANES : 0;
    for (size_t j = 0; j < rows; j += 4) {
        const size_t last = rows - j - 1, j1 = last < 1 ? last : 1, j2 = last < 2 ? last : 2, j3 = last < 3 ? last : 3;
        const real *const a0 = a + j*row, *const a1 = a0 + j1*row, *const a2 = a0 + j2*row, *const a3 = a0 + j3*row;
        vector s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        for (size_t i = 0; i < whole; i += LANES) {
            const vector values = *(const unaligned *) (x + i);
            s0 += *(const unaligned *) (a0 + i)*values;
            s1 += *(const unaligned *) (a1 + i)*values;
            s2 += *(const unaligned *) (a2 + i)*values;
            s3 += *(const unaligned *) (a3 + i)*values;
        }
        real t0 = sum_of_lanes(s0), t1 = sum_of_lanes(s1), t2 = sum_of_lanes(s2), t3 = sum_of_lanes(s3);
        for (size_t i = whole; i < inner; i++) {
            t0 += a0[i*column]*x[i];
            t1 += a1[i*column]*x[i];
            t2 += a2[i*column]*x[i];
            t3 += a3[i*column]*x[i];
        }
        out[j + j3] = t3;
        out[j + j2] = t2;
        out[j + j1] = t1;
        out[j] = t0;
    }
}
