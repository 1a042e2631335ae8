/* Sums of products by lists of places are what plain loops compute, for numbers of rows, terms and columns around whole
   blocks, and leave alone what no list names. */

#include "check.h"

#include "nncodegen/products/windows.h"

static const size_t counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 13};
static const size_t depths[] = {1, 2, 5, 25};

enum { MOST = 32, APART = 3 };

/* Places that follow each other at distances, the last one first. */
static void fill_places(offset_pair *places, size_t count, ptrdiff_t first, ptrdiff_t second)
{
    for (size_t k = 0; k < count; k++)
        places[k] = (offset_pair) {(ptrdiff_t) (count - 1 - k)*first, (ptrdiff_t) (count - 1 - k)*second};
}

static void products_once(size_t row_count, size_t term_count, size_t vectors, int add)
{
    begin_case("products of %zu rows, %zu terms, %zu vectors, add %d", row_count, term_count, vectors, add);
    const size_t columns = vectors*LANES, width = columns + APART;
    offset_pair rows[MOST], terms[MOST];
    fill_places(rows, row_count, (ptrdiff_t) term_count + 1, (ptrdiff_t) width);
    fill_places(terms, term_count, 1, (ptrdiff_t) width);
    const real *const a = numbers(row_count*(term_count + 1)), *const b = numbers(term_count*width);
    real *const out = numbers(row_count*width);
    const real *const before = copy_of(out, row_count*width);
    place_products(rows, row_count, terms, term_count, a, b, out, columns, add);
    for (size_t r = 0; r < row_count; r++)
        for (size_t c = 0; c < width; c++) {
            real sum = 0;
            for (size_t k = 0; k < term_count; k++)
                sum += a[r*(term_count + 1) + k]*b[k*width + c];
            const real old = before[r*width + c];
            CHECK(out[r*width + c] == (c < columns ? (add ? old : 0) + sum : old));
        }
    end_case();
}

static void sums_once(size_t row_count, size_t column_count, size_t term_count, size_t vectors)
{
    begin_case("sums of %zu rows, %zu columns, %zu terms, %zu vectors", row_count, column_count, term_count, vectors);
    const size_t padded = vectors*LANES;
    offset_pair rows[MOST], columns[MOST], terms[MOST];
    fill_places(rows, row_count, (ptrdiff_t) (term_count*padded), (ptrdiff_t) column_count);
    fill_places(columns, column_count, (ptrdiff_t) padded, 1);
    fill_places(terms, term_count, (ptrdiff_t) padded, (ptrdiff_t) padded);
    const real *const a = numbers(row_count*term_count*padded);
    const real *const b = numbers((column_count + term_count)*padded);
    double sums[MOST*MOST];
    for (size_t k = 0; k < MOST*MOST; k++)
        sums[k] = (double) k;
    place_sums(rows, row_count, terms, term_count, columns, column_count, a, b, sums, padded);
    for (size_t r = 0; r < row_count; r++)
        for (size_t c = 0; c < column_count; c++) {
            double sum = (double) (r*column_count + c);
            for (size_t k = 0; k < term_count; k++)
                for (size_t n = 0; n < padded; n++)
                    sum += (double) (a[(r*term_count + k)*padded + n]*b[(c + k)*padded + n]);
            CHECK(sums[r*column_count + c] == sum);
        }
    for (size_t k = row_count*column_count; k < MOST*MOST; k++)
        CHECK(sums[k] == (double) k);
    double totals[MOST*MOST];
    memcpy(totals, sums, sizeof totals);
    place_totals(rows, row_count, terms, term_count, a, sums, padded);
    for (size_t r = 0; r < row_count; r++)
        for (size_t k = 0; k < term_count*padded; k++)
            totals[r*column_count] += (double) a[r*term_count*padded + k];
    for (size_t k = 0; k < MOST*MOST; k++)
        CHECK(sums[k] == totals[k]);
    end_case();
}

int main(void)
{
    for (size_t i = 0; i < sizeof counts/sizeof *counts; i++)
        for (size_t d = 0; d < sizeof depths/sizeof *depths; d++)
            for (size_t vectors = 1; vectors < 4; vectors++) {
                products_once(counts[i], depths[d], vectors, (int) (i + d)%2);
                for (size_t k = 0; k < sizeof counts/sizeof *counts; k++)
                    sums_once(counts[i], counts[k], depths[d], vectors);
            }
    return 0;
}
