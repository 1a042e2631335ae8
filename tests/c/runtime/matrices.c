/* Products of whole matrices are what plain loops compute, for sizes around whole blocks and vectors, with rows that
   follow each other without padding, and leave alone what lies between and behind their results. Terms outside of a
   triangle do not exist, whatever the other factor holds there. */

#include "check.h"

#include "nncodegen/products/matrices.h"

static const size_t row_counts[] = {1, 2, 5, 8, 9, 33, 70};
static const size_t column_counts[] = {1, 4, LANES, LANES + 1, 2*LANES + 3};
static const size_t depths[] = {1, 3, 8, 35, 300};
static const size_t triangle_depths[] = {0, 1, 3, 35}; /* 0: as many as rows, otherwise also fewer or more */

enum { WHOLE, BELOW, ABOVE };

/* Returns whether a term exists. */
static int exists(int which, size_t r, size_t k)
{
    return which == WHOLE || (which == BELOW ? k <= r : k >= r);
}

/* One product; a is 0 outside of its triangle. b holds NaN from row bad on, or before it, if it is within b. */
static void multiply_once(int which, size_t rows, size_t columns, size_t inner, int by_terms, int b_turned, real more,
    size_t bad)
{
    begin_case("product %d of %zux%zux%zu, by terms %d, turned %d, more %g, NaN at %zu", which, rows, columns, inner,
        by_terms, b_turned, (double) more, bad);
    const size_t a_row = by_terms ? 1 : inner, a_inner = by_terms ? rows : 1, out_row = columns + 2;
    const size_t b_inner = b_turned ? 1 : columns, b_column = b_turned ? inner : 1;
    real *const a = numbers(rows*inner), *const b = numbers(inner*columns + LANES);
    real *const out = numbers(rows*out_row + LANES);
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < inner; k++)
            if (!exists(which, r, k))
                a[r*a_row + k*a_inner] = 0;
    for (size_t c = 0; bad < inner && c < columns; c++)
        b[bad*b_inner + c*b_column] = (real) NAN;
    const real *const before = copy_of(out, rows*out_row + LANES);
    if (which == WHOLE)
        multiply_matrices(rows, columns, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row, more);
    else if (which == BELOW)
        multiply_below(rows, columns, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row, more);
    else
        multiply_above(rows, columns, inner, a, a_row, a_inner, b, b_inner, b_column, out, out_row, more);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            real sum = 0;
            for (size_t k = 0; k < inner; k++)
                if (exists(which, r, k))
                    sum += a[r*a_row + k*a_inner]*b[k*b_inner + c*b_column];
            if (more != 0)
                sum = before[r*out_row + c] + more*sum;
            CHECK(out[r*out_row + c] == sum || (sum != sum && out[r*out_row + c] != out[r*out_row + c]));
        }
        for (size_t c = columns; c < out_row; c++)
            CHECK(out[r*out_row + c] == before[r*out_row + c]);
    }
    end_case();
}

/* The rows of a triangle from first on, or the terms from first on, which are added to what the terms before gave. */
static void multiply_parts_once(size_t rows, size_t columns, size_t length, int b_turned, size_t bad)
{
    begin_case("triangles of %zux%zu in parts of %zu, turned %d, NaN at %zu", rows, columns, length, b_turned, bad);
    const size_t out_row = columns + 2, b_inner = b_turned ? 1 : columns, b_column = b_turned ? rows : 1;
    for (int which = BELOW; which <= ABOVE; which++) {
        real *const a = numbers(rows*rows), *const b = numbers(rows*columns + LANES);
        real *const out = numbers(rows*out_row + LANES);
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < rows; k++)
                if (!exists(which, r, k))
                    a[r*rows + k] = 0;
        for (size_t c = 0; bad < rows && c < columns; c++)
            b[bad*b_inner + c*b_column] = (real) NAN;
        for (size_t first = 0; first < rows; first += length) {
            const size_t own = rows - first < length ? rows - first : length;
            if (which == BELOW)
                multiply_below_from(first, own, columns, rows, a + first*rows, rows, 1, b, b_inner, b_column,
                    out + first*out_row, out_row, 0);
            else
                multiply_above_from(first, rows, columns, own, a + first, rows, 1, b + first*b_inner, b_inner,
                    b_column, out, out_row, first > 0 ? 1 : 0);
        }
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) {
                real sum = 0;
                for (size_t k = 0; k < rows; k++)
                    if (exists(which, r, k))
                        sum += a[r*rows + k]*b[k*b_inner + c*b_column];
                CHECK(out[r*out_row + c] == sum || (sum != sum && out[r*out_row + c] != out[r*out_row + c]));
            }
    }
    end_case();
}

/* Terms that a mask tells, in two parts, of which the second is added if add is set. */
static void multiply_where_once(size_t rows, size_t columns, size_t inner, int b_turned, int add, size_t bad)
{
    begin_case("masked %zux%zux%zu, turned %d, added %d, NaN at %zu", rows, columns, inner, b_turned, add, bad);
    const size_t out_row = columns + 2, b_inner = b_turned ? 1 : columns, b_column = b_turned ? inner : 1;
    real *const a = numbers(rows*inner), *const b = numbers(inner*columns + LANES);
    real *const mask = numbers(rows*inner), *const out = numbers(rows*out_row + LANES);
    const real *const before = copy_of(out, rows*out_row);
    for (size_t k = 0; k < rows*inner; k++) {
        mask[k] = k*7%5 < 3;
        if (mask[k] != 1)
            a[k] = 0;
    }
    for (size_t c = 0; bad < inner && c < columns; c++)
        b[bad*b_inner + c*b_column] = (real) NAN;
    multiply_where(mask, inner, 1, rows, columns, inner, a, inner, 1, b, b_inner, b_column, out, out_row, add);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            real sum = add ? before[r*out_row + c] : 0, terms = 0;
            for (size_t k = 0; k < inner; k++)
                if (mask[r*inner + k] == 1)
                    terms += a[r*inner + k]*b[k*b_inner + c*b_column];
            sum += terms;
            CHECK(out[r*out_row + c] == sum || (sum != sum && out[r*out_row + c] != out[r*out_row + c]));
        }
    end_case();
}

static void clear_once(size_t rows, size_t columns)
{
    begin_case("values of %zux%zu set to 0", rows, columns);
    for (int below = 0; below < 2; below++) {
        real *const out = numbers(rows*columns);
        const real *const before = copy_of(out, rows*columns);
        (below ? clear_below : clear_above)(rows, columns, out, columns);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++)
                CHECK(out[r*columns + c] == ((below ? c < r : c > r) ? 0 : before[r*columns + c]));
    }
    real *const out = numbers(rows*columns);
    const real *const before = copy_of(out, rows*columns);
    clear_above_from(3, rows, columns, out, columns);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            CHECK(out[r*columns + c] == (c > r + 3 ? 0 : before[r*columns + c]));
    end_case();
}

int main(void)
{
    EACH(rows, row_counts)
        EACH(columns, column_counts) {
            clear_once(rows, columns);
            for (size_t length = 1; length <= 16; length *= 4)
                for (int turned = 0; turned < 2; turned++) {
                    multiply_parts_once(rows, columns, length, turned, rows);
                    multiply_parts_once(rows, columns, length, turned, rows/2);
                }
            EACH(inner, depths)
                for (int layout = 0; layout < 4; layout++) {
                    multiply_where_once(rows, columns, inner, layout & 1, layout >> 1, inner);
                    multiply_where_once(rows, columns, inner, layout & 1, layout >> 1, inner/2);
                    multiply_once(WHOLE, rows, columns, inner, layout & 1, layout >> 1, 0, inner);
                    multiply_once(WHOLE, rows, columns, inner, layout & 1, layout >> 1, 1, inner);
                }
            EACH(inner, triangle_depths)
                for (int layout = 0; layout < 4; layout++)
                    for (int which = BELOW; which <= ABOVE; which++) {
                        const size_t terms = inner ? inner : rows;
                        multiply_once(which, rows, columns, terms, layout & 1, layout >> 1, 0, terms);
                        multiply_once(which, rows, columns, terms, layout & 1, layout >> 1, 0, terms/2);
                        multiply_once(which, rows, columns, terms, layout & 1, layout >> 1, (real) -0.5, terms);
                    }
        }
    return 0;
}
