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

/* The rows of a product beyond which vectors that lie across two lines of the cache are copied first: none where all
   vectors come in halves (Zen 4), many where both lines come while a block computes (Zen 5). */
#if defined(__znver4__)
#define COPY_ROWS PTRDIFF_MAX
#elif defined(__znver5__)
#define COPY_ROWS 64
#else
#define COPY_ROWS BLOCK_ROWS
#endif

enum {
    LANES = VECTOR_BYTES/sizeof(real),
    PAD = LANES,
    PARTIALS = DIRECT ? 0 : ACROSS*LANES,
    PANEL = 256, /* terms of a long sum that are worked through at once: 32 kB of the longest vectors */
    ACROSS_ROWS = BLOCK_ROWS/2, /* of a block of sums across lanes */
    FEW = 4, /* rows, below which a long sum is not worth a panel */
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
typedef word words __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
typedef real four __attribute__((vector_size(4*sizeof(real))));
typedef real eight __attribute__((vector_size(8*sizeof(real))));
typedef real sixteen __attribute__((vector_size(16*sizeof(real))));
typedef real unaligned_four __attribute__((vector_size(4*sizeof(real)), aligned(sizeof(real)), may_alias));
typedef real unaligned_eight __attribute__((vector_size(8*sizeof(real)), aligned(sizeof(real)), may_alias));
typedef real unaligned_sixteen __attribute__((vector_size(16*sizeof(real)), aligned(sizeof(real)), may_alias));

/* The sums of neighbours in two vectors of 4, 8 or 16: of four values each, those of a come first, then those of b. */
#if SHUFFLES
#define NEIGHBOURS_4(a, b) \
    __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define NEIGHBOURS_8(a, b) \
    __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) + __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15)
#define NEIGHBOURS_16(a, b) \
    __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) \
    + __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31)
#endif

/* --- load --- A vector; those of arrays lie aligned, those of the inputs where the caller has them. */
INLINE vector load(const real *values)
{
    return *(const unaligned *) values;
}

/* --- keep --- Stores a vector of a result, or (more) adds so many times of it to what is there; then multiplies it with a
   factor, if there is one. */
INLINE void keep(vector s, real *out, size_t position, const real *factor, int more, real so_many)
{
    if (more)
        s = load(out + position) + so_many*s;
    if (factor)
        s *= load(factor + position);
    *(unaligned *) (out + position) = s;
}

/* --- keep_first --- The same for so many lanes, at the end of a row without padding: what lies behind them, which may be behind the
   array as well, is written as it is. */
INLINE void keep_first(vector s, size_t lanes, real *out, int more, real so_many)
{
    const vector there = load(out);
    if (more)
        s = there + so_many*s;
    words first;
    for (size_t lane = 0; lane < LANES; lane++)
        first[lane] = lane < lanes ? ~(word) 0 : 0;
    *(unaligned *) out = (vector) (((words) s & first) | ((words) there & ~first));
}

/* --- sum_of_lanes --- The sum of the lanes of a vector. Its halves are added as vectors: to take lanes out takes longer than to add them. */
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

/* --- add_fours --- The sums of four times four values. */
INLINE void add_fours(const four *a, four *sums)
{
#if SHUFFLES
    const four b0 = NEIGHBOURS_4(a[0], a[1]), b1 = NEIGHBOURS_4(a[2], a[3]);
    *sums = NEIGHBOURS_4(b0, b1);
#else
    for (size_t k = 0; k < 4; k++)
        (*sums)[k] = (a[k][0] + a[k][1]) + (a[k][2] + a[k][3]);
#endif
}

/* --- sums_of_four --- The sums of the lanes of four vectors. */
INLINE void sums_of_four(const vector *s, four *sums)
{
#if SHUFFLES
    if (LANES == 16) {
        const unaligned_sixteen *const a = (const unaligned_sixteen *) s;
        const sixteen b0 = NEIGHBOURS_16(a[0], a[1]), b1 = NEIGHBOURS_16(a[2], a[3]), c = NEIGHBOURS_16(b0, b1);
        const eight d = ((const unaligned_eight *) &c)[0] + ((const unaligned_eight *) &c)[1];
        *sums = ((const unaligned_four *) &d)[0] + ((const unaligned_four *) &d)[1];
        return;
    }
    if (LANES == 8) {
        const unaligned_eight *const a = (const unaligned_eight *) s;
        const eight b0 = NEIGHBOURS_8(a[0], a[1]), b1 = NEIGHBOURS_8(a[2], a[3]), c = NEIGHBOURS_8(b0, b1);
        *sums = ((const unaligned_four *) &c)[0] + ((const unaligned_four *) &c)[1];
        return;
    }
    if (LANES == 4) {
        const unaligned_four *const a = (const unaligned_four *) s;
        add_fours((const four [4]) {a[0], a[1], a[2], a[3]}, sums);
        return;
    }
#endif
    for (size_t k = 0; k < 4; k++)
        (*sums)[k] = sum_of_lanes(s[k]);
}

/* --- add_four --- Adds four vectors to the partial sums of so many weights, as far as there are as many. Where they come from all
   samples (alone), or (DIRECT) at once, their lanes are added up, to the one sum of each weight. */
INLINE void add_four(const vector *s, size_t left, size_t weight, real *restrict partials, double *restrict sums, int alone)
{
    if (DIRECT || alone) {
        four totals;
        double *const to = sums + weight, *const last = to + left;
        sums_of_four(s, &totals);
        if (alone && left >= 4) {
            for (size_t k = 0; k < 4; k++)
                to[k] = (double) totals[k];
            return;
        }
        to[0] = (alone ? 0 : to[0]) + (double) totals[0];
        if (to + 1 < last)
            to[1] = (alone ? 0 : to[1]) + (double) totals[1];
        if (to + 2 < last)
            to[2] = (alone ? 0 : to[2]) + (double) totals[2];
        if (to + 3 < last)
            to[3] = (alone ? 0 : to[3]) + (double) totals[3];
        return;
    }
    vector *const to = (vector *) partials + weight;
    to[0] += s[0];
    if (left > 1)
        to[1] += s[1];
    if (left > 2)
        to[2] += s[2];
    if (left > 3)
        to[3] += s[3];
}

@BODIES@/* --- turn_square --- to[r][c] = from[r + c*column] for four rows and four columns. */
INLINE void turn_square(const real *restrict from, size_t column, real *restrict to, size_t row)
{
#if SHUFFLES
    four a[4];
    for (size_t c = 0; c < 4; c++)
        a[c] = *(const unaligned_four *) (from + c*column);
    const four b0 = __builtin_shufflevector(a[0], a[1], 0, 4, 1, 5),
        b1 = __builtin_shufflevector(a[0], a[1], 2, 6, 3, 7),
        b2 = __builtin_shufflevector(a[2], a[3], 0, 4, 1, 5),
        b3 = __builtin_shufflevector(a[2], a[3], 2, 6, 3, 7);
    *(unaligned_four *) to = __builtin_shufflevector(b0, b2, 0, 1, 4, 5);
    *(unaligned_four *) (to + row) = __builtin_shufflevector(b0, b2, 2, 3, 6, 7);
    *(unaligned_four *) (to + 2*row) = __builtin_shufflevector(b1, b3, 0, 1, 4, 5);
    *(unaligned_four *) (to + 3*row) = __builtin_shufflevector(b1, b3, 2, 3, 6, 7);
#else
    for (size_t r = 0; r < 4; r++)
        for (size_t c = 0; c < 4; c++)
            to[r*row + c] = from[r + c*column];
#endif
}

/* --- turn_squares --- The same for eight columns, where a vector holds as many: two squares at once. */
INLINE void turn_squares(const real *restrict from, size_t column, real *restrict to, size_t row)
{
#if SHUFFLES
    eight a[4];
    for (size_t c = 0; c < 4; c++) {
        const four first = *(const unaligned_four *) (from + c*column);
        const four second = *(const unaligned_four *) (from + (c + 4)*column);
        a[c] = __builtin_shufflevector(first, second, 0, 1, 2, 3, 4, 5, 6, 7);
    }
    const eight b0 = __builtin_shufflevector(a[0], a[1], 0, 8, 1, 9, 4, 12, 5, 13),
        b1 = __builtin_shufflevector(a[0], a[1], 2, 10, 3, 11, 6, 14, 7, 15),
        b2 = __builtin_shufflevector(a[2], a[3], 0, 8, 1, 9, 4, 12, 5, 13),
        b3 = __builtin_shufflevector(a[2], a[3], 2, 10, 3, 11, 6, 14, 7, 15);
    *(unaligned_eight *) to = __builtin_shufflevector(b0, b2, 0, 1, 8, 9, 4, 5, 12, 13);
    *(unaligned_eight *) (to + row) = __builtin_shufflevector(b0, b2, 2, 3, 10, 11, 6, 7, 14, 15);
    *(unaligned_eight *) (to + 2*row) = __builtin_shufflevector(b1, b3, 0, 1, 8, 9, 4, 5, 12, 13);
    *(unaligned_eight *) (to + 3*row) = __builtin_shufflevector(b1, b3, 2, 3, 10, 11, 6, 7, 14, 15);
#else
    turn_square(from, column, to, row);
    turn_square(from + 4*column, column, to + 4, row);
#endif
}

/* --- pad_row --- Pads a row (to so many) with its last value: a single value in vectors, as it is read again. */
INLINE void pad_row(real *row, size_t columns, size_t padded)
{
    const real last = row[columns - 1];
    if (columns == 1 && padded > 1) {
        for (size_t c = 0; c < padded; c += LANES)
            *(unaligned *) (row + c) = last - (vector) {0};
        return;
    }
    for (size_t c = columns; c < padded; c++)
        row[c] = last;
}

/* --- pad_rows --- Pads rows to whole vectors. */
INLINE void pad_rows(size_t rows, size_t lanes, real *out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++)
        pad_row(out + r*out_row, lanes, (lanes + LANES - 1)/LANES*LANES);
}

/* --- turn --- out[r][c] = a[r + c*a_column], in rows that are padded (to so many) with their last value: in squares of four by four. Where fewer
   than four rows or columns are left, those before them are turned again; if there are none, value by value. */
static HOT void turn(size_t rows, size_t columns, const real *restrict a, size_t a_column, real *restrict out,
    size_t out_row, size_t padded)
{
    const int two = VECTOR_BYTES >= 8*sizeof(real);
    const size_t squares = rows >= 4 && columns >= 4 ? rows : 0, single = squares ? 0 : rows;
    for (size_t band = 0; band < squares; band += 4) {
        const size_t r = band + 4 <= rows ? band : rows - 4;
        size_t c = 0;
        for (; two && c + 8 <= columns; c += 8)
            turn_squares(a + r + c*a_column, a_column, out + r*out_row + c, out_row);
        for (; c < columns; c += 4) {
            const size_t first = c + 4 <= columns ? c : columns - 4;
            turn_square(a + r + first*a_column, a_column, out + r*out_row + first, out_row);
        }
    }
    for (size_t r = 0; r < single; r++)
        for (size_t c = 0; c < columns; c++)
            out[r*out_row + c] = a[r + c*a_column];
    for (size_t r = 0; r < rows; r++)
        pad_row(out + r*out_row, columns, padded);
}

/* --- row_product --- out[j*step] = sum(i) a[j*row + i]*x[i]: for four rows at once, in vectors along i, and in fours where a vector is
   longer than what is left. Where there are fewer than four rows left, the last is computed again. */
static HOT void row_product(size_t rows, size_t inner, const real *restrict a, size_t row, const real *restrict x,
    real *restrict out, size_t step)
{
    const size_t whole = LANES >= 4 ? inner/LANES*LANES : 0, fours = inner/4*4;
    for (size_t j = 0; j < rows; j += 4) {
        const size_t last = rows - j - 1, j1 = last < 1 ? last : 1, j2 = last < 2 ? last : 2, j3 = last < 3 ? last : 3;
        const real *const a0 = a + j*row, *const a1 = a0 + j1*row, *const a2 = a0 + j2*row, *const a3 = a0 + j3*row;
        four sums = {0};
        if (whole > 0) {
            vector s[4] = {{0}};
            for (size_t i = 0; i < whole; i += LANES) {
                const vector values = load(x + i);
                s[0] += load(a0 + i)*values;
                s[1] += load(a1 + i)*values;
                s[2] += load(a2 + i)*values;
                s[3] += load(a3 + i)*values;
            }
            sums_of_four(s, &sums);
        }
        if (whole < fours) {
            four f[4] = {{0}}, rest;
            for (size_t i = whole; i < fours; i += 4) {
                const four values = *(const unaligned_four *) (x + i);
                f[0] += *(const unaligned_four *) (a0 + i)*values;
                f[1] += *(const unaligned_four *) (a1 + i)*values;
                f[2] += *(const unaligned_four *) (a2 + i)*values;
                f[3] += *(const unaligned_four *) (a3 + i)*values;
            }
            add_fours(f, &rest);
            sums += rest;
        }
        for (size_t i = fours; i < inner; i++)
            sums += (four) {a0[i], a1[i], a2[i], a3[i]}*x[i];
        if (step == 1 && last >= 3) {
            *(unaligned_four *) (out + j) = sums;
        } else {
            out[(j + j3)*step] = sums[3];
            out[(j + j2)*step] = sums[2];
            out[(j + j1)*step] = sums[1];
            out[j*step] = sums[0];
        }
    }
}

/* --- row_times --- out[l] = sum(k) a[k]*b[k*b_row + l], in whole vectors. */
static HOT void row_times(size_t lanes, size_t inner, const real *restrict a, const real *restrict b, size_t b_row,
    real *restrict out)
{
    for (size_t l = 0; l < lanes;) {
        const size_t vectors = (lanes - l + LANES - 1)/LANES;
        if (vectors >= 4)
            row_times_4(inner, a, b + l, b_row, out + l);
        else if (vectors >= 2)
            row_times_2(inner, a, b + l, b_row, out + l);
        else
            row_times_1(inner, a, b + l, b_row, out + l);
        l += (vectors >= 4 ? 4 : vectors >= 2 ? 2 : 1)*LANES;
    }
}

/* --- row_sum --- The sum of so many values, side by side. */
INLINE real row_sum(size_t count, const real *restrict values)
{
    const size_t whole = count/LANES*LANES, fours = count/4*4;
    vector s = {0};
    four f = {0};
    for (size_t k = 0; k < whole; k += LANES)
        s += load(values + k);
    for (size_t k = whole; k < fours; k += 4)
        f += *(const unaligned_four *) (values + k);
    real total = whole > 0 ? sum_of_lanes(s) : 0;
    if (whole < fours)
        total += (f[0] + f[1]) + (f[2] + f[3]);
    for (size_t k = whole < fours ? fours : whole; k < count; k++)
        total += values[k];
    return total;
}

/* --- row_largest --- The largest of so many values, side by side; some are compared twice, where they are no multiple of four. */
INLINE real row_largest(size_t count, const real *restrict values)
{
    real f[4] = {-HUGE_VAL, -HUGE_VAL, -HUGE_VAL, -HUGE_VAL};
    for (size_t k = 0; k < count && count < 4; k++)
        f[0] = f[0] > values[k] ? f[0] : values[k];
    for (size_t k = 0; k < count && count >= 4; k += 4) {
        const real *const next = values + (k + 4 <= count ? k : count - 4);
        for (size_t l = 0; l < 4; l++)
            f[l] = f[l] > next[l] ? f[l] : next[l];
    }
    f[0] = f[0] > f[1] ? f[0] : f[1];
    f[2] = f[2] > f[3] ? f[2] : f[3];
    return f[0] > f[2] ? f[0] : f[2];
}

/* --- row_products --- out[r][l] = sum(k) a[r][k]*b[l][k], row by row, and the last of each again for what pads a vector. */
static HOT void row_products(size_t rows, size_t lanes, size_t inner, const real *restrict a, size_t a_row,
    const real *restrict b, size_t b_row, real *restrict out, size_t out_row)
{
    for (size_t r = 0; r < rows; r++)
        row_product(lanes, inner, b, b_row, a + r*a_row, out + r*out_row, 1);
    pad_rows(rows, lanes, out, out_row);
}

/* --- column_products --- The same column by column: out[r][l] = sum(k) a[r][k]*b[l][k]. */
static HOT void column_products(size_t rows, size_t lanes, size_t inner, const real *restrict a, size_t a_row,
    const real *restrict b, size_t b_lane, real *restrict out, size_t out_row)
{
    for (size_t l = 0; l < lanes; l++)
        row_product(rows, inner, a, a_row, b + l*b_lane, out + l, out_row);
    pad_rows(rows, lanes, out, out_row);
}

/* --- contract --- out[r][l] = sum(k) a[r*a_row + k*a_inner]*b[k*b_inner + l*b_lane], or (more) so many times of it more; then
   times factor[r][l], if there is one: in blocks whose results stay in registers. The lanes l of out are padded to whole
   vectors, and those of b as well unless it lies turned (b_inner is 1 then). Sums that are long are cut into parts, for
   which two vectors of b lie together in the first-level cache; so do those that would be read across the borders of its
   lines, block after block. */
static HOT void contract(size_t rows, size_t lanes, size_t inner, const real *restrict a, size_t a_row, size_t a_inner,
    const real *restrict b, size_t b_inner, size_t b_lane, real *restrict out, size_t out_row,
    const real *restrict factor, real more)
{
    const real so_many = more != 0 ? more : 1;
    vector panel[2*PANEL];
    const size_t parts = (inner + PANEL - 1)/PANEL, part = (inner + parts - 1)/parts;
    const int across = rows > COPY_ROWS && ((uintptr_t) b | b_inner*sizeof(real))%VECTOR_BYTES != 0;
    for (size_t l = 0; l < lanes; l += 2*LANES) {
        const int pair = lanes - l > LANES;
        for (size_t first = 0; first < inner; first += part) {
            const size_t depth = inner - first < part ? inner - first : part;
            const int again = more != 0 || first > 0;
            const real *bl = b + first*b_inner + l*b_lane;
            size_t b_step = b_inner;
            if (b_lane > 1) {
                turn(depth, lanes - l < 2*LANES ? lanes - l : 2*LANES, bl, b_lane, (real *) panel, 2*LANES,
                    2*LANES);
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
            size_t r = 0;
            for (; r + BLOCK_ROWS <= rows; r += BLOCK_ROWS) { /* whole blocks apart, which need not look how many are left */
                const real *const ar = a + r*a_row + first*a_inner;
                real *const to = out + r*out_row + l;
                const real *const times = factor && first + depth == inner ? factor + r*out_row + l : NULL;
                if (BLOCK_ROWS == 8 && pair)
                    block_8x2(8, depth, ar, a_row, a_inner, bl, b_step, to, out_row, times, again, so_many);
                else if (BLOCK_ROWS == 8)
                    block_8x1(8, depth, ar, a_row, a_inner, bl, b_step, to, out_row, times, again, so_many);
                else if (pair)
                    block_4x2(4, depth, ar, a_row, a_inner, bl, b_step, to, out_row, times, again, so_many);
                else
                    block_4x1(4, depth, ar, a_row, a_inner, bl, b_step, to, out_row, times, again, so_many);
            }
            if (r < rows) {
                const size_t left = rows - r;
                const real *const ar = a + r*a_row + first*a_inner;
                real *const to = out + r*out_row + l;
                const real *const times = factor && first + depth == inner ? factor + r*out_row + l : NULL;
                if (left > 4 && pair)
                    block_8x2(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, times, again, so_many);
                else if (left > 4)
                    block_8x1(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, times, again, so_many);
                else if (left > 2 && pair)
                    block_4x2(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, times, again, so_many);
                else if (left > 2)
                    block_4x1(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, times, again, so_many);
                else if (pair)
                    block_2x2(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, times, again, so_many);
                else
                    block_2x1(left, depth, ar, a_row, a_inner, bl, b_step, to, out_row, times, again, so_many);
            }
        }
    }
}

/* --- contract_ends --- The same for the lanes behind the last whole vector of rows without padding. */
static HOT void contract_ends(size_t rows, size_t lanes, size_t inner, const real *restrict a, size_t a_row,
    size_t a_inner, const real *restrict b, size_t b_inner, real *restrict out, size_t out_row, real more)
{
    const real so_many = more != 0 ? more : 1;
    const size_t rest = lanes%LANES;
    vector ends[BLOCK_ROWS];
    b += lanes - rest;
    out += lanes - rest;
    for (size_t r = 0; rest && r < rows; r += BLOCK_ROWS) {
        const size_t left = rows - r < BLOCK_ROWS ? rows - r : BLOCK_ROWS;
        const real *const ar = a + r*a_row;
        if (left > 4)
            block_8x1(left, inner, ar, a_row, a_inner, b, b_inner, (real *) ends, LANES, NULL, 0, 1);
        else if (left > 2)
            block_4x1(left, inner, ar, a_row, a_inner, b, b_inner, (real *) ends, LANES, NULL, 0, 1);
        else
            block_2x1(left, inner, ar, a_row, a_inner, b, b_inner, (real *) ends, LANES, NULL, 0, 1);
        for (size_t k = 0; k < left; k++)
            keep_first(ends[k], rest, out + (r + k)*out_row, more != 0, so_many);
    }
}

/* --- pack --- out[r][c] = a[r*a_row + c*a_column], in rows that are padded (to so many) with their last value. */
static HOT void pack(size_t rows, size_t columns, const real *restrict a, size_t a_row, size_t a_column,
    real *restrict out, size_t out_row, size_t padded)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++)
            out[r*out_row + c] = a[r*a_row + c*a_column];
        pad_row(out + r*out_row, columns, padded);
    }
}

/* --- add_rows --- out[l] = sum(n) d[n][l] over a tile of samples n, or (more) so many times of it more. */
static HOT void add_rows(size_t lanes, const real *restrict d, size_t row, real *restrict out, size_t count, real more)
{
    const real so_many = more != 0 ? more : 1;
    for (size_t l = 0; l < lanes; l += LANES) {
        vector s0 = {0}, s1 = {0};
        size_t n = 0;
        for (; n + 2 <= count; n += 2) {
            s0 += load(d + n*row + l);
            s1 += load(d + (n + 1)*row + l);
        }
        if (n < count)
            s0 += load(d + n*row + l);
        s0 += s1;
        if (lanes - l < LANES)
            keep_first(s0, lanes - l, out + l, more != 0, so_many);
        else
            keep(s0, out, l, NULL, more != 0, so_many);
    }
}

/* --- repeat_last --- The values of the last of so many samples again for those that pad them, where vectors of samples read
   these. */
static void repeat_last(real *a, size_t features, size_t a_sample, size_t a_feature, size_t count, size_t padded)
{
    for (size_t n = count; n < padded; n++)
        for (size_t k = 0; k < features; k++)
            a[n*a_sample + k*a_feature] = a[(count - 1)*a_sample + k*a_feature];
}

/* --- zeros_behind --- The same with zeros. */
static void zeros_behind(real *a, size_t features, size_t a_sample, size_t a_feature, size_t count, size_t padded)
{
    for (size_t n = count; n < padded; n++)
        for (size_t k = 0; k < features; k++)
            a[n*a_sample + k*a_feature] = 0;
}

/* --- accumulate --- Adds sum(n) d[j][n]*x[i][n] over a tile of samples n to the sum of each weight [j][i]; where there are no others
   (alone), it is that sum. */
static HOT void accumulate(size_t rows, size_t columns, const real *restrict d, const real *restrict x,
    real *restrict partials, double *restrict sums, size_t padded, int alone)
{
    for (size_t j = 0; j < rows; j += ACROSS_ROWS) {
        for (size_t i = 0; i < columns; i += 4) {
            const real *const dj = d + j*TILE, *const xi = x + i*TILE;
            if (ACROSS_ROWS == 4)
                across_4x4(rows - j, columns - i, dj, xi, padded, j*columns + i, columns, partials, sums, alone);
            else
                across_2x4(rows - j, columns - i, dj, xi, padded, j*columns + i, columns, partials, sums, alone);
        }
    }
}

/* --- add_up --- Adds sum(n) d[j][n] over a tile of samples n to the sum of each weight [j]; where there are no others (alone), it is that
   sum. */
static HOT void add_up(size_t rows, const real *restrict d, real *restrict partials, double *restrict sums, size_t padded,
    int alone)
{
    for (size_t j = 0; j < rows; j += 4) {
        const size_t last = rows - j - 1, j1 = last < 1 ? last : 1, j2 = last < 2 ? last : 2, j3 = last < 3 ? last : 3;
        const real *const d0 = d + j*TILE, *const d1 = d0 + j1*TILE, *const d2 = d0 + j2*TILE, *const d3 = d0 + j3*TILE;
        vector s[4] = {{0}};
        for (size_t n = 0; n < padded; n += LANES) {
            s[0] += load(d0 + n);
            s[1] += load(d1 + n);
            s[2] += load(d2 + n);
            s[3] += load(d3 + n);
        }
        add_four(s, last + 1, j, partials, sums, alone);
    }
}

/* --- flush --- Moves the partial sums of the lanes to the sums of a chunk. */
static HOT void flush(real *restrict partials, double *restrict sums)
{
    const size_t across = PARTIALS/LANES;
    for (size_t k = 0; k < across; k += 4) {
        four totals;
        sums_of_four((const vector *) partials + k, &totals);
        for (size_t l = 0; l < 4 && k + l < across; l++)
            sums[k + l] = (double) totals[l];
    }
    for (size_t k = 0; k < across; k++)
        ((vector *) partials)[k] = (vector) {0};
}
