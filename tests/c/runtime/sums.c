/* The sums over the samples of a tile, in the lanes of vectors, are what plain loops compute: those of a single tile,
   those of several that are flushed at the end, and (SAMPLE_DIRECT) those that are added up at once. */

#define SAMPLE_ACROSS 63 /* weights, an odd number */

#include "check.h"

#include "nncodegen/base/memory.h"
#include "nncodegen/products/products.h"

static const size_t row_counts[] = {1, 2, 3, 4, 5, 7};
static const size_t column_counts[] = {1, 2, 3, 4, 5, 8};

/* The sums of rows*columns weights and of as many biases as there are rows, over some tiles. */
static void sum_once(size_t rows, size_t columns, size_t padded, int tiles)
{
    begin_case("%zux%zu weights, %zu samples in each of %d tiles", rows, columns, padded, tiles);
    const size_t biases = rows*columns, all = biases + rows;
    const real *const d = numbers(rows*TILE), *const x = numbers(columns*TILE);
    real *const partials = array(ROOM_FOR_PARTIALS);
    double sums[LANE_SUMS + 1];
    for (size_t k = 0; k < ROOM_FOR_PARTIALS; k++)
        partials[k] = 0;
    for (size_t k = 0; k <= LANE_SUMS; k++)
        sums[k] = DIRECT && tiles > 1 ? 0 : (double) UNTOUCHED;
    for (int tile = 0; tile < tiles; tile++) {
        accumulate(rows, columns, d, x, partials, sums, padded, tiles == 1);
        add_up(rows, d, partials + (DIRECT ? 0 : biases*LANES), sums + (DIRECT || tiles == 1 ? biases : 0), padded,
            tiles == 1);
    }
    if (!DIRECT && tiles > 1)
        flush(partials, sums);
    for (size_t weight = 0; weight < all; weight++) {
        real sum = 0;
        const size_t j = weight < biases ? weight/columns : weight - biases;
        for (size_t n = 0; n < padded; n++)
            sum += d[j*TILE + n]*(weight < biases ? x[weight%columns*TILE + n] : 1);
        CHECK(sums[weight] == tiles*(double) sum);
    }
    for (size_t k = all; k < LANE_SUMS && tiles == 1; k++)
        CHECK(sums[k] == (double) UNTOUCHED);
    for (size_t k = 0; k < ROOM_FOR_PARTIALS; k++)
        CHECK(partials[k] == 0);
    end_case();
}

int main(void)
{
    EACH(rows, row_counts)
        EACH(columns, column_counts)
            for (size_t padded = LANES; padded <= TILE; padded += LANES) {
                sum_once(rows, columns, padded, 1);
                sum_once(rows, columns, padded, 3);
            }
    return 0;
}
