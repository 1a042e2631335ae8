/* What a program sees of a model: its types, and the functions in entry_points.h. The header of a model includes this.

   Needs NN_MODEL and NN_REAL, the type of numbers, double or float; NN_HAS_MANY, whether many models are trained
   side by side, and NN_HAS_BLAS, whether products of large layers may be left to BLAS, each 0 or 1. It undefines
   them at its end, so that a program may include several models. */

#include <stddef.h>
#include <stdint.h>

#include "entry_points.h"
#include "names.h"

typedef NN_REAL NN(real);

/* How a call is stopped: stop(context) is asked now and then, and a result other than 0 ends the call. */
typedef struct {
    int (*stop)(void *context); /* may be NULL */
    void *context; /* may be NULL: it is handed to stop */
    double interval; /* seconds from one question to the next, at least */
    double spent; /* operations since the clock was read; 0 at first */
    double asked; /* when stop was asked; 0 at first */
} NN(poll);

/* Rows of inputs and targets, and what each row counts: in the loss, and in the metrics. Without samples, all may be
   NULL. */
typedef struct {
    const NN(real) *inputs;
    const NN(real) *targets;
    size_t samples;
    const NN(real) *weights; /* NULL: 1 each */
    const NN(real) *counts; /* NULL: 1 each */
    const double *spread; /* of each target, its sum of squares around its mean; may be NULL without R2 */
} NN(data);

enum { NN(COMPLETED), NN(CONVERGED), NN(STOPPED_EARLY), NN(DIVERGED), NN(INTERRUPTED) };

/* The columns of the history: without validation and metrics, the loss alone. The metrics of an epoch are means over
   its updates, as the loss is: those of the outputs from which its gradients were computed. */
enum { NN(LOSS), NN(VALIDATION_LOSS), NN(METRICS), NN(VALIDATION_METRICS) = 5, NN(COLUMNS) = 8 };

/* The metrics, from the columns METRICS and VALIDATION_METRICS on. */
enum { NN(ACCURACY), NN(MEAN_ABSOLUTE_ERROR), NN(R2), NN(METRIC_COUNT) };

typedef struct {
    /* What to train on, and what to validate with (0 samples: nothing). */
    NN(data) data;
    NN(data) validation;
    size_t batch;
    /* How. */
    int optimizer;
    const double *options; /* the learning rate first */
    const double *factors; /* of the learning rate, from the epoch at which the call begins; NULL: 1 */
    int factors_of_updates; /* one for each update, not for each epoch */
    int shuffle;
    uint64_t seed; /* of noise */
    size_t until; /* return when this number of epochs is done */
#define OPTION(type, name, meaning) type name;
#include "options.h"
#undef OPTION
    NN(poll) poll;
    /* Memory: of PARAMETERS values each, the last of state_size(); work_size() bytes for each thread;
       samples. */
    NN(real) *parameters;
    NN(real) *current_parameters; /* NULL at first; during train, where the current parameters are */
    NN(real) *best; /* may be NULL where monitor is -1 */
    NN(real) *state; /* 0 at first, or as the optimizer has it; may be NULL where it has none */
    void *work;
    size_t *order; /* may be NULL without shuffle */
    /* Where the training is: 0 at first, but for the best figure (infinite) and random (any number). */
    uint64_t random; /* the state of the random numbers when the current epoch began */
    size_t epochs;
    size_t updates;
    size_t begin; /* the first sample of the next update in the current epoch */
    size_t sweep; /* the next parameter of a sequential update */
    double epoch_loss, batch_loss, largest; /* of the current epoch, of the current update; the largest step */
    double *measures; /* measures_size() sums of the current epoch; may be NULL without metrics */
    double best_figure;
    size_t best_epoch; /* counted from 1 */
    /* What came out: for each epoch from the one at which the call began, the loss, or all columns. */
    double *history; /* columns values for each epoch */
    size_t columns;
    int status;
} NN(training);

typedef struct {
    /* What to train on: the inputs and targets of a model lie so many values behind those of the one before it, or,
       where that is 0, are the same for all. */
    const NN(real) *inputs;
    const NN(real) *targets;
    size_t input_stride;
    size_t target_stride;
    size_t samples;
    size_t batch;
    /* How. The learning rate among the options is not used. */
    int optimizer;
    const double *options;
    const double *learning_rates; /* of each model */
    const double *initial_state; /* of each variable of a state of state_size(), for each model; NULL: 0 */
    double weight_decay; /* 0: none */
    const double *l2; /* of each model; NULL: none */
    double tolerance;
    int shuffle;
    uint64_t *random; /* of each model; may be NULL without shuffle */
    size_t epochs;
    NN(poll) poll;
    size_t models;
    size_t first; /* the call trains the models first <= m < last; first is a multiple of what many_models() says */
    size_t last;
    /* Memory: many_size() bytes, and an order of the samples for each model of a group (may be NULL without
       shuffle). */
    void *work;
    size_t *order;
    /* What comes out for each model; parameters[model][parameter] are given; history[epoch][model], which may be
       NULL. */
    NN(real) *parameters;
    double *loss;
    double *history;
    uint64_t *done; /* completed epochs, 0 at first */
    int *status; /* COMPLETED at first */
} NN(many);

/* What dgemm or sgemm of BLAS is to C: the arguments are those of Fortran, and integers have 32 bits. */
typedef void NN(gemm)(char *transa, char *transb, int *m, int *n, int *k, NN(real) *alpha, NN(real) *a, int *lda,
    NN(real) *b, int *ldb, NN(real) *beta, NN(real) *c, int *ldc);

/* The rows that predict_few takes at most. */
enum { NN(FEW) = 4 };

NN_ENTRY_POINTS(NN_DECLARATION)
NN_ENTRY_POINTS_OF_CHOICE(NN_DECLARATION)
#if NN_HAS_MANY
NN_ENTRY_POINTS_FOR_MANY(NN_DECLARATION)
#endif
#if NN_HAS_BLAS
NN_ENTRY_POINTS_FOR_BLAS(NN_DECLARATION)
#endif

/* All of them, by name; those that a model has not are NULL. */
typedef struct {
    NN_ENTRY_POINTS(NN_MEMBER)
    NN_ENTRY_POINTS_OF_CHOICE(NN_MEMBER)
    NN_ENTRY_POINTS_FOR_MANY(NN_MEMBER)
    NN_ENTRY_POINTS_FOR_BLAS(NN_MEMBER)
} NN(functions);

#undef NN_MODEL
#undef NN_REAL
#undef NN_HAS_MANY
#undef NN_HAS_BLAS
