/* Training of many models at once, a group of them side by side. The last line of NAME_many.c includes it.

   Needs what group_kernels.h needs. Gives train_many, many_size and many_models; or, with NNCODEGEN_LINKED, grouped
   (model.h), if these functions are those of the library. */

#ifndef NNCODEGEN_MANY_H
#define NNCODEGEN_MANY_H

#include "nncodegen/train/group_kernels.h"

#if defined(NNCODEGEN_LINKED) && !defined(NNCODEGEN_LIBRARY)
#include "nncodegen/base/model.h"

const linked_model NN(grouped) = {
    .size = SIZES_OF_MODEL, .special_ranges = RANGES_OF_MODEL, .group = GROUP_KERNELS
};
#else
#include "nncodegen/base/poll.h"
#include "nncodegen/train/regularize.h"
#include "nncodegen/train/shuffle.h"

KERNELS(group_kernels, of_group, GROUP_KERNELS)

NN_RULES(GROUP_UPDATE)

/* Does one update of a group by the optimizer of the given number. */
static UNUSED void group_update(int optimizer, const double *restrict options, double t,
    const real *restrict learning_rates, const real *restrict parameters, const real *restrict gradient,
    real *restrict state, real *restrict next)
{
    switch (optimizer) {
        NN_RULES(CASE_OF_GROUP_UPDATE)
    default:
        if (of_group.update)
            of_group.update(optimizer, options, t, learning_rates, parameters, gradient, state, next);
    }
}

/* Returns whether the next parameter is a multiple of the current one plus a term: one that is not finite remains
   so. */
static UNUSED int is_linear(int optimizer)
{
    switch (optimizer) {
        NN_RULES(CASE_OF_LINEAR)
    }
    return of_group.is_linear && of_group.is_linear(optimizer);
}

enum { LEAP = 64 }; /* epochs between two checks of the results, where leap can be used */

#define GROUP_PARAMETERS (MODELS*PARAMETERS)
#define GROUP_STATE (STATE*GROUP_PARAMETERS)
#define GROUP_ROWS (MODELS*GROUP_TILE*(INPUTS + TARGETS))
#define GROUP_VALUES (4*GROUP_PARAMETERS + 2*GROUP_STATE + MODELS*(GROUP_SUMS + VALUES + 1) + GROUP_ROWS)

size_t NN(many_size)(void)
{
    return 64 + MODELS*GROUP_SUMS*sizeof(double) + GROUP_VALUES*sizeof(real);
}

/* Cuts work memory into the arrays of a group. The arrays that every update reads or writes come first and together,
   so that they stay in the first-level cache. */
static UNUSED void carve_group(void *work, group *g)
{
    g->totals = (double *) (((uintptr_t) work + 63)/64*64);
    g->sums = (real *) (g->totals + MODELS*GROUP_SUMS);
    g->parameters = g->sums + MODELS*GROUP_SUMS;
    g->next = g->parameters + GROUP_PARAMETERS;
    g->values = g->next + GROUP_PARAMETERS;
    g->x = g->values + MODELS*VALUES;
    g->y = g->x + MODELS*GROUP_TILE*INPUTS;
    g->learning_rates = g->y + MODELS*GROUP_TILE*TARGETS;
    g->state = g->learning_rates + MODELS;
    g->saved = g->state + GROUP_STATE;
    g->gradient = of_group.gradient_apart ? g->saved + GROUP_PARAMETERS + GROUP_STATE : g->sums + MODELS;
}

static UNUSED void swap_parameters(group *g)
{
    real *const parameters = g->parameters;
    g->parameters = g->next;
    g->next = parameters;
}

/* Computes the next parameters of a group from the sums over a batch. */
static UNUSED void update_group(const NN(many) *run, double updates, group *g)
{
    if (of_group.finish)
        of_group.finish(g->parameters, g->values, g->sums, g->gradient);
    for (size_t k = 0; run->l2 && k < special.penalized_count; k++) {
        const size_t end = special.penalized[k].end;
        for (size_t p = special.penalized[k].first; p < end; p++) {
            MODELS_LOOP
            for (size_t m = 0; m < MODELS; m++)
                g->gradient[p*MODELS + m] += g->l2[m]*g->parameters[p*MODELS + m];
        }
    }
    group_update(run->optimizer, run->options, updates, g->learning_rates, g->parameters, g->gradient, g->state,
        g->next);
    if (run->weight_decay > 0) {
        real shares[MODELS];
        for (size_t m = 0; m < MODELS; m++)
            shares[m] = (real) ((double) g->learning_rates[m]*run->weight_decay);
        for (size_t p = 0; p < PARAMETERS; p++) {
            MODELS_LOOP
            for (size_t m = 0; m < MODELS; m++)
                g->next[p*MODELS + m] -= shares[m]*g->parameters[p*MODELS + m];
        }
    }
    keep_frozen(g->parameters, g->next, 0, PARAMETERS, MODELS);
}

/* Computes the next parameters of a group from a single sample. */
static UNUSED void update_by_sample(const NN(many) *run, int with_loss, double updates, group *g)
{
    if (of_group.descend && !with_loss && run->optimizer == (int) DESCENT && !(run->weight_decay > 0) && !run->l2) {
        of_group.descend(g->learning_rates, g->parameters, g->x, g->y, g->values, g->next);
        return;
    }
    of_group.gradient(0, with_loss, g->parameters, g->x, g->y, 1, 1, g->values, g->sums);
    update_group(run, updates, g);
}

/* Ends the training of a model, whose parameters go to the results. NaN takes their place, so that the others do not
   wait for differential equations that take it very many steps. */
static COLD void end_model(const NN(many) *run, size_t first, size_t m, group *g)
{
    g->active[m] = g->all = 0;
    for (size_t p = 0; p < PARAMETERS; p++) {
        if (first + m < run->last)
            run->parameters[(first + m)*PARAMETERS + p] = g->parameters[p*MODELS + m];
        g->parameters[p*MODELS + m] = (real) NAN;
    }
}

/* Takes the parameters of the models whose training has ended from the results again. */
static COLD void take_ended(const NN(many) *run, size_t first, group *g)
{
    for (size_t m = 0; m < MODELS && !g->all; m++)
        for (size_t p = 0; p < PARAMETERS && !g->active[m]; p++)
            g->parameters[p*MODELS + m] = run->parameters[model_in(run, first, m)*PARAMETERS + p];
}

/* Makes the next parameters of the models in training the current ones. A model has diverged if its next parameters
   are not finite or, with a history, its loss; then it keeps its current parameters. */
static UNUSED void take_over(const NN(many) *run, size_t first, const real *loss, group *g)
{
    if (run->tolerance > 0) {
        for (size_t k = 0; k < MODELS*PARAMETERS; k++) {
            const double change = fabs((double) g->next[k] - (double) g->parameters[k]);
            g->largest[k%MODELS] = change > g->largest[k%MODELS] ? change : g->largest[k%MODELS];
        }
    }
    if (g->all && (!run->history || few_finite(loss, MODELS)) && few_finite(g->next, GROUP_PARAMETERS)) {
        swap_parameters(g);
        return;
    }
    for (size_t m = 0; m < MODELS; m++) {
        int finite = !run->history || isfinite(loss[m]);
        for (size_t p = 0; p < PARAMETERS; p++)
            finite = finite && isfinite(g->next[p*MODELS + m]);
        if (g->active[m] && !finite) {
            end_model(run, first, m, g);
            if (first + m < run->last) {
                run->status[first + m] = NN(DIVERGED);
                run->done[first + m] = g->epoch;
            }
        }
        for (size_t p = 0; p < PARAMETERS && g->active[m]; p++)
            g->parameters[p*MODELS + m] = g->next[p*MODELS + m];
    }
}

/* Trains a group for one epoch. Returns 1 if stopped. */
static HOT int epoch_of_group(NN(many) *run, size_t first, double *updates, group *g)
{
    for (size_t m = 0; m < MODELS; m++)
        g->loss[m] = g->largest[m] = 0;
    for (size_t m = 0; run->shuffle && m < MODELS; m++)
        shuffle(run->order + m*run->samples, run->samples, &g->random[m]);
    for (size_t begin = 0; begin < run->samples; begin += run->batch) {
        const size_t samples = run->samples - begin < run->batch ? run->samples - begin : run->batch;
        const double share = (double) samples/(double) run->samples;
        const real *const loss = g->sums;
        if (of_group.sum_up(run, run->history != NULL, first, begin, samples, g))
            return 1;
        *updates += 1;
        update_group(run, *updates, g);
        take_over(run, first, loss, g);
        for (size_t m = 0; run->history && m < MODELS; m++)
            g->loss[m] += (double) loss[m]*share;
    }
    return 0;
}

/* Records the results of an epoch of a group. Returns whether any model of it is still in training. */
static UNUSED int record(const NN(many) *run, size_t first, group *g)
{
    const size_t count = run->last - first < MODELS ? run->last - first : MODELS;
    int active = 0;
    for (size_t m = 0; run->history && m < count; m++) {
        if (g->active[m])
            run->history[g->epoch*run->models + first + m] = g->loss[m];
    }
    if (g->all && !(run->tolerance > 0))
        return 1;
    for (size_t m = 0; m < count; m++) {
        if (!g->active[m])
            continue;
        run->done[first + m] = g->epoch + 1;
        if (g->largest[m] < run->tolerance) {
            run->status[first + m] = NN(CONVERGED);
            end_model(run, first, m, g);
        }
    }
    for (size_t m = 0; m < count; m++)
        active |= g->active[m];
    return active;
}

/* Trains for some epochs on a single sample, with one check at their end: if all values are finite then, they always
   were, because with these optimizers a parameter that is not finite remains so. Otherwise everything is undone.
   Returns whether the epochs are done. */
static HOT int leap(const NN(many) *run, size_t first, size_t epochs, double *updates, group *g)
{
    const size_t count = run->last - first < MODELS ? run->last - first : MODELS;
    const real *const loss = g->sums;
    double *const history = run->history ? run->history + g->epoch*run->models + first : NULL;
    const double updates_before = *updates;
    memcpy(g->saved, g->parameters, GROUP_PARAMETERS*sizeof(real));
    memcpy(g->saved + GROUP_PARAMETERS, g->state, GROUP_STATE*sizeof(real));
    for (size_t epoch = 0; epoch < epochs; epoch++) {
        *updates += 1;
        update_by_sample(run, history != NULL, *updates, g);
        swap_parameters(g);
        for (size_t m = 0; history && m < count; m++)
            history[epoch*run->models + m] = (double) loss[m];
    }
    double check = 0; /* the sum of the losses */
    for (size_t epoch = 0; history && epoch < epochs; epoch++) {
        EXACT_SUM_LOOP(check)
        for (size_t m = 0; m < count; m++)
            check += history[epoch*run->models + m]*0;
    }
    if (check == 0 && few_finite(g->parameters, GROUP_PARAMETERS)) {
        g->epoch += epochs;
        return 1;
    }
    for (size_t epoch = 0; history && epoch < epochs; epoch++) {
        for (size_t m = 0; m < count; m++)
            history[epoch*run->models + m] = (double) NAN;
    }
    memcpy(g->parameters, g->saved, GROUP_PARAMETERS*sizeof(real));
    memcpy(g->state, g->saved + GROUP_PARAMETERS, GROUP_STATE*sizeof(real));
    *updates = updates_before;
    return 0;
}

/* Copies one number for each model of a group; NULL: 0. */
static HOT void take_numbers(const NN(many) *run, size_t first, const double *from, real *to)
{
    for (size_t m = 0; m < MODELS; m++)
        to[m] = from ? (real) from[model_in(run, first, m)] : 0;
}

/* Begins the training of the group whose first model is given. Its loops are in functions that are compiled for speed:
   for size, they took a fifth of the time of trainings of few epochs. */
static UNUSED void start(const NN(many) *run, size_t first, group *g)
{
    const real *parameters[MODELS];
    for (size_t m = 0; m < MODELS; m++) {
        const size_t model = model_in(run, first, m);
        parameters[m] = run->parameters + model*PARAMETERS;
        g->active[m] = 1;
        g->random[m] = run->random ? run->random[model] : 0;
    }
    g->all = 1;
    of_group.gather_parameters(parameters, g->parameters);
    take_numbers(run, first, run->learning_rates, g->learning_rates);
    take_numbers(run, first, run->l2, g->l2);
    for (size_t k = 0; k < STATE; k++) {
        real *const state = g->state + k*GROUP_PARAMETERS;
        take_numbers(run, first, run->initial_state ? run->initial_state + k*run->models : NULL, state);
        for (size_t p = 1; p < PARAMETERS; p++)
            memcpy(state + p*MODELS, state, MODELS*sizeof(real));
    }
    for (size_t m = 0; run->shuffle && m < MODELS; m++)
        for (size_t n = 0; n < run->samples; n++)
            run->order[m*run->samples + n] = n;
    if (run->samples == 1)
        of_group.gather(run, first, 0, 1, g->x, g->y);
}

/* Writes the final values of a group to the results, given its losses in the sums. */
static COLD void finish(const NN(many) *run, size_t first, const group *g)
{
    const size_t count = run->last - first < MODELS ? run->last - first : MODELS;
    for (size_t m = 0; m < count; m++) {
        if (g->active[m])
            run->done[first + m] = g->epoch;
        run->loss[first + m] = (double) g->sums[m];
        for (size_t p = 0; p < PARAMETERS; p++)
            run->parameters[(first + m)*PARAMETERS + p] = g->parameters[p*MODELS + m];
    }
}

/* Compiled for size, and its loops for speed, which takes compilers a fifth less time than all in one function. */
COLD int NN(train_many)(NN(many) *run)
{
    FLUSH_SUBNORMALS
    const int leaps = run->samples == 1 && !(run->tolerance > 0) && is_linear(run->optimizer);
    group g;
    carve_group(run->work, &g);
    for (size_t first = run->first; first < run->last; first += MODELS) {
        double updates = 0;
        int active = 1;
        start(run, first, &g);
        for (g.epoch = 0; g.epoch < run->epochs && active;) {
            const size_t left = run->epochs - g.epoch, epochs = left < LEAP ? left : LEAP;
            if (leaps && g.all && leap(run, first, epochs, &updates, &g)) {
                if (stopped(&run->poll, (double) MODELS*OPERATIONS*(double) epochs))
                    return 1;
                continue;
            }
            for (const size_t end = g.epoch + epochs; g.epoch < end && active; g.epoch++) {
                if (epoch_of_group(run, first, &updates, &g))
                    return 1;
                active = record(run, first, &g);
            }
        }
        take_ended(run, first, &g);
        if (of_group.sum_up(run, 1, first, 0, run->samples, &g)) /* the losses at the end */
            return 1;
        finish(run, first, &g);
    }
    return 0;
}

size_t NN(many_models)(void)
{
    return MODELS;
}
#endif

#ifdef NNCODEGEN_APART
#define NN_PART NN_ENTRY_POINTS_FOR_MANY(NN_INITIAL)
#include "nncodegen/base/part.h"
#endif

#endif
