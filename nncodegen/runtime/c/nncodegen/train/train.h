/* Training: the updates of each epoch, the measurements after it, and the decision when the training ends.

   Needs descend.h, random.h, and the kernel train_in_registers (registers.h) if NN_HAS_REGISTERS. Gives train,
   copy_parameters, and what that kernel needs: update_by_loops and end_epoch. */

#ifndef NNCODEGEN_TRAIN_H
#define NNCODEGEN_TRAIN_H

#include "nncodegen/train/descend.h"
#include "nncodegen/math/random.h"

KERNELS(kernel_in_registers *, in_registers, TRAIN_IN_REGISTERS)

/* Does the next update: of all parameters at once or, if sequential, of one after the other (a sweep). The epoch is
   counted from the beginning of the call. The weights of a batch are divided by the mean weight of all samples and
   by the size of the batch, so that the gradients of all batches, weighted by their sizes, average to that of the
   weighted mean loss. Returns a status; COMPLETED: continue. */
static COLD int train_next(NN(training) *run, memory *m, team *threads, double total, size_t epoch)
{
    const size_t all = run->data.samples;
    const size_t samples = all - run->begin < run->batch ? all - run->begin : run->batch;
    const double share = (double) samples/(double) all;
    const double factor = factor_of_update(run, epoch);
    if (run->sequential) {
        while (run->sweep < all_parameters) {
            const size_t p = arranged_place(run->sweep);
            double loss;
            const int status = train_batch(run, *m, threads, samples, total*share, p, p + 1, factor, &loss);
            if (status != NN(COMPLETED))
                return status;
            run->current_parameters[p] = m->next[p];
            run->batch_loss = p == 0 ? loss : run->batch_loss;
            run->sweep++;
        }
        run->sweep = 0;
    } else {
        const int status = train_batch(run, *m, threads, samples, total*share, 0, PARAMETERS, factor, &run->batch_loss);
        if (status != NN(COMPLETED))
            return status;
        real *const before = run->current_parameters;
        run->current_parameters = m->next;
        m->next = before;
    }
    count_update(run, samples, share);
    return NN(COMPLETED);
}

/* Does the updates of an epoch, or the remaining ones. Returns a status. */
static COLD int train_samples(NN(training) *run, memory *m, team *threads, double total, size_t epoch)
{
    int status = NN(COMPLETED);
    int descent = descends(run); /* whether updates are in place; -1: all but the next one */
    while (run->begin < run->data.samples && status == NN(COMPLETED)) {
        if (descent > 0) {
            status = descend(run, *m, total, epoch, &descent);
            continue;
        }
        status = train_next(run, m, threads, total, epoch);
        descent = descent != 0;
    }
    return status;
}

/* Computes accuracy, mean absolute error and R2 (its mean over the outputs) from their sums. Metrics that were not
   requested are meaningless. */
static COLD void finish_metrics(int metrics, const NN(data) *data, const double *sums, double *figures)
{
    const double total = total_weight(data->counts, data->samples);
    figures[NN(ACCURACY)] = sums[NN(ACCURACY)]/(HAS_CLASSES ? 1 : (double) OUTPUTS)/total;
    figures[NN(MEAN_ABSOLUTE_ERROR)] = sums[NN(MEAN_ABSOLUTE_ERROR)]/(double) OUTPUTS/total;
    double explained = 0;
    for (size_t k = 0; metrics & 1 << NN(R2) && k < OUTPUTS; k++) {
        const double squares = sums[NN(R2) + k];
        if (data->spread[k] > 0)
            explained += 1 - squares/data->spread[k];
        else
            explained += squares == 0; /* for a constant target: 1 if it is met exactly, else 0 */
    }
    figures[NN(R2)] = explained/(double) OUTPUTS;
}

/* Measures the columns of the history after an epoch. Returns 1 if stopped. */
static COLD int measure_epoch(NN(training) *run, memory m, team *threads, double *figures)
{
    const NN(data) *data = &run->validation;
    figures[NN(LOSS)] = run->epoch_loss;
    if (run->metrics)
        finish_metrics(run->metrics, &run->data, run->measures, figures + NN(METRICS));
    if (data->samples) {
        const real *const parameters = special.transposed_count ? m.next : run->current_parameters;
        if (special.transposed_count)
            arrange(run->current_parameters, m.next, 1);
        const batch all = {.forward = 1, .metrics = run->metrics, .parameters = parameters,
            .inputs = data->inputs, .targets = data->targets, .weights = data->weights, .counts = data->counts,
            .starts = data->starts, .columns = data->columns,
            .samples = data->samples, .total = total_weight(data->weights, data->samples)};
        const double *const sums = sum_batch(&all, m, threads, &run->poll);
        if (!sums)
            return 1;
        figures[NN(VALIDATION_LOSS)] = sums[place_of_loss(&all)];
        if (run->metrics)
            finish_metrics(run->metrics, data, sums + SUMS, figures + NN(VALIDATION_METRICS));
    }
    return 0;
}

/* Keeps a copy of the parameters if the epoch is the best so far. Returns a status: STOPPED_EARLY if none of the
   last ``patience`` epochs was. */
static COLD int compare_epoch(NN(training) *run, const double *figures)
{
    const double figure = run->higher ? -figures[run->monitor] : figures[run->monitor];
    if (figure < run->best_figure - run->min_delta) { /* false if it is not finite */
        run->best_figure = figure;
        run->best_epoch = run->epochs + 1;
        arrange(run->current_parameters, run->best, 1);
    }
    const size_t waited = run->epochs + 1 - run->best_epoch;
    return run->patience && waited >= run->patience ? NN(STOPPED_EARLY) : NN(COMPLETED);
}

/* Ends an epoch, and begins the next: random is the state of the random numbers for it. If the measuring is stopped,
   nothing has changed, and a later call repeats it. Returns a status. */
static COLD int finish_epoch(NN(training) *run, memory m, team *threads, size_t epoch, uint64_t random)
{
    double *const figures = run->history + epoch*run->columns;
    int status = NN(COMPLETED);
    if (run->columns == 1)
        figures[NN(LOSS)] = run->epoch_loss;
    else if (measure_epoch(run, m, threads, figures))
        return NN(INTERRUPTED);
    if (run->monitor >= 0)
        status = compare_epoch(run, figures);
    if (run->largest < run->tolerance)
        status = NN(CONVERGED);
    run->random = random;
    run->begin = 0;
    run->epoch_loss = run->largest = 0;
    const size_t measures = run->metrics ? MEASURES : 0;
    for (size_t k = 0; k < measures; k++)
        run->measures[k] = 0;
    run->epochs++;
    return status;
}

/* Trains for one epoch, or the rest of it. Returns a status. */
static COLD int train_epoch(NN(training) *run, memory *m, team *threads, double total, size_t epoch)
{
    uint64_t random = run->random;
    if (run->shuffle)
        shuffle(run->order, run->data.samples, &random);
    const int status = train_samples(run, m, threads, total, epoch);
    return status == NN(COMPLETED) ? finish_epoch(run, *m, threads, epoch, random) : status;
}

void NN(copy_parameters)(const NN(training) *run, real *parameters)
{
    if (run->current_parameters)
        arrange(run->current_parameters, parameters, 1);
    else
        memcpy(parameters, run->parameters, PARAMETERS*sizeof(real));
}

/* Rearranges the state of the optimizer into the order of the loops of the gradient, or back from it. */
static UNUSED void arrange_state(NN(training) *run, memory m, int back)
{
    for (size_t k = 0; k < variables_of_state(run->optimizer); k++) {
        real *const state = run->state + k*PARAMETERS;
        arrange(state, m.next, back);
        copy_row(m.next, state, PARAMETERS);
    }
}

/* Does the next update by the usual loops, without a check whether to stop. The statements for registers are
   rearranged, and may overflow where the usual loops do not; a training has diverged only if the usual loops
   overflow. Returns a status. */
SHARED COLD int NN(update_by_loops)(NN(training) *run)
{
    memory m = carve(run->work);
    clear(m);
    copy_row(run->parameters, m.parameters, PARAMETERS);
    run->current_parameters = m.parameters;
    const NN(poll) poll = run->poll;
    run->poll.stop = NULL;
    const int status = train_next(run, &m, NULL, (double) run->data.samples, 0);
    run->poll = poll;
    copy_row(run->current_parameters, run->parameters, PARAMETERS);
    run->current_parameters = run->parameters;
    return status;
}

/* Ends an epoch in registers. Returns a status. */
SHARED COLD int NN(end_epoch)(NN(training) *run, size_t epoch, uint64_t random)
{
    return finish_epoch(run, carve(run->work), NULL, epoch, random);
}

COLD void NN(train)(NN(training) *run)
{
    FLUSH_SUBNORMALS
    if (in_registers && in_registers(run))
        return;
    memory m = carve(run->work);
    clear(m);
    const size_t arrays = deriving.sample ? ARRAYS : 0;
    for (size_t k = 0; k < arrays; k++)
        m.arrays[k] = 0; /* single samples read the padding of rows, too, without an effect on results */
    arrange(run->parameters, m.parameters, 0);
    if (special.transposed_count)
        arrange_state(run, m, 0);
    run->current_parameters = m.parameters;
    const double total = total_weight(run->data.weights, run->data.samples);
    run->status = NN(COMPLETED);
    team all, *threads = NULL;
    if (run->threads > 1) {
        gather_team(&all, run->threads, run->work);
        threads = all.count > 1 ? &all : NULL;
    }
    for (size_t epoch = 0; run->epochs < run->until && run->status == NN(COMPLETED); epoch++)
        run->status = train_epoch(run, &m, threads, total, epoch);
    NN(copy_parameters)(run, run->parameters);
    if (special.transposed_count)
        arrange_state(run, m, 1);
    run->current_parameters = NULL;
    if (run->threads > 1)
        dismiss_team(&all);
}

#endif
