/* The loss of a batch and its gradient.

   Needs threads.h, order.h, and the kernels of batch.h and, if NN_HAS_SINGLE_GRADIENT, gradient_sample. Gives
   derive_batch, loss, loss_and_gradient. */

#ifndef NNCODEGEN_GRADIENT_H
#define NNCODEGEN_GRADIENT_H

#include "nncodegen/train/order.h"
#include "nncodegen/train/threads.h"

/* Sums up a batch, or a phase of it: writes the sums of the gradient to m.gradient, and returns the others, or NULL if
   stopped. If there is a team of threads, it shares the chunks, if there are several. */
INLINE const double *sum_tiles(const batch *b, memory m, team *threads, NN(poll) *poll)
{
    const size_t whole = b->forward ? 0 : GRADIENT_SUMS;
    const size_t chunks = chunks_of(b);
    prepare_batch(b, m);
    if (chunks == 1)
        return sum_chunk(b, m, 0, poll) ? NULL : m.sums;
    for (size_t k = 0; k < GRADIENT_SUMS + ALL_SUMS; k++)
        m.totals[k] = 0;
    if (threads) {
        if (sum_by_team(threads, b, m.totals, poll))
            return NULL;
    } else {
        for (size_t chunk = 0; chunk < chunks; chunk++) {
            if (sum_chunk(b, m, chunk, poll))
                return NULL;
            add_sums(b, m, m.totals);
        }
    }
    for (size_t k = 0; k < whole; k++)
        m.gradient[k] = (real) m.totals[k];
    return m.totals + GRADIENT_SUMS;
}

/* Sums up a whole batch; each of its phases goes over all samples. The results of a phase for the next one are kept for
   each tile if the batch has at most KEPT tiles; otherwise the earlier phases are computed again. */
static UNUSED const double *sum_batch(const batch *b, memory m, team *threads, NN(poll) *poll)
{
    if (PHASES < 2 || b->forward)
        return sum_tiles(b, m, threads, poll);
    batch part = *b;
    const double *sums = NULL;
    const int phases = (int) PHASES;
    for (int phase = 0; phase < phases; phase++) {
        part.kept = b->samples <= KEPT*TILE;
        part.first_phase = part.kept ? phase : 0;
        part.last_phase = phase;
        part.metrics = phase == phases - 1 ? b->metrics : 0;
        sums = sum_tiles(&part, m, threads, poll);
        if (!sums)
            return NULL;
        for (size_t k = 0; k < ALL_SUMS; k++)
            m.finished[k] = sums[k];
        part.finished = m.finished;
    }
    return sums;
}

/* Computes the gradient of a batch, sample by sample, into m->gradient. Returns 1 if stopped. */
INLINE int derive_one_by_one(const batch *b, const memory *m, NN(poll) *poll)
{
    const details more = details_of(b, *m);
    for (size_t k = place_of_loss(b); k < ALL_SUMS; k++)
        m->sums[k] = 0;
    for (size_t n = b->begin; n < b->begin + b->samples; n++) {
        const size_t sample = b->order ? b->order[n] : n;
        const double weight = !b->weights ? 1 : (double) b->weights[sample];
        m->counts[0] = !b->counts ? 1 : b->counts[sample];
        if (HAS_NOISE)
            m->sample_numbers[0] = sample;
        const real *const inputs = b->starts
            ? sparse_rows(b->inputs, b->starts, b->columns, b->order, n, 1, 0, m->inputs)
            : rows_of(b->inputs, INPUTS, b->order, n, 1, 0, NULL);
        deriving.sample(b->parameters, inputs, rows_of(b->targets, TARGETS, b->order, n, 1, 0, NULL),
            (real) (weight/b->total), m->arrays, !b->without_loss, n > b->begin ? 1 : b->scale, m->sums, m->gradient,
            b->metrics, m->counts, &more);
    }
    return stopped(poll, (double) OPERATIONS*(double) b->samples);
}

/* Computes the gradient of a batch into m->gradient, except the values that gradient_finish computes from the sums:
   these are written to rest, which may be the same array. Returns the sums, or NULL if stopped. */
static HOT const double *derive_batch(const batch *b, const memory *m, team *threads, real *rest, NN(poll) *poll)
{
    if (deriving.sample && b->samples <= SINGLE_SAMPLES)
        return derive_one_by_one(b, m, poll) ? NULL : m->sums;
    const double *const sums = sum_batch(b, *m, threads, poll);
    if (sums)
        deriving.finish(b->parameters, sums, m->gradient, m->arrays, rest);
    return sums;
}

int NN(loss)(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t samples, void *work, double *loss, NN(poll) *poll)
{
    FLUSH_SUBNORMALS
    const batch all = {.forward = 1, .parameters = parameters, .inputs = inputs, .targets = targets,
        .weights = weights, .samples = samples, .total = total_weight(weights, samples)};
    const double *const sums = sum_batch(&all, carve(work), NULL, poll);
    if (!sums)
        return 1;
    *loss = sums[place_of_loss(&all)];
    return 0;
}

int NN(loss_and_gradient)(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t samples, void *work, double *loss, real *gradient, NN(poll) *poll)
{
    FLUSH_SUBNORMALS
    const memory m = carve(work);
    clear(m);
    if (special.transposed_count) {
        arrange(parameters, m.parameters, 0);
        parameters = m.parameters;
    }
    const batch all = {.parameters = parameters, .inputs = inputs, .targets = targets, .weights = weights,
        .samples = samples, .total = total_weight(weights, samples)};
    const double *const sums = sum_batch(&all, m, NULL, poll);
    if (!sums)
        return 1;
    deriving.finish(parameters, sums, m.gradient, m.arrays, m.gradient);
    arrange(m.gradient, gradient, 1);
    *loss = sums[place_of_loss(&all)];
    return 0;
}

#endif
