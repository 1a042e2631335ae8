/* The kernels of a group of models, as the training of many models calls them (calls.h), with what must know the sizes
   of a model to be fast: sums over a batch, whose rows are put side by side.

   Needs group.h, optimizers.h, poll.h, and the kernels group_gradient and, if NN_GROUP_FINISHES, group_finish, if
   NN_GROUP_DESCENDS, group_descend. Gives group, model_in, the loops of the update rules (GROUP_UPDATE) and, outside of
   the library, GROUP_KERNELS. */

#ifndef NNCODEGEN_GROUP_KERNELS_H
#define NNCODEGEN_GROUP_KERNELS_H

#include "nncodegen/base/calls.h"
#include "nncodegen/products/group.h"
#if NN_HAS_BLOCKS
#include "nncodegen/products/group_products.h"
#endif
#include "nncodegen/train/optimizers.h"
#include "nncodegen/base/poll.h"

/* One update of a group by a rule, with a separate learning rate for each model. */
#define GROUP_UPDATE(number, rule, variables, linear) \
    static HOT void group_update_##rule(const double *restrict options, double t, const real *restrict learning_rates, \
        const real *restrict parameters, const real *restrict gradient, real *restrict state, real *restrict next) \
    { \
        const rule##_numbers numbers = rule##_prepare(options, t); \
        const size_t stride = PARAMETERS*MODELS; \
        for (size_t first = 0; first < stride; first += MODELS) { \
            MODELS_LOOP \
            for (size_t m = 0; m < MODELS; m++) { \
                const size_t k = first + m; \
                next[k] = rule##_step(numbers, learning_rates[m], parameters[k], gradient[k], state + k, stride); \
            } \
        } \
    }

#define CASE_OF_GROUP_UPDATE(number, rule, variables, linear) \
    case number: \
        group_update_##rule(options, t, learning_rates, parameters, gradient, state, next); \
        break;

#define CASE_OF_LINEAR(number, rule, variables, linear) \
    case number: \
        return linear;

/* A group of models in training: arrays over [parameter][model], and the progress of each model of the group. */
typedef struct model_group {
    real *parameters, *next, *gradient, *state, *saved, *sums, *values, *x, *y, *learning_rates;
    double *totals;
    uint64_t random[MODELS];
    double loss[MODELS], largest[MODELS]; /* of the current epoch */
    real l2[MODELS];
    int active[MODELS]; /* whether a model is still in training */
    size_t epoch;
    int all; /* whether all are still in training, including the copies of the last model that fill a group */
} group;

/* Returns the number of the model in a lane of a group: copies of the last model fill it. */
INLINE size_t model_in(const NN(many) *run, size_t first, size_t lane)
{
    return first + lane < run->last ? first + lane : run->last - 1;
}

#ifndef NNCODEGEN_LIBRARY
/* Copies values that all models share to each of them. */
static HOT void copy_to_models(const real *values, size_t count, real *to)
{
    for (size_t k = 0; k < count; k++) {
        MODELS_LOOP
        for (size_t m = 0; m < MODELS; m++)
            to[k*MODELS + m] = values[k];
    }
}

/* Copies the rows of some samples from a position on, for each model in its order, into the layout of a group. */
static HOT void gather(const NN(many) *run, size_t first, size_t position, size_t samples, real *x, real *y)
{
    const size_t count = GROUP_TILE > 1 ? samples : 1; /* so that a compiler knows it, where it is always the same */
    const int own_x = INPUTS > 0 && (run->shuffle || run->input_stride);
    const int own_y = TARGETS > 0 && (run->shuffle || run->target_stride);
    if (INPUTS > 0 && !own_x)
        copy_to_models(run->inputs + position*INPUTS, count*INPUTS, x);
    if (TARGETS > 0 && !own_y)
        copy_to_models(run->targets + position*TARGETS, count*TARGETS, y);
    for (size_t n = 0; n < count && (own_x || own_y); n++) {
        const real *x_rows[MODELS], *y_rows[MODELS];
        for (size_t m = 0; m < MODELS; m++) {
            const size_t model = model_in(run, first, m);
            const size_t sample = run->shuffle ? run->order[m*run->samples + position + n] : position + n;
            x_rows[m] = own_x ? run->inputs + model*run->input_stride + sample*INPUTS : NULL;
            y_rows[m] = own_y ? run->targets + model*run->target_stride + sample*TARGETS : NULL;
        }
        if (own_x)
            side_by_side(x_rows, INPUTS, x + n*INPUTS*MODELS);
        if (own_y)
            side_by_side(y_rows, TARGETS, y + n*TARGETS*MODELS);
    }
}

/* Copies the parameters of each model, given their addresses, into the layout of a group. */
static HOT void gather_parameters(const real *const *rows, real *to)
{
    side_by_side(rows, PARAMETERS, to);
}

/* Sums up the gradients over a batch, and if with_loss also the losses; over more than a tile of samples, in double.
   Returns 1 if stopped. */
static HOT int sums_of_group(NN(many) *run, int with_loss, size_t first, size_t begin, size_t samples, group *g)
{
    const real weight = (real) (1/(double) samples);
    size_t summed = 0; /* samples of the current tile */
    for (size_t n = 0; n < samples; n += GROUP_TILE) {
        const size_t count = samples - n < GROUP_TILE ? samples - n : GROUP_TILE, end = n + count;
        if (run->samples > 1)
            gather(run, first, begin + n, count, g->x, g->y);
        group_gradient(summed > 0, with_loss, g->parameters, g->x, g->y, weight, count, g->values, g->sums);
        summed = summed + count < TILE ? summed + count : 0;
        if (samples > TILE && (summed == 0 || end == samples)) {
            for (size_t k = with_loss ? 0 : MODELS; k < MODELS*GROUP_SUMS; k++)
                g->totals[k] = (n < TILE ? 0 : g->totals[k]) + (double) g->sums[k];
        }
        if (stopped(&run->poll, (double) MODELS*OPERATIONS*(double) count))
            return 1;
    }
    if (samples > TILE) {
        for (size_t k = with_loss ? 0 : MODELS; k < MODELS*GROUP_SUMS; k++)
            g->sums[k] = (real) g->totals[k];
    }
    return 0;
}

#ifdef NN_OWN_RULES
NN_OWN_RULES(GROUP_UPDATE)

static void own_group_update(int optimizer, const double *restrict options, double t,
    const real *restrict learning_rates, const real *restrict parameters, const real *restrict gradient,
    real *restrict state, real *restrict next)
{
    switch (optimizer) {
        NN_OWN_RULES(CASE_OF_GROUP_UPDATE)
    }
}

static int own_is_linear(int optimizer)
{
    switch (optimizer) {
        NN_OWN_RULES(CASE_OF_LINEAR)
    }
    return 0;
}

#define GROUP_RULES own_group_update, own_is_linear
#else
#define GROUP_RULES NULL, NULL
#endif

#if NN_GROUP_DESCENDS
#define GROUP_DESCEND group_descend
#else
#define GROUP_DESCEND NULL
#endif
#if NN_GROUP_FINISHES
#define GROUP_FINISH group_finish
#else
#define GROUP_FINISH NULL
#endif

#define GROUP_KERNELS { \
    GROUP_TILE, VALUES, GROUP_SUMS, NN_GROUP_GRADIENT_APART, group_gradient, GROUP_DESCEND, GROUP_FINISH, \
    sums_of_group, gather, gather_parameters, GROUP_RULES}
#endif

#endif
