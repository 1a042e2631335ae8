/* The functions that a model offers, listed once: their declarations, the table of them, and the choice among variants
   follow from these lists.

   FUNCTION(result, hand, name, parameters, arguments) is used for each of them; hand is return, or nothing where
   there is no result. A pointer may be NULL only where this says so. Inputs and targets may be, in a model that has
   none; so may be every poll that is given by a pointer: nobody is asked then. Memory need not be initialized unless
   this says how it is at first. */

#ifndef NNCODEGEN_ENTRY_POINTS_H
#define NNCODEGEN_ENTRY_POINTS_H

#define NN_ENTRY_POINTS(FUNCTION) \
    /* Operations for one sample, roughly: what a call adds to spent. */ \
    FUNCTION(size_t, return, operations_per_sample, (void), ()) \
    \
    /* The CPUs that the kernel in use was compiled for: "avx512", "avx2", "neon", or "plain" for all of the \
       family. */ \
    FUNCTION(const char *, return, variant, (void), ()) \
    \
    /* The bytes of work memory that every call needs. */ \
    FUNCTION(size_t, return, work_size, (void), ()) \
    \
    /* The values of state that the optimizers need, 0 at first. */ \
    FUNCTION(size_t, return, state_size, (void), ()) \
    \
    /* The sums that metrics are made of; 0 where outputs cannot be compared with targets. */ \
    FUNCTION(size_t, return, measures_size, (void), ()) \
    \
    /* The number of the first value that is not finite; count if all are. */ \
    FUNCTION(size_t, return, first_not_finite, (const NN(real) *values, size_t count), (values, count)) \
    \
    /* Outputs, row by row. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, predict, (const NN(real) *parameters, const NN(real) *inputs, size_t samples, void *work, \
        NN(real) *outputs, NN(poll) *poll), (parameters, inputs, samples, work, outputs, poll)) \
    \
    /* Outputs of a few rows, 1 to FEW, which agree with those above to rounding. Returns 0, and computes nothing, \
       where a value is not finite; else 1. */ \
    FUNCTION(int, return, predict_few, (const NN(real) *parameters, const NN(real) *inputs, size_t samples, \
        void *work, NN(real) *outputs), (parameters, inputs, samples, work, outputs)) \
    \
    /* The mean loss; weights may be NULL. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, loss, (const NN(real) *parameters, const NN(real) *inputs, const NN(real) *targets, \
        const NN(real) *weights, size_t samples, void *work, double *loss, NN(poll) *poll), \
        (parameters, inputs, targets, weights, samples, work, loss, poll)) \
    \
    /* The mean loss and its gradient; weights may be NULL. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, loss_and_gradient, (const NN(real) *parameters, const NN(real) *inputs, \
        const NN(real) *targets, const NN(real) *weights, size_t samples, void *work, double *loss, \
        NN(real) *gradient, NN(poll) *poll), \
        (parameters, inputs, targets, weights, samples, work, loss, gradient, poll)) \
    \
    /* Trains from run->epochs to run->until, beginning within an epoch where a call was interrupted in one. The \
       parameters are those after the last completed update. */ \
    FUNCTION(void, , train, (NN(training) *run), (run)) \
    \
    /* Copies the current parameters, also where stop is asked while a training is under way: those after the last \
       completed update, and within a sequential one after the last parameter that was updated. */ \
    FUNCTION(void, , copy_parameters, (const NN(training) *run, NN(real) *parameters), (run, parameters))

/* The choice among variants of the kernel. */
#define NN_ENTRY_POINTS_OF_CHOICE(FUNCTION) \
    /* Uses the variant of the kernel for such CPUs, before any other call. Returns 1; 0 if there is none, or not \
       for this CPU. */ \
    FUNCTION(int, return, use, (const char *variant), (variant))

/* Where NN_HAS_MANY. */
#define NN_ENTRY_POINTS_FOR_MANY(FUNCTION) \
    /* The models of a group, which are trained side by side. */ \
    FUNCTION(size_t, return, many_models, (void), ()) \
    \
    /* The bytes of work memory for them. */ \
    FUNCTION(size_t, return, many_size, (void), ()) \
    \
    /* Trains models from their parameters on. Returns 0, or 1 if stopped. */ \
    FUNCTION(int, return, train_many, (NN(many) *run), (run))

/* Where NN_HAS_BLAS. */
#define NN_ENTRY_POINTS_FOR_BLAS(FUNCTION) \
    /* Leaves the products of large layers to a routine from now on, or (NULL, as at first) to the loops of the \
       model. No other call may be under way. The routine is called by several threads at once, and must not start \
       any. */ \
    FUNCTION(void, , use_gemm, (NN(gemm) *routine), (routine))

/* What is made of a function in these lists: its declaration, the member of a table, the first value of that. */
#define NN_DECLARATION(result, hand, name, parameters, arguments) result NN(name) parameters;
#define NN_MEMBER(result, hand, name, parameters, arguments) result (*name) parameters;
#define NN_INITIAL(result, hand, name, parameters, arguments) .name = NN(name),

#endif
