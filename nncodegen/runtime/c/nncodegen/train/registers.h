/* Training on single samples by plain gradient descent, with the parameters in registers.

   Needs calls.h, metrics.h, regularize.h, and of the model: point, a structure with a member for each parameter;
   next_point, one update; if NN_HAS_SEQUENTIAL, update_sequentially, a sequential one; largest_change and store_point.
   Calls update_by_loops and end_epoch (train.h). Gives train_in_registers. */

#ifndef NNCODEGEN_REGISTERS_H
#define NNCODEGEN_REGISTERS_H

#include "nncodegen/base/calls.h"
#include "nncodegen/train/metrics.h"
#include "nncodegen/base/poll.h"
#include "nncodegen/train/regularize.h"
#include "nncodegen/train/shuffle.h"

SHARED int NN(update_by_loops)(NN(training) *run);
SHARED int NN(end_epoch)(NN(training) *run, size_t epoch, uint64_t random);

/* Does the updates of one epoch of batches of one sample, or the remaining ones. Returns a status. */
INLINE int samples_in_registers(NN(training) *run, point *w, const int sequential)
{
    double largest = run->largest, loss = run->epoch_loss;
    int status = NN(COMPLETED);
    size_t n = run->begin;
    const size_t samples = run->data.samples;
    const double share = 1/(double) samples;
    (void) sequential;
    while (n < samples && status == NN(COMPLETED)) {
        const size_t sample = run->shuffle ? run->order[n] : n;
        const real *const inputs = run->data.inputs + sample*INPUTS;
        const real *const targets = run->data.targets + sample*TARGETS;
        point next;
        real sample_loss, check, outputs[OUTPUTS + 1];
#if NN_HAS_SEQUENTIAL
        if (sequential)
            sample_loss = update_sequentially(w, inputs, targets, run->options, &next, outputs, &check);
        else
#endif
            sample_loss = next_point(w, inputs, targets, run->options, &next, outputs, &check);
        if (!(sample_loss*0 + check == 0)) {
            status = NN(DIVERGED);
            break;
        }
        if (run->tolerance > 0)
            largest = larger(largest, largest_change(w, &next));
        *w = next;
        loss += (double) sample_loss*share;
        if (HAS_METRICS && run->metrics)
            measure_one(run->metrics, OUTPUTS, 0, outputs, 1, targets, 1, 1, run->measures);
        run->updates += 1;
        n++;
        if (run->poll.spent + OPERATIONS >= 1e6)
            store_point(w, run->parameters); /* for poll.stop, which may read the parameters */
        if (stopped(&run->poll, OPERATIONS))
            status = NN(INTERRUPTED);
    }
    run->largest = largest;
    run->epoch_loss = loss;
    run->begin = n;
    return status;
}

/* The loop over epochs. It is compiled twice, for sequential updates and for others: sequential is a constant. */
INLINE void epochs_in_registers(NN(training) *run, const int sequential)
{
    point w = *(const point *) run->parameters;
    run->status = NN(COMPLETED);
    for (size_t epoch = 0; run->epochs < run->until && run->status == NN(COMPLETED); epoch++) {
        uint64_t random = run->random;
        if (run->shuffle)
            shuffle(run->order, run->data.samples, &random);
        for (;;) {
            run->status = samples_in_registers(run, &w, sequential);
            if (run->status != NN(DIVERGED))
                break;
            store_point(&w, run->parameters);
            run->status = NN(update_by_loops)(run);
            w = *(const point *) run->parameters;
            if (run->status != NN(COMPLETED))
                break;
        }
        if (run->status != NN(COMPLETED) && run->begin < run->data.samples)
            break;
        const int interrupted = run->status == NN(INTERRUPTED);
        if (run->columns > 1 || run->monitor >= 0) {
            store_point(&w, run->parameters);
            run->status = NN(end_epoch)(run, epoch, random);
            run->status = interrupted ? NN(INTERRUPTED) : run->status;
            continue;
        }
        run->history[epoch] = run->epoch_loss;
        run->status = interrupted ? NN(INTERRUPTED)
            : run->largest < run->tolerance ? NN(CONVERGED) : NN(COMPLETED);
        run->random = random;
        run->begin = 0;
        run->epoch_loss = run->largest = 0;
        run->epochs++;
    }
    store_point(&w, run->parameters);
}

/* Two functions, because compilers take less time for two than for one. */
static HOT void simultaneous_epochs(NN(training) *run)
{
    epochs_in_registers(run, 0);
}

#if NN_HAS_SEQUENTIAL
static HOT void sequential_epochs(NN(training) *run)
{
    epochs_in_registers(run, 1);
}
#endif

/* Trains by plain gradient descent on batches of one sample. Returns 0, and does nothing, for any other training. */
static HOT int train_in_registers(NN(training) *run)
{
    if (!is_plain(run) || run->data.weights || run->factors || run->batch != 1 || run->optimizer != DESCENT)
        return 0;
    if (run->data.starts || run->sweep != 0 || (run->sequential && !NN_HAS_SEQUENTIAL))
        return 0;
    run->current_parameters = run->parameters;
#if NN_HAS_SEQUENTIAL
    if (run->sequential)
        sequential_epochs(run);
    else
#endif
        simultaneous_epochs(run);
    run->current_parameters = NULL;
    return 1;
}

#ifndef NNCODEGEN_LINKED
#include "nncodegen/train/train.h" /* which calls this, and has the two functions above */
#endif

#endif
