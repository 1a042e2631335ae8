/* The products of layers are what plain loops compute, for sizes around whole blocks, vectors and panels, and leave
   alone what lies after their results. */

#include "check.h"

#include "nncodegen/products/blas.h"
#include "nncodegen/products/products.h"
#include "nncodegen/products/rows.h"

#define WHOLE_VECTORS(lanes) (((lanes) + LANES - 1)/LANES*LANES)

static const size_t row_counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 13, 17};
static const size_t lane_counts[] = {1, 3, 4, 8, LANES, LANES + 1, 2*LANES, 2*LANES + 3, 37};
static const size_t depths[] = {1, 2, 3, 4, 7, 33};
static const size_t long_depths[] = {96, 97, 256, 257, 515}; /* around NN_LONG and PANEL */

/* A product, its strides, the factor with which it is added (more), and whether it is multiplied by factors. */
typedef struct {
    size_t rows, lanes, inner;
    const real *a;
    size_t a_row, a_inner;
    const real *b;
    size_t b_inner, b_lane;
    real *out;
    size_t out_row;
    const real *factor;
    real more;
} product_case;

/* The product in plain loops, with the values of out before it. */
static real expected(const product_case *p, const real *before, size_t r, size_t l)
{
    real sum = 0;
    for (size_t k = 0; k < p->inner; k++)
        sum += p->a[r*p->a_row + k*p->a_inner]*p->b[k*p->b_inner + l*p->b_lane];
    if (p->more != 0)
        sum = before[r*p->out_row + l] + p->more*sum;
    return p->factor ? sum*p->factor[r*p->out_row + l] : sum;
}

/* Checks each value of a result, and that nothing from the padded lanes to the next row has changed. */
static void check_product(const product_case *p, const real *before, size_t padded)
{
    for (size_t r = 0; r < p->rows; r++) {
        for (size_t l = 0; l < p->lanes; l++)
            CHECK(p->out[r*p->out_row + l] == expected(p, before, r, l));
        for (size_t l = padded; l < p->out_row; l++)
            CHECK(p->out[r*p->out_row + l] == before[r*p->out_row + l]);
    }
}

/* One contraction, a lying by rows or by terms, b as it is used or turned, aligned or not. */
static void contract_once(size_t rows, size_t lanes, size_t inner, int by_terms, int b_turned, real more, int times)
{
    begin_case("contract %zux%zux%zu, by terms %d, turned %d, more %g, factor %d", rows, lanes, inner, by_terms,
        b_turned, (double) more, times);
    const size_t padded = WHOLE_VECTORS(lanes), offset = (rows + lanes)%2;
    product_case p = {rows, lanes, inner, NULL, by_terms ? 1 : inner + 1, by_terms ? rows + 2 : 1, NULL,
        b_turned ? 1 : padded + offset, b_turned ? inner + 1 + offset : 1, NULL, padded + 1, NULL, more};
    p.a = numbers(by_terms ? (inner - 1)*p.a_inner + rows : (rows - 1)*p.a_row + inner);
    p.b = numbers_at(offset, b_turned ? (lanes - 1)*p.b_lane + inner : (inner - 1)*p.b_inner + padded);
    p.out = numbers((rows - 1)*p.out_row + padded);
    p.factor = times ? numbers((rows - 1)*p.out_row + padded) : NULL;
    const real *const before = copy_of(p.out, (rows - 1)*p.out_row + padded);
    contract(rows, lanes, inner, p.a, p.a_row, p.a_inner, p.b, p.b_inner, p.b_lane, p.out, p.out_row, p.factor, more);
    p.out_row = rows > 1 ? p.out_row : padded;
    for (size_t r = 0; r < rows; r++) {
        for (size_t l = 0; l < lanes; l++)
            CHECK(p.out[r*p.out_row + l] == expected(&p, before, r, l));
        for (size_t l = padded; r + 1 < rows && l < p.out_row; l++)
            CHECK(p.out[r*p.out_row + l] == before[r*p.out_row + l]);
    }
    end_case();
}

static void contract_all(size_t rows, size_t lanes, size_t inner)
{
    for (int layout = 0; layout < 4; layout++) {
        contract_once(rows, lanes, inner, layout & 1, layout >> 1, 0, 0);
        contract_once(rows, lanes, inner, layout & 1, layout >> 1, 1, 1);
        contract_once(rows, lanes, inner, layout & 1, layout >> 1, (real) -0.5, 0);
        contract_once(rows, lanes, inner, layout & 1, layout >> 1, 0, 1);
    }
}

static void test_contractions(void)
{
    EACH(rows, row_counts)
        EACH(lanes, lane_counts) {
            EACH(inner, depths)
                contract_all(rows, lanes, inner);
        }
    EACH(lanes, lane_counts)
        EACH(inner, long_depths)
            contract_all(lanes%2 ? 13 : 3, lanes, inner);
}

/* Rows without padding: whole vectors, and what is left after them. */
static void dense_once(size_t rows, size_t lanes, size_t inner, int b_turned, real more)
{
    begin_case("contract_ends %zux%zux%zu, turned %d, more %g", rows, lanes, inner, b_turned, (double) more);
    const size_t padded = WHOLE_VECTORS(lanes), whole = lanes/LANES*LANES, room = LANES;
    product_case p = {rows, lanes, inner, numbers(rows*inner), inner, 1, numbers((inner - 1)*lanes + padded),
        b_turned ? 1 : lanes, b_turned ? inner : 1, numbers(rows*lanes + room), lanes, NULL, more};
    const real *const before = copy_of(p.out, rows*lanes + room);
    contract(rows, whole, inner, p.a, inner, 1, p.b, p.b_inner, p.b_lane, p.out, lanes, NULL, more);
    contract_ends(rows, lanes, inner, p.a, inner, 1, p.b, p.b_inner, p.b_lane, p.out, lanes, more);
    check_product(&p, before, lanes);
    for (size_t k = rows*lanes; k < rows*lanes + room; k++)
        CHECK(p.out[k] == before[k]);
    end_case();
}

static void test_rows_without_padding(void)
{
    EACH(lanes, lane_counts)
        for (int turned = 0; turned < 2; turned++) {
            EACH(rows, row_counts)
                EACH(inner, depths) {
                    dense_once(rows, lanes, inner, turned, 0);
                    dense_once(rows, lanes, inner, turned, -2);
                }
            EACH(inner, long_depths) {
                dense_once(lanes%2 ? 13 : 1, lanes, inner, turned, 0);
                dense_once(lanes%2 ? 13 : 1, lanes, inner, turned, -2);
            }
        }
}

static void sum_rows_once(size_t lanes, size_t count, real more)
{
    begin_case("add_rows of %zu rows of %zu, more %g", count, lanes, (double) more);
    const size_t padded = WHOLE_VECTORS(lanes), row = padded + 1;
    const real *const d = numbers((count - 1)*row + padded);
    real *const out = numbers(padded);
    const real *const before = copy_of(out, padded);
    add_rows(lanes, d, row, out, count, more);
    for (size_t l = 0; l < padded; l++) {
        real sum = 0;
        for (size_t n = 0; n < count; n++)
            sum += d[n*row + l];
        CHECK(out[l] == (l >= lanes ? before[l] : more != 0 ? before[l] + more*sum : sum));
    }
    end_case();
}

static void test_sums_of_rows(void)
{
    EACH(lanes, lane_counts)
        EACH(count, row_counts) {
            sum_rows_once(lanes, count, 0);
            sum_rows_once(lanes, count, 1);
            sum_rows_once(lanes, count, (real) 0.5);
        }
}

/* Matrices that are turned, or copied, into rows that are padded with their last value. */
static void copy_once(size_t rows, size_t columns, int turns)
{
    begin_case("%s %zux%zu", turns ? "turn" : "pack", rows, columns);
    const size_t padded = WHOLE_VECTORS(columns), out_row = padded + 1;
    const size_t a_row = turns ? 1 : columns + 2, a_column = turns ? rows + 2 : 1;
    const real *const a = numbers((rows - 1)*a_row + (columns - 1)*a_column + 1);
    real *const out = array((rows - 1)*out_row + padded);
    if (turns)
        transpose(rows, columns, a, a_column, out, out_row, padded);
    else
        pack(rows, columns, a, a_row, a_column, out, out_row, padded);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < padded; c++)
            CHECK(out[r*out_row + c] == a[r*a_row + (c < columns ? c : columns - 1)*a_column]);
        CHECK(r + 1 == rows || out[r*out_row + padded] == UNTOUCHED);
    }
    end_case();
}

static void test_copies(void)
{
    EACH(rows, row_counts)
        EACH(columns, lane_counts) {
            copy_once(rows, columns, 0);
            copy_once(rows, columns, 1);
        }
}

/* Products of a matrix and a row: by its rows, the results ``step`` values apart, and by its columns. */
static void row_once(size_t rows, size_t inner, size_t step)
{
    begin_case("row_product %zux%zu, step %zu", rows, inner, step);
    const real *const a = numbers(rows*inner), *const x = numbers(inner);
    real *const out = array((rows - 1)*step + 1);
    row_product(rows, inner, a, inner, x, out, step);
    for (size_t j = 0; j < rows; j++) {
        real sum = 0;
        for (size_t i = 0; i < inner; i++)
            sum += a[j*inner + i]*x[i];
        CHECK(out[j*step] == sum);
        for (size_t between = 1; between < step && j + 1 < rows; between++)
            CHECK(out[j*step + between] == UNTOUCHED);
    }
    end_case();
}

static void row_times_once(size_t lanes, size_t inner)
{
    begin_case("row_times %zux%zu", inner, lanes);
    const size_t padded = WHOLE_VECTORS(lanes), b_row = padded + 1;
    const product_case p = {1, lanes, inner, numbers(inner), 0, 1, numbers((inner - 1)*b_row + padded), b_row, 1,
        array(padded), padded, NULL, 0};
    row_times(lanes, inner, p.a, p.b, b_row, p.out);
    check_product(&p, p.out, padded);
    end_case();
}

/* The products of rows with rows, one row, or one column, at a time; what pads a row repeats its last value. */
static void rows_once(size_t rows, size_t lanes, size_t inner, int by_columns)
{
    begin_case("%s_products %zux%zux%zu", by_columns ? "column" : "row", rows, lanes, inner);
    const size_t padded = WHOLE_VECTORS(lanes);
    const product_case p = {rows, lanes, inner, numbers(rows*inner), inner, 1, numbers(lanes*inner), 1, inner,
        array(rows*padded), padded, NULL, 0};
    (by_columns ? column_products : row_products)(rows, lanes, inner, p.a, inner, p.b, inner, p.out, padded);
    check_product(&p, p.out, padded);
    for (size_t r = 0; r < rows; r++)
        for (size_t l = lanes; l < padded; l++)
            CHECK(p.out[r*padded + l] == p.out[r*padded + lanes - 1]);
    end_case();
}

static void test_single_rows(void)
{
    EACH(rows, row_counts)
        EACH(inner, lane_counts) {
            row_once(rows, inner, 1);
            row_once(rows, inner, 3);
            row_times_once(5*inner, rows);
            rows_once(rows, inner, 7, 0);
            rows_once(rows, inner, 7, 1);
        }
}

static void test_sums_and_largest(void)
{
    for (size_t count = 1; count < 40; count++) {
        begin_case("row_sum and row_largest of %zu", count);
        real *const values = numbers(count), sum = 0, largest = values[0];
        for (size_t k = 0; k < count; k++) {
            values[k] -= 5; /* all negative: a zero that comes from nowhere would be the largest */
            sum += values[k];
            largest = k == 0 || values[k] > largest ? values[k] : largest;
        }
        CHECK(row_sum(count, values) == sum);
        CHECK(row_largest(count, values) == largest);
        end_case();
    }
}

/* What BLAS does, column by column, as Fortran has it. */
static void plain_gemm(char *transa, char *transb, int *m, int *n, int *k, real *alpha, real *a, int *lda, real *b,
    int *ldb, real *beta, real *c, int *ldc)
{
    for (int column = 0; column < *n; column++) {
        for (int row = 0; row < *m; row++) {
            real sum = 0;
            for (int i = 0; i < *k; i++)
                sum += (*transa == 'T' ? a[row**lda + i] : a[i**lda + row])
                    *(*transb == 'T' ? b[i**ldb + column] : b[column**ldb + i]);
            real *const to = c + column**ldc + row;
            *to = *alpha*sum + (*beta != 0 ? *beta**to : 0);
        }
    }
}

/* The same products by a routine of BLAS, with either matrix turned. */
static void blas_once(size_t rows, size_t columns, size_t inner, int a_turned, int b_turned, real more)
{
    begin_case("product %zux%zux%zu, turned %d %d, more %g", rows, columns, inner, a_turned, b_turned, (double) more);
    const size_t a_row = a_turned ? rows : inner, b_row = b_turned ? inner : columns;
    const product_case p = {rows, columns, inner, numbers(rows*inner), a_turned ? 1 : a_row, a_turned ? a_row : 1,
        numbers(inner*columns), b_turned ? 1 : b_row, b_turned ? b_row : 1, numbers(rows*columns), columns, NULL, more};
    const real *const before = copy_of(p.out, rows*columns);
    product(rows, columns, inner, p.a, a_row, a_turned, p.b, b_row, b_turned, p.out, columns, more);
    check_product(&p, before, columns);
    end_case();
}

/* Dot products along rows that are padded with zeros. */
static void dot_once(size_t rows, size_t columns, size_t inner, real more)
{
    begin_case("dot_products %zux%zux%zu, more %g", rows, columns, inner, (double) more);
    const size_t padded = WHOLE_VECTORS(inner);
    real *const a = numbers(rows*padded), *const b = numbers(columns*padded);
    end_rows(rows, inner, a, padded);
    end_rows(columns, inner, b, padded);
    const product_case p = {rows, columns, inner, a, padded, 1, b, 1, padded, numbers(rows*columns), columns, NULL,
        more};
    const real *const before = copy_of(p.out, rows*columns);
    dot_products(rows, columns, inner, a, padded, b, padded, p.out, columns, more);
    check_product(&p, before, columns);
    end_case();
}

static void test_blas(void)
{
    NN(use_gemm)(plain_gemm);
    EACH(rows, row_counts)
        EACH(columns, lane_counts) {
            for (int turned = 0; turned < 4; turned++) {
                blas_once(rows, columns, 5, turned & 1, turned >> 1, 0);
                blas_once(rows, columns, 5, turned & 1, turned >> 1, -2);
            }
            dot_once(rows, 5, columns, 0);
            dot_once(rows, 5, columns, 3);
        }
}

int main(void)
{
    test_contractions();
    test_rows_without_padding();
    test_sums_of_rows();
    test_copies();
    test_single_rows();
    test_sums_and_largest();
    test_blas();
    return 0;
}
