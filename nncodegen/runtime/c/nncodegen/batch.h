/* The sums over the samples of a batch: losses, derivatives and metrics, in chunks of tiles.

   Needs samples.h, poll.h, random.h with noise, products.h with blocks, and the kernels loss_tile and gradient_tile.
   Gives batch, chunks_of, prepare_batch, place_of_loss, sum_chunk, add_sums. */

#ifndef NNCODEGEN_BATCH_H
#define NNCODEGEN_BATCH_H

#include "poll.h"
#include "random.h"
#include "samples.h"
#if NN_HAS_BLOCKS
#include "products.h"
#endif

/* A batch of samples: those from begin on, in their order, whose weights are divided by their total. What is wanted of
   it is the loss, with the gradient unless it is forward, and the sums for metrics, where each sample has a count. */
typedef struct {
    int forward;
    int without_loss; /* with the gradient: the loss is not wanted, and no metrics */
    int metrics;
    const real *parameters;
    const real *inputs;
    const real *targets;
    const real *weights;
    const real *counts;
    const size_t *order;
    size_t begin;
    size_t samples;
    double total;
    real scale; /* 0, or what the sums of one tile are multiplied with before they are added to what is there */
#if NN_HAS_NOISE
    randomness noise;
#endif
} batch;

/* What loops with noise are given besides. */
#if NN_HAS_NOISE
#define NOISE_OF_BATCH(b, m) , (b)->noise, (m).rows
#else
#define NOISE_OF_BATCH(b, m)
#endif

/* The tiles whose sums are taken together: so few that single precision does not show in them. The sums of the chunks
   of a batch are added up in their order, so that it does not matter who computes them. */
enum { CHUNK = 4096/sizeof(real) > TILE ? 4096/sizeof(real)/TILE : 1 };

static UNUSED size_t chunks_of(const batch *b)
{
    return (b->samples + TILE*CHUNK - 1)/(TILE*CHUNK);
}

static UNUSED void prepare_batch(const batch *b, memory m)
{
    if (b->forward) {
#if NN_PREPARES_LOSS
        loss_prepare(b->parameters, b->samples, m.arrays);
#endif
    } else {
#if NN_PREPARES_GRADIENT
        gradient_prepare(b->parameters, b->samples, m.arrays);
#endif
    }
    (void) m;
}

/* Where the loss is among the sums. */
static UNUSED size_t place_of_loss(const batch *b)
{
    return b->forward ? 0 : LANE_SUMS;
}

/* The sums over the samples of a chunk. Returns 1 if stopped. */
static UNUSED int sum_chunk(const batch *b, memory m, size_t chunk, NN(poll) *poll)
{
    const size_t begin = chunk*TILE*CHUNK, end = begin + TILE*CHUNK < b->samples ? begin + TILE*CHUNK : b->samples;
    const int single_tile = end - begin <= TILE; /* then it sets the other sums; of several tiles, flush sets them */
    for (size_t k = b->forward || DIRECT ? 0 : LANE_SUMS; k < ALL_SUMS; k++)
        m.sums[k] = 0;
    for (size_t first = begin; first < end; first += TILE) {
        const size_t count = end - first < TILE ? end - first : TILE;
        const tile current = fill(m, b->inputs, b->targets, b->order, b->weights, b->total, b->begin + first, count);
        for (size_t n = 0; b->metrics && n < count; n++)
            m.counts[n] = !b->counts ? 1 : b->counts[b->order ? b->order[b->begin + first + n] : b->begin + first + n];
        if (b->forward)
            loss_tile(b->parameters, current.inputs, current.targets, m.weights, count, m.arrays, m.sums, b->metrics,
                m.counts);
        else
            gradient_tile(b->parameters, current.inputs, current.targets, m.weights, count, m.arrays, !b->without_loss,
                single_tile, first > begin ? 1 : b->scale, m.sums, m.gradient, m.partials, b->metrics,
                m.counts NOISE_OF_BATCH(b, m));
        if (stopped(poll, (double) OPERATIONS_PER_SAMPLE*(double) count))
            return 1;
    }
#if NN_HAS_BLOCKS
    if (!b->forward && !single_tile)
        flush(m.partials, m.sums);
#endif
    return 0;
}

/* Adds the sums of a chunk, those of the gradient first. */
static HOT void add_sums(const batch *b, memory m, double *restrict totals)
{
    const size_t whole = b->forward ? 0 : GRADIENT_SUMS;
    for (size_t k = 0; k < whole; k++)
        totals[k] += (double) m.gradient[k];
    for (size_t k = 0; k < ALL_SUMS; k++)
        totals[GRADIENT_SUMS + k] += m.sums[k];
}

#endif
