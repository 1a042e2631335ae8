/* One update: the gradient of a batch, and the step of the optimizer.

   Needs gradient.h, random.h, regularize.h and rules.h. Gives train_batch, batch_of, move_batch, add_measures,
   factor_of_update, count_update. */

#ifndef NNCODEGEN_UPDATE_H
#define NNCODEGEN_UPDATE_H

#include "nncodegen/train/gradient.h"
#include "nncodegen/math/random.h"
#include "nncodegen/train/regularize.h"
#include "nncodegen/train/rules.h"

/* Returns the factor of the learning rate in the next update. Epochs are counted from the beginning of the call. */
static UNUSED double factor_of_update(const NN(training) *run, size_t epoch)
{
    const size_t batches = (run->data.samples + run->batch - 1)/run->batch;
    const size_t number = run->factors_of_updates ? epoch*batches + run->begin/run->batch : epoch;
    return run->factors ? run->factors[number] : 1;
}

/* Moves a batch to the next samples of a training. */
INLINE void move_batch(batch *part, const NN(training) *run, size_t samples, double total)
{
    part->begin = run->begin;
    part->samples = samples;
    part->total = total;
    if (HAS_NOISE)
        part->noise = (randomness) {noise_of_update(run->seed, run->updates), 1};
}

/* Returns the batch of the next samples of a training. */
INLINE batch batch_of(const NN(training) *run, size_t samples, double total)
{
    const NN(data) *data = &run->data;
    batch part = {.without_loss = run->without_loss, .metrics = run->metrics, .parameters = run->current_parameters,
        .inputs = data->inputs, .targets = data->targets, .weights = data->weights, .counts = data->counts,
        .starts = data->starts, .columns = data->columns, .order = run->shuffle ? run->order : NULL};
    move_batch(&part, run, samples, total);
    return part;
}

/* Adds the sums for the metrics of a batch to those of the epoch. */
static UNUSED void add_measures(NN(training) *run, const batch *b, const double *sums)
{
    const size_t measures = b->metrics ? MEASURES : 0;
    for (size_t k = 0; k < measures; k++)
        run->measures[k] += sums[SUMS + k];
}

/* Computes the next values of the parameters first <= p < last from the gradient of a batch. If the first of all
   parameters is among them, the loss is the one for the history, and the sums for metrics are added to those of the
   epoch. A training has diverged if a new parameter or the loss for the history is not finite; overflow of
   intermediate values does not matter. That holds for every kind of training. Returns a status; COMPLETED: continue. */
static COLD int train_batch(NN(training) *run, memory m, team *threads, size_t samples, double total, size_t first,
    size_t last, double factor, double *loss)
{
    batch part = batch_of(run, samples, total);
    part.metrics = first == 0 ? run->metrics : 0;
    m.gradient = m.next; /* the update overwrites the gradient: so less memory is needed in the cache */
    const double *const sums = derive_batch(&part, &m, threads, m.gradient, &run->poll);
    if (!sums)
        return NN(INTERRUPTED);
    *loss = run->without_loss ? (double) NAN : sums[place_of_loss(&part)];
    if (first == 0 && !run->without_loss && !isfinite(*loss))
        return NN(DIVERGED);
    if (PHASES > 1)
        take_statistics(m.gradient, m.statistics);
    if (run->l1 > 0 || run->l2 > 0)
        add_penalties(run->current_parameters, m.gradient, (real) run->l1, (real) run->l2);
    if (run->clip_value > 0)
        clip_values(m.gradient, (real) run->clip_value);
    if (run->clip_norm > 0)
        clip_norm(m.gradient, run->clip_norm);
    const double *options = run->options;
    if (run->factors) {
        for (size_t k = 0; k < OPTIONS; k++)
            m.options[k] = run->options[k];
        m.options[0] *= factor;
        options = m.options;
    }
    int lost = update(run->optimizer, first, last, options, (double) run->updates + 1, run->current_parameters,
        run->state, m.next);
    if (run->weight_decay > 0)
        lost |= decay_weights(run->current_parameters, m.next, first, last, (real) (options[0]*run->weight_decay));
    if (lost)
        return NN(DIVERGED);
    keep_frozen(run->current_parameters, m.next, first, last, 1);
    if (PHASES > 1 && follow_statistics(run->current_parameters, m.statistics, m.next, first, last))
        return NN(DIVERGED);
    if (run->tolerance > 0) {
        const double step = largest_step(run->current_parameters, m.next, first, last);
        run->largest = step > run->largest ? step : run->largest;
    }
    add_measures(run, &part, sums);
    return NN(COMPLETED);
}

/* Counts an update by some samples; share is their number, divided by that of all samples. */
static UNUSED void count_update(NN(training) *run, size_t samples, double share)
{
    run->updates++;
    run->epoch_loss += run->batch_loss*share;
    run->begin += samples;
}

#endif
