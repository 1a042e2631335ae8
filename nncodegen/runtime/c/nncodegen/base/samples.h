/* The samples of a tile: their inputs and targets, one row for each, and their weights. Rows that are not
   consecutive in memory are copied, so that they are.

   Needs memory.h. Gives tile, fill, rows_of, sparse_rows, copy_row, total_weight. */

#ifndef NNCODEGEN_SAMPLES_H
#define NNCODEGEN_SAMPLES_H

#include "nncodegen/base/memory.h"

/* The rows of inputs and targets of the samples of a tile. */
typedef struct {
    const real *inputs;
    const real *targets;
} tile;

INLINE void copy_row(const real *from, real *to, size_t width)
{
    for (size_t k = 0; k < width; k++)
        to[k] = from[k];
}

/* Copies the rows of count samples in an order. */
INLINE void gather_rows(const real *restrict from, const size_t width, const size_t *restrict order, size_t count,
    real *restrict to)
{
    for (size_t n = 0; n < count; n++)
        copy_row(from + order[n]*width, to + n*width, width);
}

/* Copies the last of count rows to the rows after it, up to end: each time as many rows as there are copies already. */
static COLD void repeat_row(real *rows, size_t width, size_t count, size_t end)
{
    real *const last = rows + (count - 1)*width;
    const size_t all = (end - count + 1)*width;
    for (size_t done = width; done < all; done *= 2)
        memcpy(last + done, last, (done < all - done ? done : all - done)*sizeof(real));
}

/* Copies the rows of samples in an order (NULL: as stored), the last one again up to end. For short rows, a loop over a
   constant takes a third of the time. */
static HOT void copy_rows(const real *from, size_t width, const size_t *order, size_t first, size_t count, size_t end,
    real *copied)
{
    if (!order)
        memcpy(copied, from + first*width, count*width*sizeof(real));
    else if (width == 1)
        gather_rows(from, 1, order + first, count, copied);
    else if (width == 2)
        gather_rows(from, 2, order + first, count, copied);
    else if (width == 3)
        gather_rows(from, 3, order + first, count, copied);
    else if (width == 4)
        gather_rows(from, 4, order + first, count, copied);
    else
        gather_rows(from, width, order + first, count, copied);
    if (count < end)
        repeat_row(copied, width, count, end);
}

/* Returns the rows of count samples from first on, in the given order, or as stored if order is NULL. They are not
   copied if they are consecutive in memory. If whole, a count that does not fill whole vectors of samples is also
   copied, and the last row repeated to fill them. */
INLINE const real *rows_of(const real *from, size_t width, const size_t *order, size_t first, size_t count, int whole,
    real *copied)
{
    const size_t end = whole ? padded(count) : count;
    if (!from)
        return NULL;
    if (end == count && (!order || count == 1))
        return from + (order ? order[first] : first)*width;
    copy_rows(from, width, order, first, count, end, copied);
    return copied;
}

/* Like rows_of, for inputs whose rows are sparse (interface.h): each is expanded to a full row. */
static UNUSED const real *sparse_rows(const real *values, const size_t *starts, const uint32_t *columns,
    const size_t *order, size_t first, size_t count, int whole, real *copied)
{
    const size_t end = whole ? padded(count) : count, width = INPUTS;
    for (size_t n = 0; n < end; n++) {
        const size_t sample = first + (n < count ? n : count - 1), at = order ? order[sample] : sample;
        real *const row = copied + n*width;
        for (size_t k = 0; k < width; k++)
            row[k] = 0;
        for (size_t k = starts[at]; k < starts[at + 1]; k++)
            row[columns[k]] = values[k];
    }
    return copied;
}

/* Returns the tile of the samples from first on, in the given order, or as stored if order is NULL. Samples that pad
   it to whole vectors have weight 0. */
static UNUSED tile fill(memory m, const real *inputs, const real *targets, const size_t *order, const real *weights,
    double total, size_t first, size_t count)
{
    const size_t end = padded(count);
    const real share = (real) (1/total);
    for (size_t n = 0; n < count; n++)
        m.weights[n] = weights ? (real) ((double) weights[order ? order[first + n] : first + n]/total) : share;
    for (size_t n = count; n < end; n++)
        m.weights[n] = 0;
    for (size_t n = 0; HAS_NOISE && n < end; n++)
        m.sample_numbers[n] = n >= count ? 0 : order ? order[first + n] : first + n;
    return (tile) {
        rows_of(inputs, INPUTS, order, first, count, WHOLE_INPUTS, m.inputs),
        rows_of(targets, TARGETS, order, first, count, WHOLE_TARGETS, m.targets),
    };
}

/* Returns the sum of the weights; NULL means weights of 1. */
static UNUSED double total_weight(const real *weights, size_t samples)
{
    if (!weights)
        return (double) samples;
    double total = 0;
    for (size_t n = 0; n < samples; n++)
        total += (double) weights[n];
    return total;
}

#endif
