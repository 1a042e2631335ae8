/* The interface of a model: its types, and its functions, which entry_points.h lists. The header of a model includes
   this.

   Needs NN_MODEL and NN_REAL, the type of numbers, double or float; and six that may be 1: NN_HAS_MANY, whether many
   models are trained side by side, NN_HAS_BLAS, whether products of large layers may be left to BLAS, NN_HAS_FIT,
   whether there are fits, NN_HAS_FITS, whether there are many of them side by side, NN_HAS_HESSIAN, whether there are
   products with the Hessian of the loss, and NN_HAS_FIELDS, whether there are derivatives by inputs. It undefines them
   at its end, so that a program may include several models. */

#include <stddef.h>
#include <stdint.h>

#include "entry_points.h"
#include "names.h"

typedef NN_REAL NN(real);

/* How a call is stopped: it calls stop(context) from time to time, and ends if that returns another value than 0. */
typedef struct {
    int (*stop)(void *context); /* may be NULL */
    void *context; /* the argument of stop; may be NULL */
    double interval; /* the least time between two calls of stop, in seconds */
    double spent; /* operations since the clock was last read; 0 at first */
    double asked; /* the time of the last call of stop; 0 at first */
} NN(poll);

/* Samples: a row of inputs and one of targets for each, and how much each counts in the loss (weights) and in metrics
   (counts). Without samples, all pointers may be NULL. Rows of inputs may be sparse: inputs holds only those values that
   are given, for sample n those from starts[n] to starts[n + 1], each for the input whose number columns has at the same
   place, in any order and once; all others are 0. */
typedef struct {
    const NN(real) *inputs;
    const NN(real) *targets;
    size_t samples;
    const NN(real) *weights; /* NULL: 1 each */
    const NN(real) *counts; /* NULL: 1 each */
    const double *spread; /* of each target, the sum of its squared deviations from its mean; may be NULL without R2 */
    const size_t *starts; /* [samples + 1]; NULL: whole rows */
    const uint32_t *columns; /* [starts[samples]]; NULL: whole rows */
} NN(data);

enum { NN(COMPLETED), NN(CONVERGED), NN(STOPPED_EARLY), NN(DIVERGED), NN(INTERRUPTED) };

/* The columns of the history: without validation and metrics, only the loss. The loss and the metrics of an epoch
   are means over its updates, of the outputs from which their gradients were computed. */
enum { NN(LOSS), NN(VALIDATION_LOSS), NN(METRICS), NN(VALIDATION_METRICS) = 5, NN(COLUMNS) = 8 };

/* The metrics, in the order of the columns from METRICS and from VALIDATION_METRICS on. */
enum { NN(ACCURACY), NN(MEAN_ABSOLUTE_ERROR), NN(R2), NN(METRIC_COUNT) };

typedef struct {
    /* What to train on, and what to validate with (0 samples: nothing). */
    NN(data) data;
    NN(data) validation;
    size_t batch;
    /* How to train. */
    int optimizer;
    const double *options; /* hyperparameters; the learning rate first */
    const double *factors; /* of the learning rate, from the first epoch of the call on; NULL: 1 each */
    int factors_of_updates; /* whether there is a factor for each update, not for each epoch */
    int shuffle;
    uint64_t seed; /* of noise */
    size_t until; /* return after this number of epochs in total */
#define OPTION(type, name, meaning) type name;
#include "options.h"
#undef OPTION
    NN(poll) poll;
    /* Memory: PARAMETERS values each, but for state, with state_size() values, work, with work_size() bytes for each
       thread, and order, with a number for each sample. */
    NN(real) *parameters;
    NN(real) *current_parameters; /* NULL at first; during train, where the current parameters are */
    NN(real) *best; /* may be NULL where monitor is -1 */
    NN(real) *state; /* of the optimizer; 0 at first; may be NULL for one without state */
    void *work;
    size_t *order; /* may be NULL without shuffle */
    /* The progress of the training: 0 at first, but for best_figure (infinity) and random (any number). */
    uint64_t random; /* the state of the random numbers when the current epoch began */
    size_t epochs;
    size_t updates;
    size_t begin; /* the first sample of the next update in the current epoch */
    size_t sweep; /* the next parameter of a sequential update */
    double epoch_loss, batch_loss; /* of the current epoch so far, of the last update */
    double largest; /* the largest change of a parameter in the current epoch */
    double *measures; /* measures_size() sums of the current epoch; may be NULL without metrics */
    double best_figure;
    size_t best_epoch; /* counted from 1 */
    /* Results: for each epoch from the first one of the call on, the loss, or all columns. */
    double *history; /* columns values for each epoch */
    size_t columns;
    int status;
} NN(training);

typedef struct {
    /* What to train on. The inputs and targets of each model begin input_stride and target_stride values after those of
       the one before; where a stride is 0, all models share them. */
    const NN(real) *inputs;
    const NN(real) *targets;
    size_t input_stride;
    size_t target_stride;
    size_t samples;
    size_t batch;
    /* How to train. The learning rate among the options is not used. */
    int optimizer;
    const double *options;
    const double *learning_rates; /* of each model */
    const double *initial_state; /* initial_state[k][model] for each kind of state that the optimizer keeps; NULL: 0 */
    double weight_decay; /* 0: none */
    const double *l2; /* of each model; NULL: none */
    double tolerance;
    int shuffle;
    uint64_t *random; /* of each model; may be NULL without shuffle */
    size_t epochs;
    NN(poll) poll;
    size_t models;
    size_t first; /* the call trains the models first <= m < last; first is a multiple of many_models() */
    size_t last;
    /* Memory: many_size() bytes, and an order of the samples for each model of a group (may be NULL without
       shuffle). */
    void *work;
    size_t *order;
    /* Results: parameters[model][parameter], which hold the initial ones at first, history[epoch][model], which may be
       NULL, and a value for each model. */
    NN(real) *parameters;
    double *loss;
    double *history;
    uint64_t *done; /* completed epochs, 0 at first */
    int *status; /* COMPLETED at first */
} NN(many);

/* What a residual z = (output - target)/sigma counts in the cost of a fit: z^2, or less where it is large, as in
   scipy.optimize.least_squares. */
enum { NN(LINEAR), NN(HUBER), NN(SOFT_L1), NN(CAUCHY) };

/* How a fit ended. The first three are solutions. */
enum {
    NN(FIT_COST), /* a step changed the cost by less than cost_tolerance of it, and no step promises more */
    NN(FIT_STEP), /* a step was shorter than step_tolerance of the parameters */
    NN(FIT_GRADIENT), /* the cosine of the angle between residuals and any derivative is below gradient_tolerance */
    NN(FIT_MAX_ITERATIONS),
    NN(FIT_STALLED), /* no step lowers the cost, however short, and no tolerance is met */
    NN(FIT_NOT_FINITE), /* outputs or derivatives at the start are not finite, or the sum of their squares */
    NN(FIT_NO_DATA), /* all is missing: the parameters are those at the start */
    NN(FIT_INTERRUPTED),
    NN(FIT_NOT_CONVEX), /* the loss, which is no sum of squares, has a negative curvature at a sample */
    NN(FIT_STATIONARY) /* the derivatives by some parameters are 0 there, but it is no minimum */
};

typedef struct {
    /* The data. A target that is NaN is missing. */
    const NN(real) *inputs; /* [samples][inputs] */
    const NN(real) *targets; /* [samples][outputs], or, where NN_FIT_CURVED, [samples][targets] */
    size_t samples;
    const NN(real) *sigma; /* each > 0; NULL: 1. Where NN_FIT_CURVED, there is none, and robust is LINEAR */
    size_t sigmas; /* the values of sigma for each sample: 0 (one value for all), 1, or one for each output */
    /* The bounds of the parameters, which the start keeps (NULL: none; or infinite), and those that are fixed. */
    const NN(real) *lower;
    const NN(real) *upper;
    const unsigned char *fixed; /* may be NULL */
    int robust; /* LINEAR, HUBER, SOFT_L1 or CAUCHY */
    double robust_scale; /* the residual from which on it counts less */
    double cost_tolerance;
    double step_tolerance;
    double gradient_tolerance;
    size_t max_iterations;
    NN(poll) poll;
    /* Is called after each step that was tried, with the context of the poll, when cost and parameters are the best so
       far. The fit ends, as interrupted, if it returns something but 0. NULL: nothing is called. */
    int (*after_each)(void *context);
    void *work; /* fit_size() bytes */
    NN(real) *parameters; /* the start, then what was found: also where a fit was interrupted, the best so far */
    /* What comes out besides. */
    double *residuals; /* [samples][outputs], NaN where they are missing; may be NULL, as where NN_FIT_CURVED */
    double *history; /* [kept]: the cost after each of the last steps that were tried, that of step k at k%kept; may be
                        NULL */
    size_t kept; /* 1 or more, where there is a history and max_iterations is not 0 */
    double *triangle; /* [free][free]: R of the QR decomposition of the derivatives by the parameters that are not
                         fixed, each divided by sigma and weighted by the robust loss; may be NULL */
    signed char *active; /* of each parameter, -1 or 1 where it is at its lower or upper bound; may be NULL */
    unsigned char *poles; /* of each guard, 1 where it is 0 or has both signs among the data; may be NULL */
    double cost; /* half the sum of squared residuals, or of what a robust loss makes of them; or the sum of losses */
    double chi2; /* the sum of squared residuals */
    double gradient; /* the largest of the cosines */
    size_t used; /* residuals that are not missing */
    size_t free; /* parameters that are not fixed */
    size_t rank; /* of the triangle with columns of equal length: less than free, if the data do not determine all */
    size_t iterations; /* steps that were tried */
    size_t evaluations; /* of all samples */
    size_t sample; /* the one at which the loss is not convex, where that is the status */
    int status;
} NN(fitting);

/* How a fit ended that was made side by side with others. */
enum {
    NN(FITS_PENDING), /* not at all: the call was stopped before */
    NN(FITS_COST), /* a step changed the cost by less than cost_tolerance of it, as was predicted */
    NN(FITS_STEP), /* a step was shorter than step_tolerance of the parameters */
    NN(FITS_GRADIENT), /* the cosine of the angle between residuals and any derivative is below gradient_tolerance */
    NN(FITS_MAX_ITERATIONS),
    NN(FITS_SINGULAR), /* in one of the first three ways, but the data do not determine all parameters */
    NN(FITS_TOO_FEW_DATA), /* the same, as they are fewer than the free parameters */
    NN(FITS_NO_DATA), /* all is missing: the parameters are those at the start */
    NN(FITS_NOT_FINITE) /* outputs or derivatives are not finite at the start */
};

typedef struct {
    /* The data: those of a fit lie so many values behind those of the one before it, or, where that is 0, are the same
       for all. A target that is NaN is missing. */
    const NN(real) *inputs; /* [samples][inputs] */
    const NN(real) *targets; /* [samples][outputs] */
    const NN(real) *sigma; /* [samples][outputs], each > 0; NULL: 1 */
    const NN(real) *starts; /* [parameters] */
    size_t input_stride;
    size_t target_stride;
    size_t sigma_stride;
    size_t start_stride;
    size_t samples;
    const size_t *lengths; /* the samples of each fit, the first of its data; NULL: all */
    /* What all fits share: bounds of the parameters, which the starts keep (NULL: none), and those that are fixed. */
    const NN(real) *lower;
    const NN(real) *upper;
    const unsigned char *fixed; /* may be NULL */
    double cost_tolerance;
    double step_tolerance;
    double gradient_tolerance;
    size_t max_iterations;
    int absolute_sigma; /* covariances are not scaled by the reduced chi-square */
    NN(poll) poll;
    size_t first; /* the call makes the fits first <= m < last */
    size_t last;
    void *work; /* fits_size(samples) bytes */
    /* What comes out for each fit. */
    NN(real) *parameters; /* [parameters] */
    double *chi2; /* the sum of squares of (output - target)/sigma */
    NN(real) *covariance; /* [parameters][parameters]: 0 for those that are fixed, infinite where it is not
                             determined; NULL: not wanted */
    NN(real) *standard_errors; /* [parameters], the roots of its diagonal; NULL: not wanted */
    uint64_t *data; /* values that are not missing */
    uint64_t *iterations; /* steps that were tried */
    unsigned char *status; /* PENDING at first */
    unsigned char *poles; /* 1 where a guard is 0 or has both signs among the data; NULL: not wanted */
} NN(fits);

/* The type of dgemm or sgemm of BLAS in C, with the arguments of Fortran and integers of 32 bits. */
typedef void NN(gemm)(char *transa, char *transb, int *m, int *n, int *k, NN(real) *alpha, NN(real) *a, int *lda,
    NN(real) *b, int *ldb, NN(real) *beta, NN(real) *c, int *ldc);

/* The samples that predict_few takes at most. */
enum { NN(FEW) = 4 };

NN_ENTRY_POINTS(NN_DECLARATION)
NN_ENTRY_POINTS_OF_CHOICE(NN_DECLARATION)
#if NN_HAS_MANY
NN_ENTRY_POINTS_FOR_MANY(NN_DECLARATION)
#endif
#if NN_HAS_BLAS
NN_ENTRY_POINTS_FOR_BLAS(NN_DECLARATION)
#endif
#if NN_HAS_FIT
NN_ENTRY_POINTS_FOR_FIT(NN_DECLARATION)
#endif
#if NN_HAS_FITS
NN_ENTRY_POINTS_FOR_FITS(NN_DECLARATION)
#endif
#if NN_HAS_HESSIAN
NN_ENTRY_POINTS_FOR_HESSIAN(NN_DECLARATION)
#endif
#if NN_HAS_FIELDS
NN_ENTRY_POINTS_FOR_FIELDS(NN_DECLARATION)
#endif

/* The table of all functions; those that a model does not have are NULL. */
typedef struct {
    NN_ENTRY_POINTS(NN_MEMBER)
    NN_ENTRY_POINTS_OF_CHOICE(NN_MEMBER)
    NN_ENTRY_POINTS_FOR_MANY(NN_MEMBER)
    NN_ENTRY_POINTS_FOR_BLAS(NN_MEMBER)
    NN_ENTRY_POINTS_FOR_FIT(NN_MEMBER)
    NN_ENTRY_POINTS_FOR_FITS(NN_MEMBER)
    NN_ENTRY_POINTS_FOR_HESSIAN(NN_MEMBER)
    NN_ENTRY_POINTS_FOR_FIELDS(NN_MEMBER)
} NN(functions);

#undef NN_MODEL
#undef NN_REAL
#undef NN_HAS_MANY
#undef NN_HAS_BLAS
#undef NN_HAS_FIT
#undef NN_HAS_FITS
#undef NN_HAS_HESSIAN
#undef NN_HAS_FIELDS
