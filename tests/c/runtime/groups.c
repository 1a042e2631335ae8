/* The products and sums of a group of models side by side are, for each model, what plain loops compute. */

#include "check.h"

#include "nncodegen/products/group_products.h"

static const size_t row_counts[] = {1, 2, 3, 4, 5, 8, 9};
static const size_t column_counts[] = {1, 2, 3, 4, 6, 7};
static const size_t depths[] = {1, 2, 5};

/* One product, whose matrices lie by rows or turned; values that belong together are MODELS, one after the other. */
static void multiply_once(size_t rows, size_t columns, size_t inner, int turned, int more, int times)
{
    begin_case("group_product %zux%zux%zu, turned %d, more %d, factor %d", rows, columns, inner, turned, more, times);
    const size_t a_row = turned ? 1 : inner, a_inner = turned ? rows : 1;
    const size_t b_inner = turned ? 1 : columns, b_column = turned ? inner : 1;
    const size_t out_row = turned ? 1 : columns, out_column = turned ? rows : 1;
    const real *const a = numbers(rows*inner*MODELS), *const b = numbers(inner*columns*MODELS);
    const real *const factor = times ? numbers(rows*columns*MODELS) : NULL;
    real *const out = numbers(rows*columns*MODELS);
    const real *const before = copy_of(out, rows*columns*MODELS);
    group_product(rows, columns, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row, out_column, factor,
        more);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            for (size_t m = 0; m < MODELS; m++) {
                const size_t position = (r*out_row + c*out_column)*MODELS + m;
                real sum = more ? before[position] : 0;
                for (size_t k = 0; k < inner; k++)
                    sum += a[(r*a_row + k*a_inner)*MODELS + m]*b[(k*b_inner + c*b_column)*MODELS + m];
                CHECK(out[position] == (times ? sum*factor[position] : sum));
            }
        }
    }
    end_case();
}

static void sum_once(size_t rows, size_t samples, int more)
{
    begin_case("group_sum of %zu rows of %zu, more %d", rows, samples, more);
    const real *const a = numbers(rows*samples*MODELS);
    real *const out = numbers(rows*MODELS);
    const real *const before = copy_of(out, rows*MODELS);
    group_sum(rows, samples, a, samples, 1, out, more);
    for (size_t r = 0; r < rows; r++) {
        for (size_t m = 0; m < MODELS; m++) {
            real sum = more ? before[r*MODELS + m] : 0;
            for (size_t n = 0; n < samples; n++)
                sum += a[(r*samples + n)*MODELS + m];
            CHECK(out[r*MODELS + m] == sum);
        }
    }
    end_case();
}

/* Rows that lie anywhere, each read to its end alone. */
static void gather_once(size_t width)
{
    begin_case("side_by_side, width %zu", width);
    const real *const all = numbers(MODELS*(width + 1) - 1), *rows[MODELS];
    real *const to = array(width*MODELS);
    for (size_t m = 0; m < MODELS; m++)
        rows[m] = all + (MODELS - 1 - m)*(width + 1);
    side_by_side(rows, width, to);
    for (size_t m = 0; m < MODELS; m++)
        for (size_t c = 0; c < width; c++)
            CHECK(to[c*MODELS + m] == rows[m][c]);
    end_case();
}

int main(void)
{
    EACH(rows, row_counts) {
        EACH(columns, column_counts)
            EACH(inner, depths)
                for (int choice = 0; choice < 8; choice++)
                    multiply_once(rows, columns, inner, choice & 1, choice >> 1 & 1, choice >> 2);
        EACH(samples, column_counts) {
            sum_once(rows, samples, 0);
            sum_once(rows, samples, 1);
        }
    }
    for (size_t width = 1; width < 70; width++)
        gather_once(width);
    return 0;
}
