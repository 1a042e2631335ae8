/* The sums over the samples of a batch: losses, derivatives and metrics, in chunks of tiles.

   Needs calls.h, samples.h, poll.h, products.h with blocks, and the kernels gradient_tile, gradient_finish and
   loss_tile.
   Gives batch, chunks_of, prepare_batch, place_of_loss, tile_of_batch, details_of, sum_chunk, add_sums. */

#ifndef NNCODEGEN_BATCH_H
#define NNCODEGEN_BATCH_H

#include "nncodegen/base/calls.h"
#include "nncodegen/base/poll.h"
#include "nncodegen/base/samples.h"
#if NN_HAS_BLOCKS
#include "nncodegen/products/products.h"
#endif

KERNELS(gradient_kernels, deriving, GRADIENT_KERNELS)

/* A batch of samples, and what is to be computed for it: the loss, its gradient, and the sums for metrics. */
typedef struct {
    int forward; /* compute the loss without its gradient */
    int without_loss; /* compute the gradient without the loss and metrics */
    int metrics; /* a bit for each metric, as in the options of a training */
    const real *parameters;
    const real *inputs;
    const real *targets;
    const size_t *starts; /* where the rows of sparse inputs begin (interface.h); NULL: inputs are not sparse */
    const uint32_t *columns;
    const real *weights; /* the weights of all samples in the loss; NULL: 1 each */
    const real *counts; /* the weights of all samples in metrics; NULL: 1 each */
    const size_t *order; /* the order of the samples; NULL: as stored */
    size_t begin; /* the first sample of the batch, in that order */
    size_t samples; /* the number of samples of the batch */
    double total; /* the divisor of the weights */
    int first_phase; /* the phases of the gradient to compute; the results of earlier phases are still in memory */
    int last_phase;
    int kept; /* whether each tile has separate arrays, which are kept */
    const double *finished; /* the sums of the phase before the last one */
    real scale; /* 0: the first tile overwrites the sums in the gradient; else it adds its sums, times this */
    randomness noise;
} batch;

/* Returns the number of chunks of a batch, of CHUNK samples each. The sums of the tiles of a chunk are added in the
   precision of the model: a chunk is small, so that rounding loses little. The sums of chunks are added in double and in
   order, so that results do not depend on which thread computes a chunk. */
INLINE size_t chunks_of(const batch *b)
{
    return (b->samples + CHUNK - 1)/CHUNK;
}

/* Computes what depends only on the parameters, or on finished sums, once for all tiles that use these arrays. */
static UNUSED void prepare_arrays(const batch *b, real *arrays)
{
    const int continues = !b->forward && b->last_phase > 0;
    kernel_of_parameters *const prepare = b->forward ? deriving.prepare_loss : deriving.prepare;
    if (continues)
        deriving.between(b->last_phase, b->parameters, b->finished, b->samples, arrays);
    else if (prepare)
        prepare(b->parameters, b->samples, arrays);
}

/* Calls prepare_arrays for a whole batch, unless each of its tiles has separate arrays. */
INLINE void prepare_batch(const batch *b, memory m)
{
    if (!b->kept)
        prepare_arrays(b, m.arrays);
}

/* Returns the index of the loss among the sums. */
INLINE size_t place_of_loss(const batch *b)
{
    return b->forward ? 0 : LANE_SUMS;
}

/* Returns the tile of count samples of a batch, from first on. */
INLINE tile tile_of_batch(const batch *b, memory m, size_t first, size_t count)
{
    const real *const inputs = b->starts ? NULL : b->inputs;
    tile filled = fill(m, inputs, b->targets, b->order, b->weights, b->total, b->begin + first, count);
    if (b->starts)
        filled.inputs = sparse_rows(b->inputs, b->starts, b->columns, b->order, b->begin + first, count, WHOLE_INPUTS,
            m.inputs);
    return filled;
}

/* Returns what few kernels have to know of a batch. */
INLINE details details_of(const batch *b, memory m)
{
    return (details) {b->noise, m.sample_numbers, b->first_phase, b->last_phase};
}

/* Computes the sums over the samples of a chunk. Returns 1 if stopped. */
static UNUSED int sum_chunk(const batch *b, memory m, size_t chunk, NN(poll) *poll)
{
    const size_t begin = chunk*CHUNK, end = begin + CHUNK < b->samples ? begin + CHUNK : b->samples;
    const int single_tile = end - begin <= TILE; /* a single tile sets the sums of lanes; for several tiles, flush sets
                                                    them */
    const details more = details_of(b, m);
    for (size_t k = b->forward || DIRECT ? 0 : LANE_SUMS; k < ALL_SUMS; k++)
        m.sums[k] = 0;
    for (size_t first = begin; first < end; first += TILE) {
        const size_t count = end - first < TILE ? end - first : TILE;
        real *const arrays = m.arrays + (b->kept ? first/TILE*ARRAYS : 0);
        if (b->kept)
            prepare_arrays(b, arrays);
        const tile current = tile_of_batch(b, m, first, count);
        for (size_t n = 0; b->metrics && n < count; n++)
            m.counts[n] = !b->counts ? 1 : b->counts[b->order ? b->order[b->begin + first + n] : b->begin + first + n];
        if (b->forward)
            deriving.loss(b->parameters, current.inputs, current.targets, m.weights, count, arrays, m.sums, b->metrics,
                m.counts);
        else
            deriving.tile(b->parameters, current.inputs, current.targets, m.weights, count, arrays, !b->without_loss,
                single_tile, first > begin ? 1 : b->scale, m.sums, m.gradient, m.partials, b->metrics, m.counts, &more);
        if (stopped(poll, (double) OPERATIONS*(double) count))
            return 1;
    }
    if (HAS_BLOCKS && !b->forward && !single_tile)
        deriving.flush(m.partials, m.sums);
    return 0;
}

/* Adds the sums of a chunk to totals: first the sums in the gradient, then the others. */
static HOT void add_sums(const batch *b, memory m, double *restrict totals)
{
    const size_t whole = b->forward ? 0 : GRADIENT_SUMS;
    for (size_t k = 0; k < whole; k++)
        totals[k] += (double) m.gradient[k];
    for (size_t k = 0; k < ALL_SUMS; k++)
        totals[GRADIENT_SUMS + k] += m.sums[k];
}

#endif
