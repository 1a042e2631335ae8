/* The interface of a model: its types, and its functions, which are listed in entry_points.h. The header of a model
   includes this.

   Needs NN_MODEL, and NN_REAL, the type of numbers, double or float; and six macros that may be 1: NN_HAS_MANY,
   whether many models are trained side by side; NN_HAS_BLAS, whether products of large layers may be computed by
   BLAS; NN_HAS_FIT, whether the model can be fitted; NN_HAS_FITS, whether many fits are made side by side;
   NN_HAS_HESSIAN, whether products with the Hessian of the loss exist; and NN_HAS_FIELDS, whether derivatives by
   inputs exist. It undefines them at its end, so that a program can include several models. */

#include <stddef.h>
#include <stdint.h>

#include "nncodegen/base/entry_points.h"
#include "nncodegen/base/names.h"

typedef NN_REAL NN(real);

/* How a call is stopped: it calls stop(context) regularly, and ends if that returns a value other than 0. And how soon
   each solution of differential equations gives up in a prediction, Jacobian or fit. */
typedef struct {
    int (*stop)(void *context); /* may be NULL */
    void *context; /* the argument of stop; may be NULL */
    double interval; /* the least time between two calls of stop, in seconds */
    double spent; /* operations since the clock was last read; 0 at first */
    double asked; /* the time of the last call of stop; 0 at first */
    size_t max_steps; /* the largest number of steps of a solution, if the model allows more; 0: what the model allows */
} NN(poll);

/* Samples: for each, a row of inputs and a row of targets, and its weight in the loss (weights) and in metrics
   (counts). Without samples, all pointers may be NULL. Rows of inputs may be sparse: then inputs contains only the
   stored values, for sample n those from starts[n] to starts[n + 1], each for the input whose index columns has at
   the same position, in any order and without repetition; all other values are 0. */
typedef struct {
    const NN(real) *inputs;
    const NN(real) *targets;
    size_t samples;
    const NN(real) *weights; /* NULL: 1 each */
    const NN(real) *counts; /* NULL: 1 each */
    const double *spread; /* of each target, the sum of its squared deviations from its mean; may be NULL without R2 */
    const size_t *starts; /* [samples + 1]; NULL: inputs are not sparse */
    const uint32_t *columns; /* [starts[samples]]; NULL: inputs are not sparse */
} NN(data);

enum { NN(COMPLETED), NN(CONVERGED), NN(STOPPED_EARLY), NN(DIVERGED), NN(INTERRUPTED) };

/* The columns of the history: without validation and metrics, only the loss. The loss and the metrics of an epoch
   are means over its updates, of the outputs from which their gradients were computed. */
enum { NN(LOSS), NN(VALIDATION_LOSS), NN(METRICS), NN(VALIDATION_METRICS) = 5, NN(COLUMNS) = 8 };

/* The metrics, in the order of the columns from METRICS and from VALIDATION_METRICS on. */
enum { NN(ACCURACY), NN(MEAN_ABSOLUTE_ERROR), NN(R2), NN(METRIC_COUNT) };

typedef struct {
    /* The data to train on, and those to validate with (0 samples: none). */
    NN(data) data;
    NN(data) validation;
    size_t batch;
    /* The options of the training. */
    int optimizer;
    const double *options; /* hyperparameters; the learning rate first */
    const double *factors; /* factors of the learning rate, from the first epoch of the call on; NULL: 1 each */
    int factors_of_updates; /* whether each update has a factor, not each epoch */
    int shuffle;
    uint64_t seed; /* the seed of noise */
    size_t until; /* return after this number of epochs in total */
#define OPTION(type, name, meaning) type name;
#include "nncodegen/train/options.h"
#undef OPTION
    NN(poll) poll;
    /* Memory: PARAMETERS values each, except state, with state_size() values, work, with work_size() bytes for each
       thread, and order, with an index for each sample. */
    NN(real) *parameters;
    NN(real) *current_parameters; /* NULL at first; during train, the address of the current parameters */
    NN(real) *best; /* may be NULL if monitor is -1 */
    NN(real) *state; /* the state of the optimizer; 0 at first; may be NULL for one without state */
    void *work;
    size_t *order; /* may be NULL without shuffle */
    /* The progress of the training: 0 at first, except best_figure (infinity) and random (any number). */
    uint64_t random; /* the state of the random numbers when the current epoch began */
    size_t epochs;
    size_t updates;
    size_t begin; /* the first sample of the next update in the current epoch */
    size_t sweep; /* the next parameter of a sequential update */
    double epoch_loss, batch_loss; /* of the current epoch so far, and of the last update */
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
    /* The training data. The inputs and targets of each model begin input_stride and target_stride values after
       those of the previous model; if a stride is 0, all models share them. */
    const NN(real) *inputs;
    const NN(real) *targets;
    size_t input_stride;
    size_t target_stride;
    size_t samples;
    size_t batch;
    /* The options of the training. The learning rate among the options is not used. */
    int optimizer;
    const double *options;
    const double *learning_rates; /* one for each model */
    const double *initial_state; /* initial_state[k][model] for each kind of state that the optimizer keeps; NULL: 0 */
    double weight_decay; /* 0: none */
    const double *l2; /* one for each model; NULL: none */
    double tolerance;
    int shuffle;
    uint64_t *random; /* one for each model; may be NULL without shuffle */
    size_t epochs;
    NN(poll) poll;
    size_t models;
    size_t first; /* the call trains the models first <= m < last; first is a multiple of many_models() */
    size_t last;
    /* Memory: many_size() bytes, and an order of the samples for each model of a group (may be NULL without
       shuffle). */
    void *work;
    size_t *order;
    /* Results: parameters[model][parameter], which must hold the initial parameters at first; history[epoch][model],
       which may be NULL; and a value for each model. */
    NN(real) *parameters;
    double *loss;
    double *history;
    uint64_t *done; /* the number of completed epochs, 0 at first */
    int *status; /* COMPLETED at first */
} NN(many);

/* The term of a residual z = (output - target)/sigma in the cost of a fit: z^2, or less if it is large, as in
   scipy.optimize.least_squares. */
enum { NN(LINEAR), NN(HUBER), NN(SOFT_L1), NN(CAUCHY) };

/* How a fit ended. The first three are solutions. */
enum {
    NN(FIT_COST), /* a step changed the cost by less than the fraction cost_tolerance, and no step promises more */
    NN(FIT_STEP), /* a step was shorter than the fraction step_tolerance of the parameters */
    NN(FIT_GRADIENT), /* the cosine of the angle between residuals and any derivative is below gradient_tolerance */
    NN(FIT_MAX_ITERATIONS),
    NN(FIT_STALLED), /* no step lowers the cost, however short, and no tolerance is met */
    NN(FIT_NOT_FINITE), /* outputs or derivatives at the start are not finite, or the sum of their squares */
    NN(FIT_NO_DATA), /* all data are missing: the parameters are those at the start */
    NN(FIT_INTERRUPTED),
    NN(FIT_NOT_CONVEX), /* the loss, which is no sum of squares, has a negative curvature at a sample */
    NN(FIT_STATIONARY) /* the derivatives by some parameters are 0, but the point is no minimum */
};

typedef struct {
    /* The data. A target that is NaN is missing. */
    const NN(real) *inputs; /* [samples][inputs] */
    const NN(real) *targets; /* [samples][outputs], or, if NN_FIT_CURVED, [samples][targets] */
    size_t samples;
    const NN(real) *sigma; /* each > 0; NULL: 1. If NN_FIT_CURVED, it must be NULL, and robust LINEAR */
    size_t sigmas; /* the number of values of sigma for each sample: 0 (one value for all), 1, or one for each output */
    /* The bounds of the parameters, which the start must respect (NULL: none; or infinite), and fixed parameters. */
    const NN(real) *lower;
    const NN(real) *upper;
    const unsigned char *fixed; /* may be NULL */
    int robust; /* LINEAR, HUBER, SOFT_L1 or CAUCHY */
    double robust_scale; /* the residual above which the robust loss grows more slowly */
    double cost_tolerance;
    double step_tolerance;
    double gradient_tolerance;
    double output_error; /* the relative error of the outputs besides rounding: that of chosen steps; else 0 */
    size_t max_iterations;
    /* Errors in the inputs, for a model whose last parameters are changes of its inputs, fixed at 0: the standard
       deviations of the inputs, 0 for exact ones; NULL: all are exact. Their changes are estimated as well. */
    const NN(real) *sigma_x; /* [samples][inputs] */
    double *changes; /* [samples][inputs]: the start, then the solution */
    void *errors_work; /* errors_size(samples, 1) bytes */
    /* Half the squares of some linear functions of the parameters, which are added to the cost. */
    const double *penalty; /* [penalty_rows][parameters + 1]: derivatives, then the value where all parameters are 0 */
    size_t penalty_rows;
    NN(poll) poll;
    /* Called after each step that was tried, with the context of the poll, when cost and parameters are the best so
       far. The fit ends, as interrupted, if it returns a value other than 0. NULL: nothing is called. */
    int (*after_each)(void *context);
    void *work; /* fit_size() bytes */
    NN(real) *parameters; /* the start, then the solution; after an interrupt, the best so far */
    /* Other results. */
    double *residuals; /* [samples][outputs], NaN for missing targets; may be NULL; not used if NN_FIT_CURVED, unless
                          NN_FIT_NOISE: then the scales of the noise of targets */
    double *history; /* [kept]: the cost after each of the last steps that were tried, that of step k at k%kept; may be
                        NULL */
    size_t kept; /* at least 1, if history is not NULL and max_iterations not 0 */
    double *triangle; /* [free][free]: R of the QR decomposition of the derivatives by the parameters that are not
                         fixed, each divided by sigma and weighted by the robust loss; may be NULL */
    signed char *active; /* for each parameter, -1 or 1 if it is at its lower or upper bound; may be NULL */
    unsigned char *poles; /* for each guard, 1 if it is 0 or has both signs among the data; may be NULL */
    double cost; /* half the sum of squared residuals, or of their robust losses; or the sum of losses */
    double chi2; /* the sum of squared residuals */
    double gradient; /* the largest of the cosines */
    size_t used; /* the number of residuals that are not missing */
    size_t free; /* the number of parameters that are not fixed */
    size_t rank; /* the rank of the triangle with columns of equal length: below free if the data do not determine
                    all */
    size_t iterations; /* the number of steps that were tried */
    size_t evaluations; /* the number of evaluations of all samples */
    size_t sample; /* the index of the sample at which the loss is not convex, if that is the status */
    int status;
} NN(fitting);

/* What a call does with groups whose inputs have errors. */
enum {
    NN(GROUPS_START), /* evaluate them at the given changes */
    NN(GROUPS_STEP), /* find the best changes after a step from the current point, and evaluate there */
    NN(GROUPS_FOLD), /* compute the triangles at the current point again, for the dampings of changes as they are now */
    NN(GROUPS_RELEASE) /* remove these dampings, and compute the triangles again */
};

/* The rows of a fit in groups: each group of samples has parameters of its own. */
typedef struct {
    /* The data as for a fit, sorted by groups. */
    const NN(real) *inputs;
    const NN(real) *targets;
    const NN(real) *sigma;
    size_t sigmas;
    const size_t *begins; /* [groups + 1]: the first sample of each group, then the number of samples */
    int robust;
    double robust_scale;
    const NN(real) *parameters; /* [groups][parameters] */
    const size_t *columns; /* [free]: the parameters of the columns of the triangles, in their order */
    size_t free;
    const signed char *signs; /* [groups][guards], as in seen, at a point that no pole may separate from this one; NULL:
                                 unknown */
    /* Errors in the inputs, as for a fit; sigma_x is NULL if all are exact, and then the rest is not used. */
    const NN(real) *sigma_x; /* [samples][inputs] */
    double *changes; /* [samples][inputs]: for GROUPS_START where to start; GROUPS_FOLD and GROUPS_RELEASE write those
                        at the current point, unless this is NULL */
    void *errors_kept; /* errors_size(samples, groups) bytes, which a call leaves to the next */
    void *errors_scratch; /* errors_size(0, 0) bytes */
    int task;
    int turned; /* errors_kept holds two points: the second is the current one, and the first is evaluated; or, if this
                   is 0, the other way around. The caller turns them to take what was evaluated */
    int controlled; /* whether GROUPS_STEP changes the dampings of changes */
    const double *steps; /* [groups][free], for GROUPS_STEP */
    NN(poll) poll;
    size_t first; /* the call evaluates the groups first <= g < last */
    size_t last;
    void *work; /* fit_size() bytes */
    /* The results of each group; pointers may be NULL, except to the cost. */
    double *triangles; /* [free][free + 1]: R of the QR decomposition, with the right-hand side as its last column */
    double *cost; /* NaN if it or the triangle is not finite, or if a step crosses a pole */
    double *chi2;
    uint64_t *used; /* the number of residuals that are not missing */
    double *residuals; /* [samples][outputs], NaN for missing targets; if NN_FIT_NOISE, the scales of the noise of
                          targets, and triangles are then those of the information */
    signed char *seen; /* [guards]: 1 if a guard is above 0 at all samples, 2 if it is below, 0 if it has no sign */
    double *falls; /* how much the step lowers the cost if residuals are linear */
    double *squares; /* the square of the length of the changes in units of sigma_x, by GROUPS_STEP */
    double *own_falls; /* how much changes alone lower the cost at the point that was evaluated, or folded */
    unsigned char *damped; /* whether changes are damped */
} NN(groups);

/* How a fit ended that was made side by side with others. */
enum {
    NN(FITS_PENDING), /* it has not ended: the call was stopped before */
    NN(FITS_COST), /* a step changed the cost by less than the fraction cost_tolerance, as was predicted */
    NN(FITS_STEP), /* a step was shorter than the fraction step_tolerance of the parameters */
    NN(FITS_GRADIENT), /* the cosine of the angle between residuals and any derivative is below gradient_tolerance */
    NN(FITS_MAX_ITERATIONS),
    NN(FITS_SINGULAR), /* like one of the first three, but the data do not determine all parameters */
    NN(FITS_TOO_FEW_DATA), /* like FITS_SINGULAR, because there are fewer data than free parameters */
    NN(FITS_NO_DATA), /* all data are missing: the parameters are those at the start */
    NN(FITS_NOT_FINITE), /* outputs or derivatives are not finite at the start */
    NN(FITS_STALLED), /* no step lowers the cost, though the gradient is above its tolerance */
    NN(FITS_FADED) = 11 /* like one of the first three, but a derivative has almost vanished on the way */
};

typedef struct {
    /* The data. Each stride is the distance between the data of consecutive fits, in values, or 0 for data that all
       fits share. A target that is NaN is missing. */
    const NN(real) *inputs; /* [samples][inputs] */
    const NN(real) *targets; /* [samples][outputs] */
    const NN(real) *sigma; /* [samples][outputs], each > 0; NULL: 1 */
    const NN(real) *starts; /* [parameters] */
    const NN(real) *sigma_x; /* [samples][inputs], only if NN_CHANGES: the standard deviations of the inputs */
    size_t input_stride;
    size_t target_stride;
    size_t sigma_stride;
    size_t start_stride;
    size_t sigma_x_stride;
    size_t samples;
    const size_t *lengths; /* the number of samples of each fit, the first ones of its data; NULL: all */
    /* Shared by all fits: bounds of the parameters, which the starts must respect (NULL: none), and fixed
       parameters. */
    const NN(real) *lower;
    const NN(real) *upper;
    const unsigned char *fixed; /* may be NULL */
    double cost_tolerance;
    double step_tolerance;
    double gradient_tolerance;
    size_t max_iterations;
    int absolute_sigma; /* whether covariances are not scaled by the reduced chi-square */
    NN(poll) poll;
    size_t first; /* the call makes the fits first <= m < last */
    size_t last;
    void *work; /* fits_size(samples) bytes */
    /* The results of each fit. */
    NN(real) *parameters; /* [parameters] */
    double *chi2; /* the sum of squares of (output - target)/sigma */
    NN(real) *covariance; /* [parameters][parameters]: 0 for fixed parameters, infinite for those that
                             are not determined; NULL: not needed */
    NN(real) *standard_errors; /* [parameters], the roots of its diagonal; NULL: not needed */
    uint64_t *data; /* the number of values that are not missing */
    uint64_t *iterations; /* the number of steps that were tried */
    unsigned char *status; /* PENDING at first */
    unsigned char *poles; /* 1 if a guard is 0 or has both signs among the data; NULL: not needed */
} NN(fits);

/* The generation of a sequence: it goes on after a prompt. */
typedef struct {
    const NN(real) *parameters;
    const int32_t *prompt; /* [length], at least 1 */
    size_t length;
    size_t steps; /* how many tokens to generate */
    double temperature; /* probabilities are raised to 1/temperature; 0: the most probable token */
    size_t top_k; /* only this number of tokens is drawn from, the most probable ones; 0: all of them */
    int32_t stop; /* the token that ends the sequence, and is not one of those that are generated; -1: none */
    uint64_t seed; /* of the random numbers */
    uint64_t row; /* the number of the sequence among several of one seed */
    NN(poll) *poll;
    NN(real) *state; /* memory for a state */
    NN(real) *work;
    int32_t *tokens; /* [steps], those that have been generated */
    size_t count; /* their number */
} NN(generation);

/* The type of dgemm or sgemm of BLAS in C, with the arguments of Fortran and 32-bit integers. */
typedef void NN(gemm)(char *transa, char *transb, int *m, int *n, int *k, NN(real) *alpha, NN(real) *a, int *lda,
    NN(real) *b, int *ldb, NN(real) *beta, NN(real) *c, int *ldc);

/* The most samples that predict_few takes. */
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
#if NN_HAS_STEP
NN_ENTRY_POINTS_FOR_STEP(NN_DECLARATION)
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
    NN_ENTRY_POINTS_FOR_STEP(NN_MEMBER)
} NN(functions);

#undef NN_MODEL
#undef NN_REAL
#undef NN_HAS_MANY
#undef NN_HAS_BLAS
#undef NN_HAS_FIT
#undef NN_HAS_FITS
#undef NN_HAS_HESSIAN
#undef NN_HAS_FIELDS
#undef NN_HAS_STEP
