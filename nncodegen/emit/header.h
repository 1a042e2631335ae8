/* @MARK@. Do not edit: change the model and build it again. */

#ifndef @name@_H
#define @name@_H

#include <stddef.h>
#include <stdint.h>

/* A pointer may be NULL only where this says so. Inputs and targets may be, wherever they are asked for, in a model that has
   none; so may be every poll that is given by a pointer: nobody is asked then. Memory need not be initialized unless this
   says how it is at first. */

/* How a call is stopped: stop(context) is asked now and then, and a result other than 0 ends the call. */
typedef struct {
    int (*stop)(void *context); /* may be NULL */
    void *context; /* may be NULL: it is handed to stop */
    double interval; /* seconds from one question to the next, at least */
    double spent; /* operations since the clock was read; 0 at first */
    double asked; /* when stop was asked; 0 at first */
} @name@_poll;

/* Rows of inputs and targets, and what each row counts: in the loss, and in the metrics. Without samples, all may be NULL. */
typedef struct {
    const @real@ *inputs;
    const @real@ *targets;
    size_t samples;
    const @real@ *weights; /* NULL: 1 each */
    const @real@ *counts; /* NULL: 1 each */
    const double *spread; /* of each target, its sum of squares around its mean; may be NULL without R2 */
} @name@_data;

enum { @name@_COMPLETED, @name@_CONVERGED, @name@_STOPPED_EARLY, @name@_DIVERGED, @name@_INTERRUPTED };

/* The columns of the history: without validation and metrics, the loss alone. The metrics of an epoch are means over its
   updates, as the loss is: those of the outputs from which its gradients were computed. */
enum { @name@_LOSS, @name@_VALIDATION_LOSS, @name@_METRICS, @name@_VALIDATION_METRICS = 5, @name@_COLUMNS = 8 };

/* The metrics, from the columns METRICS and VALIDATION_METRICS on. */
enum { @name@_ACCURACY, @name@_MEAN_ABSOLUTE_ERROR, @name@_R2, @name@_METRIC_COUNT };

typedef struct {
    /* What to train on, and what to validate with (0 samples: nothing). */
    @name@_data data;
    @name@_data validation;
    size_t batch;
    /* How. */
    int optimizer;
    const double *options; /* the learning rate first */
    const double *factors; /* of the learning rate, from the epoch at which the call begins; NULL: 1 */
    int factors_of_updates; /* one for each update, not for each epoch */
    double l1, l2, weight_decay, clip_value, clip_norm; /* 0: none */
    double tolerance; /* stop when no parameter changed by as much in an epoch; 0: never */
    int shuffle;
    int sequential; /* update one parameter at a time */
    uint64_t seed; /* of noise */
    size_t threads; /* that share large batches; the results do not depend on them */
    size_t until; /* return when so many epochs are done */
    int monitor; /* the column that tells the best epoch; -1: none */
    int higher; /* whether more of it is better */
    double min_delta; /* what counts as better */
    int metrics; /* those that are wanted, a bit 1 << METRIC for each; 0: none */
    int without_loss; /* whether no loss is computed, and that of the history is NaN; only without metrics */
    size_t patience; /* stop after so many epochs without the best; 0: never */
    @name@_poll poll;
    /* Memory: of PARAMETERS values each, the last of @name@_state_size(); @name@_work_size() bytes for each thread;
       samples. */
    @real@ *parameters;
    @real@ *present; /* set to NULL; where the parameters of a training that is under way are */
    @real@ *best; /* may be NULL where monitor is -1 */
    @real@ *state; /* 0 at first, or as the optimizer has it; may be NULL where it has none */
    void *work;
    size_t *order; /* may be NULL without shuffle */
    /* Where the training is: 0 at first, but for the best figure (infinite) and random (any number). */
    uint64_t random; /* the state of the random numbers when the present epoch began */
    size_t epochs;
    size_t updates;
    size_t begin; /* the first sample of the next update in the present epoch */
    size_t sweep; /* the next parameter of a sequential update */
    double epoch_loss, batch_loss, largest; /* of the present epoch, of the present update; the largest step */
    double *measures; /* @name@_measures_size() sums of the present epoch; may be NULL without metrics */
    double best_figure;
    size_t best_epoch; /* counted from 1 */
    /* What came out: for each epoch from the one at which the call began, the loss, or all columns. */
    double *history; /* columns values for each epoch */
    size_t columns;
    int status;
} @name@_training;

/* Operations for one sample, roughly: what a call adds to spent. */
size_t @name@_cost(void);

@BLAS@/* What dgemm or sgemm of BLAS is to C: the arguments are those of Fortran, and integers have 32 bits. */
@BLAS@typedef void @name@_gemm(char *transa, char *transb, int *m, int *n, int *k, @real@ *alpha, @real@ *a, int *lda,
@BLAS@    @real@ *b, int *ldb, @real@ *beta, @real@ *c, int *ldc);
@BLAS@
@BLAS@/* Leaves the products of large layers to a routine from now on, or (NULL, as at first) to the loops of this module. No
@BLAS@   other call may be under way. The routine is called by several threads at once, and must not start any. */
@BLAS@void @name@_use_gemm(@name@_gemm *routine);
@BLAS@
/* The CPUs that the kernel in use was compiled for: "avx512", "avx2", "neon", or "plain" for all of the family. */
const char *@name@_variant(void);

/* Uses the variant of the kernel for such CPUs, before any other call. Returns 1; 0 if there is none, or not for this CPU. */
int @name@_use(const char *variant);

/* The bytes of work memory that every call needs. */
size_t @name@_work_size(void);

/* The values of state that the optimizers need, 0 at first. */
size_t @name@_state_size(void);

/* The sums that metrics are made of; 0 where outputs cannot be compared with targets. */
size_t @name@_measures_size(void);

/* The number of the first value that is not finite; count if all are. */
size_t @name@_first_not_finite(const @real@ *values, size_t count);

/* Outputs, row by row. Returns 0, or 1 if stopped. */
int @name@_predict(const @real@ *parameters, const @real@ *inputs, size_t samples, void *work, @real@ *outputs,
    @name@_poll *poll);

/* Outputs of a few rows, 1 to @name@_FEW, which agree with those above to rounding. Returns 0, and computes nothing,
   where a value is not finite; else 1. */
enum { @name@_FEW = 4 };

int @name@_predict_few(const @real@ *parameters, const @real@ *inputs, size_t samples, void *work, @real@ *outputs);

/* The mean loss; weights may be NULL. Returns 0, or 1 if stopped. */
int @name@_loss(const @real@ *parameters, const @real@ *inputs, const @real@ *targets, const @real@ *weights,
    size_t samples, void *work, double *loss, @name@_poll *poll);

/* The mean loss and its gradient; weights may be NULL. Returns 0, or 1 if stopped. */
int @name@_loss_and_gradient(const @real@ *parameters, const @real@ *inputs, const @real@ *targets,
    const @real@ *weights, size_t samples, void *work, double *loss, @real@ *gradient, @name@_poll *poll);

@MANY@typedef struct {
@MANY@    /* What to train on: the inputs and targets of a model lie so many values behind those of the one before it, or,
@MANY@       where that is 0, are the same for all. */
@MANY@    const @real@ *inputs;
@MANY@    const @real@ *targets;
@MANY@    size_t input_stride;
@MANY@    size_t target_stride;
@MANY@    size_t samples;
@MANY@    size_t batch;
@MANY@    /* How. The learning rate among the options is not used. */
@MANY@    int optimizer;
@MANY@    const double *options;
@MANY@    const double *learning_rates; /* of each model */
@MANY@    const double *initial_state; /* of each variable of a state of state_size(), for each model; NULL: 0 */
@MANY@    double weight_decay; /* 0: none */
@MANY@    const double *l2; /* of each model; NULL: none */
@MANY@    double tolerance;
@MANY@    int shuffle;
@MANY@    uint64_t *random; /* of each model; may be NULL without shuffle */
@MANY@    size_t epochs;
@MANY@    @name@_poll poll;
@MANY@    size_t models;
@MANY@    size_t first; /* the call trains the models first <= m < last; first is a multiple of what many_models() says */
@MANY@    size_t last;
@MANY@    /* Memory: many_size() bytes, and an order of the samples for each model of a group (may be NULL without shuffle). */
@MANY@    void *work;
@MANY@    size_t *order;
@MANY@    /* What comes out for each model; parameters[model][parameter] are given; history[epoch][model], which may be NULL. */
@MANY@    @real@ *parameters;
@MANY@    double *loss;
@MANY@    double *history;
@MANY@    uint64_t *done; /* completed epochs, 0 at first */
@MANY@    int *status; /* @name@_COMPLETED at first */
@MANY@} @name@_many;
@MANY@
@MANY@/* The models of a group, which are trained side by side. */
@MANY@size_t @name@_many_models(void);
@MANY@
@MANY@size_t @name@_many_size(void);
@MANY@
@MANY@/* Trains models from their parameters on. Returns 0, or 1 if stopped. */
@MANY@int @name@_train_many(@name@_many *run);
@MANY@
/* Trains from run->epochs to run->until, beginning within an epoch where a call was interrupted in one. The parameters are
   those after the last completed update. */
void @name@_train(@name@_training *run);

/* The parameters at present, also where stop is asked while a training is under way: those after the last completed update,
   and within a sequential one after the last parameter that was updated. */
void @name@_present(const @name@_training *run, @real@ *parameters);

#endif
