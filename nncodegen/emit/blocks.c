/* Vectors of samples, as long as the registers of the target. */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

enum { LANES = VECTOR_BYTES/sizeof(real), PAD = 2*LANES };

typedef real vector __attribute__((vector_size(VECTOR_BYTES), may_alias));

static inline vector load(const real *values)
{
    return *(const vector *) values;
}

/* out[j][n] = sum(i) a[j*row + i*column]*x[i][n] for a tile of samples n: blocks of four rows and two vectors stay in
   registers. Where there are fewer than four rows left, the last is computed again, and not stored again. */
static void contract(size_t rows, size_t inner, const real *restrict a, size_t row, size_t column,
    const real *restrict x, real *restrict out, size_t padded)
{
    for (size_t j = 0; j < rows; j += 4) {
        const size_t last = rows - j - 1;
        const real *const a0 = a + j*row, *const a1 = a0 + (last < 1 ? last : 1)*row,
            *const a2 = a0 + (last < 2 ? last : 2)*row, *const a3 = a0 + (last < 3 ? last : 3)*row;
        for (size_t n = 0; n < padded; n += PAD) {
            vector s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0}, s20 = {0}, s21 = {0}, s30 = {0}, s31 = {0};
            for (size_t i = 0; i < inner; i++) {
                const vector x0 = load(x + i*TILE + n), x1 = load(x + i*TILE + n + LANES);
                const size_t k = i*column;
                s00 += a0[k]*x0;
                s01 += a0[k]*x1;
                s10 += a1[k]*x0;
                s11 += a1[k]*x1;
                s20 += a2[k]*x0;
                s21 += a2[k]*x1;
                s30 += a3[k]*x0;
                s31 += a3[k]*x1;
            }
            vector *const o = (vector *) (out + j*TILE + n);
            const size_t next = TILE/LANES;
            o[0] = s00;
            o[1] = s01;
            if (last >= 1) {
                o[next] = s10;
                o[next + 1] = s11;
            }
            if (last >= 2) {
                o[2*next] = s20;
                o[2*next + 1] = s21;
            }
            if (last >= 3) {
                o[3*next] = s30;
                o[3*next + 1] = s31;
            }
        }
    }
}

/* Adds a vector of sums to the partial sums of a weight: a vector, or (DIRECT) at once to its one sum. */
static inline void add(vector s, size_t weight, real *restrict partials, double *restrict sums)
{
    if (DIRECT) {
        real total = 0;
        for (size_t lane = 0; lane < LANES; lane++)
            total += s[lane];
        sums[weight] += (double) total;
    } else {
        ((vector *) partials)[weight] += s;
    }
}

/* Adds sum(n) d[j][n]*x[i][n] over a tile of samples n to the sum of each weight [j][i]: blocks of four by two. */
static void accumulate(size_t rows, size_t columns, const real *restrict d, const real *restrict x,
    real *restrict partials, double *restrict sums, size_t padded)
{
    for (size_t j = 0; j < rows; j += 4) {
        const size_t last = rows - j - 1;
        const real *const d0 = d + j*TILE, *const d1 = d0 + (last < 1 ? last : 1)*TILE,
            *const d2 = d0 + (last < 2 ? last : 2)*TILE, *const d3 = d0 + (last < 3 ? last : 3)*TILE;
        for (size_t i = 0; i < columns; i += 2) {
            const int pair = i + 1 < columns;
            const real *const x0 = x + i*TILE, *const x1 = x0 + (pair ? TILE : 0);
            vector s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0}, s20 = {0}, s21 = {0}, s30 = {0}, s31 = {0};
            for (size_t n = 0; n < padded; n += LANES) {
                const vector v0 = load(x0 + n), v1 = load(x1 + n);
                s00 += load(d0 + n)*v0;
                s01 += load(d0 + n)*v1;
                s10 += load(d1 + n)*v0;
                s11 += load(d1 + n)*v1;
                s20 += load(d2 + n)*v0;
                s21 += load(d2 + n)*v1;
                s30 += load(d3 + n)*v0;
                s31 += load(d3 + n)*v1;
            }
            const vector even[4] = {s00, s10, s20, s30}, odd[4] = {s01, s11, s21, s31};
            for (size_t r = 0; r <= (last < 3 ? last : 3); r++) {
                add(even[r], (j + r)*columns + i, partials, sums);
                if (pair)
                    add(odd[r], (j + r)*columns + i + 1, partials, sums);
            }
        }
    }
}

/* Adds sum(n) d[j][n] over a tile of samples n to the sum of each weight [j]. */
static void add_up(size_t rows, const real *restrict d, real *restrict partials, double *restrict sums, size_t padded)
{
    for (size_t j = 0; j < rows; j++) {
        vector s0 = {0}, s1 = {0};
        for (size_t n = 0; n < padded; n += PAD) {
            s0 += load(d + j*TILE + n);
            s1 += load(d + j*TILE + n + LANES);
        }
        add(s0 + s1, j, partials, sums);
    }
}
@BLOCKS@
@BLOCKS@/* Moves the partial sums to the sums. */
@BLOCKS@static void flush(real *restrict partials, double *restrict sums)
@BLOCKS@{
@BLOCKS@    for (size_t k = 0; k < PARTIALS; k++) {
@BLOCKS@        double total = 0;
@BLOCKS@        for (size_t lane = 0; lane < LANES; lane++) {
@BLOCKS@            total += (double) partials[k*LANES + lane];
@BLOCKS@            partials[k*LANES + lane] = 0;
@BLOCKS@        }
@BLOCKS@        sums[k] += total;
@BLOCKS@    }
@BLOCKS@}

