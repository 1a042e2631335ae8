/* The functions that a model offers, listed once: their declarations, the table of them, and the choice among variants
   are made from these lists.

   FUNCTION(result, hand, name, parameters, arguments) is expanded for each function; hand is return, or empty for a
   function of type void. A pointer may be NULL only where a comment says so, except for inputs or targets that a model
   does not have, and for a pointer to a poll: without one, a call is not stopped. Memory need not be initialized unless
   a comment says what it must contain at first. */

#ifndef NNCODEGEN_ENTRY_POINTS_H
#define NNCODEGEN_ENTRY_POINTS_H

#define NN_ENTRY_POINTS(FUNCTION) \
    /* The approximate number of floating-point operations for one sample, which a call adds to poll.spent. */ \
    FUNCTION(size_t, return, operations_per_sample, (void), ()) \
    \
    /* The CPUs that the kernel in use was compiled for: "avx512", "avx2", "neon", or "plain" for every CPU of the \
       family. */ \
    FUNCTION(const char *, return, variant, (void), ()) \
    \
    /* The size of the work memory of a call, in bytes. */ \
    FUNCTION(size_t, return, work_size, (void), ()) \
    \
    /* The length of an array for the state of any optimizer, 0 at first. */ \
    FUNCTION(size_t, return, state_size, (void), ()) \
    \
    /* The number of sums from which metrics are computed; 0 if outputs cannot be compared with targets. */ \
    FUNCTION(size_t, return, measures_size, (void), ()) \
    \
    /* The index of the first value that is not finite; count if all are finite. */ \
    FUNCTION(size_t, return, first_not_finite, (const NN(real) *values, size_t count), (values, count)) \
    \
    /* Computes the outputs of each sample. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, predict, (const NN(real) *parameters, const NN(real) *inputs, size_t samples, void *work, \
        NN(real) *outputs, NN(poll) *poll), (parameters, inputs, samples, work, outputs, poll)) \
    \
    /* Like predict, but for 1 to FEW samples: faster, with results that agree up to rounding. Returns 1; or 0, and \
       computes nothing, if a parameter or input is not finite. */ \
    FUNCTION(int, return, predict_few, (const NN(real) *parameters, const NN(real) *inputs, size_t samples, \
        void *work, NN(real) *outputs), (parameters, inputs, samples, work, outputs)) \
    \
    /* Computes the mean loss; weights may be NULL. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, loss, (const NN(real) *parameters, const NN(real) *inputs, const NN(real) *targets, \
        const NN(real) *weights, size_t samples, void *work, double *loss, NN(poll) *poll), \
        (parameters, inputs, targets, weights, samples, work, loss, poll)) \
    \
    /* Computes the mean loss and its gradient; weights may be NULL. Returns 0, or 1 if stopped. Parameters that \
       follow statistics of batches (BatchNormalization) have no gradient: in their places are the statistics of the \
       samples. */ \
    FUNCTION(int, return, loss_and_gradient, (const NN(real) *parameters, const NN(real) *inputs, \
        const NN(real) *targets, const NN(real) *weights, size_t samples, void *work, double *loss, \
        NN(real) *gradient, NN(poll) *poll), \
        (parameters, inputs, targets, weights, samples, work, loss, gradient, poll)) \
    \
    /* Trains from epoch run->epochs to run->until. If a call was stopped within an epoch, the next one continues from \
       there. In the end, run->parameters are those after the last completed update. */ \
    FUNCTION(void, , train, (NN(training) *run), (run)) \
    \
    /* Copies the current parameters. It may be called in poll.stop: then they are those after the last completed \
       update; within a sequential one, those after the last parameter that was updated. */ \
    FUNCTION(void, , copy_parameters, (const NN(training) *run, NN(real) *parameters), (run, parameters))

/* The choice among variants of the kernel. */
#define NN_ENTRY_POINTS_OF_CHOICE(FUNCTION) \
    /* Chooses a variant of the kernel, before any other call. Returns 1, or 0 if no variant has this name, or this \
       CPU cannot run it. */ \
    FUNCTION(int, return, use, (const char *variant), (variant))

/* If NN_HAS_MANY. */
#define NN_ENTRY_POINTS_FOR_MANY(FUNCTION) \
    /* The number of models in a group, which are trained in the lanes of vectors. */ \
    FUNCTION(size_t, return, many_models, (void), ()) \
    \
    /* The size of the work memory of train_many, in bytes. */ \
    FUNCTION(size_t, return, many_size, (void), ()) \
    \
    /* Trains many models, each from its parameters. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, train_many, (NN(many) *run), (run))

/* If NN_HAS_BLAS. */
#define NN_ENTRY_POINTS_FOR_BLAS(FUNCTION) \
    /* Sets the routine of BLAS that computes the products of large layers from now on; NULL, the initial value, means \
       the loops of the model. No other call may be running. Several threads call the routine at once, and it must not \
       start threads itself. */ \
    FUNCTION(void, , use_gemm, (NN(gemm) *routine), (routine))

/* If NN_HAS_FIT. */
#define NN_ENTRY_POINTS_FOR_FIT(FUNCTION) \
    /* The size of the work memory of jacobian, in bytes. */ \
    FUNCTION(size_t, return, jacobian_size, (void), ()) \
    \
    /* Computes the derivatives of the outputs: derivatives[sample][output][parameter]. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, jacobian, (const NN(real) *parameters, const NN(real) *inputs, size_t samples, void *work, \
        NN(real) *derivatives, NN(poll) *poll), (parameters, inputs, samples, work, derivatives, poll)) \
    \
    /* The size of the work memory of a fit, in bytes. */ \
    FUNCTION(size_t, return, fit_size, (void), ()) \
    \
    /* The size of the additional work memory of a fit with errors in the inputs, in bytes: of one group of samples, \
       or of several; SIZE_MAX if it is larger than any memory. */ \
    FUNCTION(size_t, return, errors_size, (size_t samples, size_t groups), (samples, groups)) \
    \
    /* Fits the model to data. */ \
    FUNCTION(void, , fit, (NN(fitting) *run), (run)) \
    \
    /* Computes the triangles of some groups of samples, for a least-squares fit in which groups have parameters of \
       their own. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, fit_groups, (NN(groups) *run), (run))

/* If NN_HAS_HESSIAN. */
#define NN_ENTRY_POINTS_FOR_HESSIAN(FUNCTION) \
    /* The size of the work memory of hessian_products, in bytes. */ \
    FUNCTION(size_t, return, hessian_size, (void), ()) \
    \
    /* Multiplies the Hessian of the mean loss by count directions: products[direction][parameter]; weights may be \
       NULL. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, hessian_products, (const NN(real) *parameters, const NN(real) *directions, size_t count, \
        const NN(real) *inputs, const NN(real) *targets, const NN(real) *weights, size_t samples, void *work, \
        NN(real) *products, NN(poll) *poll), \
        (parameters, directions, count, inputs, targets, weights, samples, work, products, poll))

/* If NN_HAS_FIELDS. */
#define NN_ENTRY_POINTS_FOR_FIELDS(FUNCTION) \
    /* The size of the work memory of fields, in bytes. */ \
    FUNCTION(size_t, return, fields_size, (void), ()) \
    \
    /* Computes other quantities at samples, such as derivatives of outputs by inputs: values[sample][field]. Returns \
       0, or 1 if stopped. */ \
    FUNCTION(int, return, fields, (const NN(real) *parameters, const NN(real) *inputs, const NN(real) *targets, \
        size_t samples, void *work, NN(real) *values, NN(poll) *poll), \
        (parameters, inputs, targets, samples, work, values, poll))

/* If NN_HAS_STEP. */
#define NN_ENTRY_POINTS_FOR_STEP(FUNCTION) \
    /* The number of tokens that may be given, of positions (0: any number), of values of a state, of probabilities, \
       and of reals of work memory. */ \
    FUNCTION(void, , step_sizes, (size_t *sizes), (sizes)) \
    \
    /* Does one step in each of several sequences, at a token each: changes its state, which is 0 before the first \
       step, and gives the probabilities of its next token. */ \
    FUNCTION(void, , one_step, (const NN(real) *parameters, const int32_t *tokens, size_t rows, NN(real) *states, \
        NN(real) *probabilities, NN(real) *work), (parameters, tokens, rows, states, probabilities, work)) \
    \
    /* Generates a sequence. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, generate, (NN(generation) *run), (run))

/* If NN_HAS_FITS. */
#define NN_ENTRY_POINTS_FOR_FITS(FUNCTION) \
    /* The number of fits that are made side by side. */ \
    FUNCTION(size_t, return, fits_lanes, (void), ()) \
    \
    /* The size of their work memory, in bytes, given the number of samples of each fit; SIZE_MAX if it is larger than \
       any memory. */ \
    FUNCTION(size_t, return, fits_size, (size_t samples), (samples)) \
    \
    /* Fits the model to many sets of data. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, fit_many, (NN(fits) *run), (run))

/* The expansions of each function: its declaration, the member of a table, the initial value of this member. */
#define NN_DECLARATION(result, hand, name, parameters, arguments) result NN(name) parameters;
#define NN_MEMBER(result, hand, name, parameters, arguments) result (*name) parameters;
#define NN_INITIAL(result, hand, name, parameters, arguments) .name = NN(name),

#endif
