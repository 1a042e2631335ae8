/* The kernels of a model, as the runtime calls them.

   Needs base.h, and, where an instance is defined (KERNELS), the kernels themselves. Gives details, the structures
   predict_kernels, gradient_kernels, row_kernels, rule_kernels and group_kernels, and the initial values of the first
   three. A kernel that a model does not have is NULL. */

#ifndef NNCODEGEN_CALLS_H
#define NNCODEGEN_CALLS_H

#include "nncodegen/base/base.h"

/* The random bits from which all noise of an update is made, and the scale of noise: 1 in training, 0 elsewhere. */
typedef struct {
    uint64_t key;
    real scale;
} randomness;

/* The facts about a batch that only few kernels need. */
typedef struct {
    randomness noise;
    const size_t *sample_numbers; /* of the samples of a tile, for noise */
    int first_phase; /* the phases of the gradient to compute; the results of earlier phases are still in memory */
    int last_phase;
} details;

typedef void kernel_of_parameters(const real *restrict parameters, size_t samples, real *restrict work);

/* A kernel of a tile without sums. */
typedef void kernel_of_tile(const real *restrict parameters, const real *restrict inputs, const real *restrict targets,
    const real *restrict weights, size_t count, real *restrict work, real *restrict outputs);

typedef struct {
    kernel_of_parameters *prepare; /* computes what depends only on parameters */
    kernel_of_tile *tile;
    void (*sample)(const real *restrict parameters, const real *restrict inputs, real *restrict work,
        real *restrict outputs);
} predict_kernels;

/* Computes the outputs of at most FEW samples, all finite, with the work memory of a call (few.h). */
typedef void kernel_of_few(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs);

typedef struct {
    kernel_of_parameters *prepare_loss, *prepare;
    void (*between)(int phase, const real *restrict parameters, const double *restrict sums, size_t samples,
        real *restrict work);
    void (*loss)(const real *restrict parameters, const real *restrict inputs, const real *restrict targets,
        const real *restrict weights, size_t count, real *restrict work, double *restrict sums, int metrics,
        const real *restrict counts);
    void (*tile)(const real *parameters, const real *restrict inputs, const real *restrict targets,
        const real *restrict weights, size_t count, real *restrict work, int with_loss, int single_tile, real scale,
        double *restrict sums, real *gradient_sums, real *restrict partials, int metrics, const real *restrict counts,
        const details *restrict more);
    void (*flush)(real *restrict partials, double *restrict sums); /* adds up the lanes of partial sums */
    void (*finish)(const real *restrict parameters, const double *restrict sums, const real *gradient_sums,
        real *restrict work, real *gradient);
    void (*sample)(const real *parameters, const real *restrict inputs, const real *restrict targets, real weight,
        real *restrict work, int with_loss, real scale, double *restrict sums, real *gradient, int metrics,
        const real *restrict counts, const details *restrict more);
} gradient_kernels;

typedef struct {
    kernel_of_parameters *prepare;
    kernel_of_tile *tile;
} row_kernels;

/* The update rules that a model has in addition to those that every model has. */
typedef struct {
    int (*update)(int optimizer, size_t first, size_t last, const double *restrict options, double t,
        const real *restrict parameters, real *restrict state, real *restrict next);
    size_t (*variables)(int optimizer);
} rule_kernels;

struct model_group; /* group_kernels.h */

/* The sizes and kernels of a group of models, whose arrays are over [value][model]: group.h. */
typedef struct {
    size_t samples, values, sums;
    int gradient_apart; /* whether the gradient has a separate array; else it lies among the sums */
    void (*gradient)(int add, int with_loss, const real *restrict parameters, const real *restrict inputs,
        const real *restrict targets, real weight, size_t count, real *restrict values, real *restrict sums);
    void (*descend)(const real *restrict learning_rates, const real *restrict parameters, const real *restrict inputs,
        const real *restrict targets, real *restrict values, real *restrict next);
    void (*finish)(const real *restrict parameters, real *restrict values, const real *sums, real *gradient);
    /* sums up the gradients over a batch, and if with_loss also the losses; returns 1 if stopped */
    int (*sum_up)(NN(many) *run, int with_loss, size_t first, size_t begin, size_t samples, struct model_group *g);
    /* copies the rows of some samples from a position on, for each model in its order */
    void (*gather)(const NN(many) *run, size_t first, size_t position, size_t samples, real *x, real *y);
    void (*gather_parameters)(const real *const *rows, real *to); /* copies those of each model */
    /* the update rules that a model has in addition to those that every model has */
    void (*update)(int optimizer, const double *restrict options, double t, const real *restrict learning_rates,
        const real *restrict parameters, const real *restrict gradient, real *restrict state, real *restrict next);
    int (*is_linear)(int optimizer);
} group_kernels;

/* Trains in registers. Returns 0, and does nothing, for a training that needs the usual loops. */
typedef int kernel_in_registers(NN(training) *run);

/* Before a function of the library that kernels call. */
#ifdef NNCODEGEN_LINKED
#define SHARED NN_HIDDEN
#else
#define SHARED static UNUSED
#endif

/* Defines the kernels of a model, constants that compilers replace by direct calls. In the library they are members of
   the structure of a model. */
#ifdef NNCODEGEN_LIBRARY
#define predicting MODEL.predict
#define outputs_of_few MODEL.few
#define deriving MODEL.gradient
#define of_rows MODEL.rows
#define in_registers MODEL.train_in_registers
#define of_group MODEL.group
#define KERNELS(type, name, values)
#else
#define KERNELS(type, name, values) static UNUSED type const name = values;
#endif

#if NN_PREPARES_PREDICT
#define PREDICT_PREPARE predict_prepare
#else
#define PREDICT_PREPARE NULL
#endif
#if NN_HAS_BLOCKS && !NN_TILES_ONLY
#define PREDICT_SAMPLE predict_sample
#else
#define PREDICT_SAMPLE NULL
#endif
#define PREDICT_KERNELS {PREDICT_PREPARE, predict_tile, PREDICT_SAMPLE}

#if NN_PREPARES_LOSS
#define LOSS_PREPARE loss_prepare
#else
#define LOSS_PREPARE NULL
#endif
#if NN_PREPARES_GRADIENT
#define GRADIENT_PREPARE gradient_prepare
#else
#define GRADIENT_PREPARE NULL
#endif
#if NN_PHASES > 1
#define GRADIENT_BETWEEN gradient_between
#else
#define GRADIENT_BETWEEN NULL
#endif
#define LOSS_TILE loss_tile
#if NN_HAS_BLOCKS
#define FLUSH flush
#else
#define FLUSH NULL
#endif
#if NN_HAS_SINGLE_GRADIENT
#define GRADIENT_SAMPLE gradient_sample
#else
#define GRADIENT_SAMPLE NULL
#endif
#define GRADIENT_KERNELS { \
    LOSS_PREPARE, GRADIENT_PREPARE, GRADIENT_BETWEEN, LOSS_TILE, gradient_tile, FLUSH, gradient_finish, \
    GRADIENT_SAMPLE}

#if NN_HAS_REGISTERS
#define TRAIN_IN_REGISTERS train_in_registers
#else
#define TRAIN_IN_REGISTERS NULL
#endif

#if NN_PREPARES_JACOBIAN
#define ROW_PREPARE jacobian_prepare
#else
#define ROW_PREPARE NULL
#endif
#define ROW_KERNELS {ROW_PREPARE, jacobian_tile}

#endif
