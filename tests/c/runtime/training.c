/* The sample model as a whole, for Python: its entry points, trainings whose settings are arguments, and single updates
   by each rule, of one model and of a group. */

#include "sample.h"
#include "sample_kernels.h"

#include "nncodegen/training.h"
#if NN_HAS_MANY
#include "nncodegen/many.h"
#endif

/* Counts down the questions of a training, and ends it at 0. */
static int count_down(void *context)
{
    size_t *const left = context;
    return --*left == 0;
}

/* Trains for some epochs by batches, with the optimizer of a number; history has the loss of each epoch. With
   interruptions, a call ends at its third question, and the next goes on from there. Returns the status. */
size_t train_single(size_t optimizer, const double *options, const real *inputs, const real *targets,
    const real *weights, size_t samples, size_t batch_size, size_t epochs, size_t shuffled, size_t sequential,
    size_t interrupted, real *state, size_t *order, void *work, real *parameters, double *history)
{
    size_t left = 3;
    NN(training) run = {.data = {.inputs = inputs, .targets = targets, .samples = samples, .weights = weights},
        .batch = batch_size, .optimizer = (int) optimizer, .options = options, .shuffle = (int) shuffled,
        .sequential = (int) sequential, .until = epochs, .monitor = -1, .parameters = parameters, .state = state,
        .work = work, .order = order, .random = 1, .best_figure = HUGE_VAL, .history = history, .columns = 1};
    if (interrupted)
        run.poll = (NN(poll)) {.stop = count_down, .context = &left};
    for (size_t calls = 0;; calls++) {
        const size_t done = run.epochs;
        run.history = history + done;
        NN(train)(&run);
        left = 3;
        if (run.status != NN(INTERRUPTED) || calls > 100000)
            return (size_t) run.status;
    }
}

#if NN_HAS_MANY
/* The same with a group of models, each from its own parameters [model][parameter] with its own learning rate. */
size_t train_several(size_t optimizer, const double *options, const double *learning_rates, const real *inputs,
    const real *targets, size_t samples, size_t batch_size, size_t epochs, size_t models, void *work, real *parameters,
    double *losses, double *history, size_t *done, int *status)
{
    NN(many) run = {.inputs = inputs, .targets = targets, .samples = samples, .batch = batch_size,
        .optimizer = (int) optimizer, .options = options, .learning_rates = learning_rates, .epochs = epochs,
        .models = models, .last = models, .work = work, .parameters = parameters, .loss = losses, .history = history,
        .done = done, .status = status};
    return (size_t) NN(train_many)(&run);
}

/* All arrays but options and learning_rates are [parameter][model], the states one after the other. */
void update_group_of(size_t rule, const double *options, size_t t, const real *learning_rates, const real *parameters,
    const real *gradient, real *state, real *next)
{
    group_update((int) rule, options, (double) t, learning_rates, parameters, gradient, state, next);
}

size_t models(void)
{
    return MODELS;
}
#endif

size_t update_one(size_t rule, size_t first, size_t last, const double *options, size_t t, const real *parameters,
    real *state, real *next)
{
    return (size_t) update((int) rule, first, last, options, (double) t, parameters, state, next);
}

size_t variables_of(size_t rule)
{
    return variables_of_state((int) rule);
}

size_t stays_lost(size_t rule)
{
    return (size_t) is_linear((int) rule);
}
