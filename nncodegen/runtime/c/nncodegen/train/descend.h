/* Plain gradient descent in place.

   On batches of one tile, the loops of the gradient add each sum, times the learning rate and -1, directly to its
   parameter, so that few or no values of the gradient are stored. Whether parameters are finite is checked only after
   several updates: a parameter that is not finite remains so, so that if all are finite then, they always were.

   Needs update.h. Gives descends and descend. */

#ifndef NNCODEGEN_DESCEND_H
#define NNCODEGEN_DESCEND_H

#include "nncodegen/train/update.h"

/* The number of updates between two checks: at most UPDATES_AT_ONCE, and none more after OPERATIONS_AT_ONCE operations,
   about 10 or 20 ms; reading a parameter from memory counts as FAR operations. It is worthwhile for epochs of at least
   UPDATES_WORTH updates. */
enum { UPDATES_AT_ONCE = 64, OPERATIONS_AT_ONCE = 2000000000, FAR = 100, UPDATES_WORTH = 8 };

/* Returns whether a training can run in this way: nothing else may need the gradient, or the size of a step. */
static UNUSED int descends(const NN(training) *run)
{
    return DESCENDS > 0 && run->optimizer == (int) DESCENT && is_plain(run) && !run->sequential && !(run->tolerance > 0)
        && run->batch <= DESCENDS && run->data.samples/UPDATES_WORTH >= run->batch;
}

/* Does one update by a batch, with a learning rate that is not 0: m->gradient is the current parameters. Returns
   whether the loss is finite, or not computed. */
INLINE int descend_once(NN(training) *run, batch *part, const memory *m, real *rest, real learning_rate)
{
    part->scale = -learning_rate;
    const double *const sums = derive_batch(part, m, NULL, rest, NULL);
    const int single = deriving.sample && part->samples <= SINGLE_SAMPLES; /* adds everything in place */
    const size_t count = single ? 0 : special.finished_count;
    for (size_t k = 0; k < count; k++) {
        const size_t end = special.finished[k].end;
        for (size_t p = special.finished[k].first; p < end; p++)
            run->current_parameters[p] -= learning_rate*rest[p];
    }
    run->batch_loss = run->without_loss ? (double) NAN : sums[place_of_loss(part)];
    add_measures(run, part, sums);
    return run->without_loss || isfinite(run->batch_loss);
}

/* Does the next updates. It stops before an update whose learning rate is 0, which must be done in the usual way; then
   *descent is -1. If not all values are finite in the end, the updates are undone, and must all be done in the usual
   way; then *descent is 0. Returns a status. */
static HOT int descend(NN(training) *run, memory m, double total, size_t epoch, int *descent)
{
    const NN(training) before = *run;
    const size_t count = run->metrics ? MEASURES : 0;
    for (size_t k = 0; k < count; k++)
        m.measures[k] = run->measures[k];
    copy_row(run->current_parameters, m.next, PARAMETERS);
    const size_t all = run->data.samples;
    batch part = batch_of(run, 0, total);
    memory in_place = m;
    in_place.gradient = run->current_parameters;
    int finite = 1;
    double operations = 0;
    for (size_t k = 0; k < UPDATES_AT_ONCE && operations < OPERATIONS_AT_ONCE && finite && run->begin < all; k++) {
        const size_t samples = all - run->begin < run->batch ? all - run->begin : run->batch;
        const double share = (double) samples/(double) all;
        const real learning_rate = (real) (run->options[0]*factor_of_update(run, epoch));
        if (!(learning_rate > 0)) {
            *descent = -1;
            break;
        }
        move_batch(&part, run, samples, total*share);
        finite = descend_once(run, &part, &in_place, m.gradient, learning_rate);
        count_update(run, samples, share);
        operations += (double) OPERATIONS*(double) samples + (double) FAR*PARAMETERS;
    }
    if (finite && all_finite(run->current_parameters, PARAMETERS))
        return stopped(&run->poll, operations) ? NN(INTERRUPTED) : NN(COMPLETED);
    *run = before;
    copy_row(m.next, run->current_parameters, PARAMETERS);
    for (size_t k = 0; k < count; k++)
        run->measures[k] = m.measures[k];
    *descent = 0;
    return NN(COMPLETED);
}

#endif
