@BODIES@/* --- group_product --- out[r][c] = sum(k) a[r][k]*b[k][c] for each model, or (more) so much more; then times factor[r][c], if there is one.
   Blocks of four by four use what they load four times; of one or two columns, or rows, eight are computed at once. */
static HOT void group_product(size_t rows, size_t columns, size_t inner, const real *a, size_t a_row, size_t a_inner,
    const real *b, size_t b_inner, size_t b_column, real *out, size_t out_row, size_t out_column, const real *factor,
    int more)
{
    if (rows <= 2 && columns > rows) {
        group_product(columns, rows, inner, b, b_column, b_inner, a, a_inner, a_row, out, out_column, out_row, factor,
            more);
        return;
    }
    for (size_t lane = 0; lane < MODELS; lane += LANES) {
        size_t c = 0;
        for (; columns - c > 2 && c < columns; c += 4) {
            for (size_t r = 0; r < rows; r += (BLOCK_ROWS == 8 ? 4 : 2)) {
                const size_t position = (r*out_row + c*out_column)*MODELS + lane;
                const real *const ar = a + r*a_row*MODELS + lane, *const bc = b + c*b_column*MODELS + lane;
                if (BLOCK_ROWS == 8)
                    group_4x4(rows - r, columns - c, inner, ar, a_row*MODELS, a_inner*MODELS, bc, b_inner*MODELS,
                        b_column*MODELS, out + position, out_row*MODELS, out_column*MODELS,
                        factor ? factor + position : NULL, more);
                else
                    group_2x4(rows - r, columns - c, inner, ar, a_row*MODELS, a_inner*MODELS, bc, b_inner*MODELS,
                        b_column*MODELS, out + position, out_row*MODELS, out_column*MODELS,
                        factor ? factor + position : NULL, more);
            }
        }
        for (; c < columns; c++) {
            for (size_t r = 0; r < rows; r += 8) {
                const size_t position = (r*out_row + c*out_column)*MODELS + lane;
                group_8x1(rows - r, inner, a + r*a_row*MODELS + lane, a_row*MODELS, a_inner*MODELS,
                    b + c*b_column*MODELS + lane, b_inner*MODELS, out + position, out_row*MODELS,
                    factor ? factor + position : NULL, more);
            }
        }
    }
}

/* --- group_sum --- out[r] = sum(n) a[r][n] for each model, or (more) so much more. */
static HOT void group_sum(size_t rows, size_t samples, const real *restrict a, size_t a_row, size_t a_sample,
    real *restrict out, int more)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t lane = 0; lane < MODELS; lane += LANES) {
            vector s = {0};
            for (size_t n = 0; n < samples; n++)
                s += load(a + (r*a_row + n*a_sample)*MODELS + lane);
            keep(s, out, r*MODELS + lane, NULL, more, 1);
        }
    }
}

/* --- side_by_side --- A row of each model, side by side: turned over in squares, for which parts of the rows are copied to follow each
   other. */
INLINE void side_by_side(const real *const *rows, size_t width, real *restrict to)
{
    enum { PART = 32 };
    real copied[MODELS*PART];
    for (size_t first = 0; first < width; first += PART) {
        const size_t count = width - first < PART ? width - first : PART;
        for (size_t m = 0; m < MODELS; m++)
            for (size_t c = 0; c < count; c++)
                copied[m*count + c] = rows[m][first + c];
        turn(count, MODELS, copied, count, to + first*MODELS, MODELS, MODELS);
    }
}

