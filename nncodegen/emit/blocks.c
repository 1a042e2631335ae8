/* Vectors as long as the registers of the target, and the rows of a block that leave registers for the rest. */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define BLOCK_ROWS 8
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define BLOCK_ROWS 4
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define BLOCK_ROWS 8
#else
#define VECTOR_BYTES 16
#define BLOCK_ROWS 4
#endif

enum {
    LANES = VECTOR_BYTES/sizeof(real),
    PAD = 2*LANES,
    PARTIALS = DIRECT ? 0 : ACROSS*LANES,
    PANEL = 256, /* terms of a long sum that are worked through at once: 32 kB of the longest vectors */
};

/* Whether the compiler takes shuffles of vectors: GCC from version 12 on, and Clang. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES 1
#endif
#endif
#ifndef SHUFFLES
#define SHUFFLES 0
#endif

typedef real vector __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

/* --- load --- A vector; those of arrays lie aligned, those of the inputs where the caller has them. */
INLINE vector load(const real *values)
{
    return *(const unaligned *) values;
}

/* --- keep --- Stores a vector of a result, or (more) adds it to what is there. */
INLINE void keep(vector s, real *out, int more)
{
    if (more)
        s += load(out);
    *(vector *) out = s;
}

/* --- add --- Adds a vector of sums to the partial sums of a weight: a vector, or (DIRECT) at once to its one sum. */
INLINE void add(vector s, size_t weight, real *restrict partials, double *restrict sums)
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

@BODIES@/* --- turn --- out[r][c] = a[r + c*a_column], in rows that are padded with zeros: in squares of four by four. */
static void turn(size_t rows, size_t columns, const real *restrict a, size_t a_column, real *restrict out, size_t out_row)
{
    for (size_t r = 0; r < rows; r += 4) {
        for (size_t c = 0; c < columns; c += 4) {
            const real *const from = a + r + c*a_column;
            real *const to = out + r*out_row + c;
#if SHUFFLES
            if (r + 4 <= rows && c + 4 <= columns) {
                typedef real four __attribute__((vector_size(4*sizeof(real)), aligned(sizeof(real)), may_alias));
                const four a0 = *(const four *) from, a1 = *(const four *) (from + a_column),
                    a2 = *(const four *) (from + 2*a_column), a3 = *(const four *) (from + 3*a_column);
                const four b0 = __builtin_shufflevector(a0, a1, 0, 4, 1, 5), b1 = __builtin_shufflevector(a0, a1, 2, 6, 3, 7),
                    b2 = __builtin_shufflevector(a2, a3, 0, 4, 1, 5), b3 = __builtin_shufflevector(a2, a3, 2, 6, 3, 7);
                *(four *) to = __builtin_shufflevector(b0, b2, 0, 1, 4, 5);
                *(four *) (to + out_row) = __builtin_shufflevector(b0, b2, 2, 3, 6, 7);
                *(four *) (to + 2*out_row) = __builtin_shufflevector(b1, b3, 0, 1, 4, 5);
                *(four *) (to + 3*out_row) = __builtin_shufflevector(b1, b3, 2, 3, 6, 7);
                continue;
            }
#endif
            for (size_t i = 0; i < 4 && r + i < rows; i++)
                for (size_t k = 0; k < 4 && c + k < columns; k++)
                    to[i*out_row + k] = from[i + k*a_column];
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t c = columns; c < out_row; c++)
            out[r*out_row + c] = 0;
}

/* --- contract --- out[r][l] = sum(k) a[r*a_row + k*a_inner]*b[k*b_inner + l*b_lane], or (more) that much more: in blocks
   whose results stay in registers. The lanes l of out are padded to whole vectors, and those of b as well unless it lies
   turned (b_inner is 1 then). Sums that are long are cut into parts, for which two vectors of b lie together in the
   first-level cache; so do those that would be read across the borders of its lines, block after block. */
static void contract(size_t rows, size_t lanes, size_t inner, const real *restrict a, size_t a_row, size_t a_inner,
    const real *restrict b, size_t b_inner, size_t b_lane, real *restrict out, size_t out_row, int more)
{
    vector panel[2*PANEL];
    const size_t parts = (inner + PANEL - 1)/PANEL, part = (inner + parts - 1)/parts;
    const int across = rows > BLOCK_ROWS && ((uintptr_t) b | b_inner*sizeof(real))%VECTOR_BYTES != 0;
    for (size_t l = 0; l < lanes; l += 2*LANES) {
        const int pair = lanes - l > LANES;
        for (size_t first = 0; first < inner; first += part) {
            const size_t depth = inner - first < part ? inner - first : part;
            const int again = more || first > 0;
            const real *bl = b + first*b_inner + l*b_lane;
            size_t b_step = b_inner;
            if (b_lane > 1) {
                turn(depth, lanes - l < 2*LANES ? lanes - l : 2*LANES, bl, b_lane, (real *) panel, 2*LANES);
                bl = (const real *) panel;
                b_step = 2*LANES;
            } else if (inner > LONG || across) {
                for (size_t k = 0; k < depth; k++) {
                    panel[2*k] = load(bl + k*b_inner);
                    if (pair)
                        panel[2*k + 1] = load(bl + k*b_inner + LANES);
                }
                bl = (const real *) panel;
                b_step = 2*LANES;
            }
            for (size_t r = 0; r < rows;) {
                const size_t left = rows - r;
                const real *const ar = a + r*a_row + first*a_inner;
                real *const to = out + r*out_row + l;
                if (BLOCK_ROWS == 8 && left > 4 && pair)
                    block_8x2(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, again);
                else if (BLOCK_ROWS == 8 && left > 4)
                    block_8x1(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, again);
                else if (left <= 2 && pair)
                    block_2x2(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, again);
                else if (left <= 2)
                    block_2x1(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, again);
                else if (pair)
                    block_4x2(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, again);
                else
                    block_4x1(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, again);
                r += BLOCK_ROWS == 8 && left > 4 ? 8 : 4;
            }
        }
    }
}

/* --- pack --- out[r][c] = a[r*a_row + c*a_column], in rows that are padded with zeros. */
static void pack(size_t rows, size_t columns, const real *restrict a, size_t a_row, size_t a_column,
    real *restrict out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++)
            out[r*out_row + c] = a[r*a_row + c*a_column];
        for (size_t c = columns; c < out_row; c++)
            out[r*out_row + c] = 0;
    }
}

/* --- add_rows --- out[l] = sum(n) d[n][l] over a tile of samples n, or (more) that much more. */
static void add_rows(size_t lanes, const real *restrict d, size_t row, real *restrict out, size_t padded, int more)
{
    for (size_t l = 0; l < lanes; l += LANES) {
        vector s0 = {0}, s1 = {0};
        for (size_t n = 0; n < padded; n += 2) {
            s0 += load(d + n*row + l);
            s1 += load(d + (n + 1)*row + l);
        }
        keep(s0 + s1, out + l, more);
    }
}

/* --- accumulate --- Adds sum(n) d[j][n]*x[i][n] over a tile of samples n to the sum of each weight [j][i]. */
static void accumulate(size_t rows, size_t columns, const real *restrict d, const real *restrict x,
    real *restrict partials, double *restrict sums, size_t padded)
{
    for (size_t j = 0; j < rows; j += 4) {
        size_t i = 0;
        for (; BLOCK_ROWS == 8 && i + 2 < columns; i += 4)
            across_4x4(rows - j, columns - i, d + j*TILE, x + i*TILE, padded, j*columns + i, columns, partials, sums);
        for (; i < columns; i += 2)
            across_4x2(rows - j, columns - i, d + j*TILE, x + i*TILE, padded, j*columns + i, columns, partials, sums);
    }
}

/* --- add_up --- Adds sum(n) d[j][n] over a tile of samples n to the sum of each weight [j]. */
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

/* --- flush --- Moves the partial sums of the lanes to the sums of a chunk. */
static void flush(real *restrict partials, double *restrict sums)
{
    const size_t across = PARTIALS/LANES;
    for (size_t k = 0; k < across; k++) {
        double total = 0;
        for (size_t lane = 0; lane < LANES; lane++) {
            total += (double) partials[k*LANES + lane];
            partials[k*LANES + lane] = 0;
        }
        sums[k] = total;
    }
}

