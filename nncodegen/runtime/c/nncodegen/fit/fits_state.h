/* The state of many fits side by side: options, results, and the progress of each fit of a group.

   Needs fits_lanes.h and the header of the model. Gives fits, group_of_fits, carve_fits, fits_size. */

#ifndef NNCODEGEN_FITS_STATE_H
#define NNCODEGEN_FITS_STATE_H

#include "nncodegen/fit/fits_sums.h"

/* The arrays of a group: name, number of values of each fit. */
#define ARRAYS_OF_FITS(ARRAY) \
    ARRAY(current, PARAMETERS) /* the best point so far */ \
    ARRAY(next, PARAMETERS) /* the point to try */ \
    ARRAY(system, SYSTEM) /* J'J, J'r and r'r at the current point */ \
    ARRAY(sums, SYSTEM) /* those sums at the next point */ \
    ARRAY(scales, PARAMETERS) /* the largest diagonal of J'J so far */ \
    ARRAY(triangle, TRIANGLE) /* J'J with damping, then its factor */ \
    ARRAY(inverses, PARAMETERS) /* the inverses of the pivots of the factor */ \
    ARRAY(row, PARAMETERS) /* a row of a triangle while it is factored */ \
    ARRAY(step, PARAMETERS) \
    ARRAY(held, PARAMETERS) /* the step of the parameters that a bound holds */ \
    ARRAY(damping, 1) \
    ARRAY(predicted, 1) /* how much the step lowers the cost if residuals are linear */ \
    ARRAY(length, 1) /* the square of the length of the step, in scaled parameters */ \
    ARRAY(size, 1) /* the square of the length of the current point */ \
    ARRAY(reach, 1) /* the square of the longest step that is trusted; 0 at the start */ \
    ARRAY(ended, TRIANGLE) /* J'J of fits that have ended */ \
    ARRAY(inverse, TRIANGLE) /* the inverse of ended */ \
    ARRAY(seeds, SEEDS) /* for each output, 1 for itself and 0 for the others */ \
    ARRAY(values, NN_FITS_VALUES + LIMITED + SWEPT) /* the values of group_rows, the limit of steps, its results */ \
    ARRAY(rows, ROWS_AT_ONCE*OBSERVED*ROW)

/* The arrays that errors in the inputs need: name, number of values of each fit. */
#if NN_CHANGES > 0
#define ARRAYS_OF_ERRORS(ARRAY, samples) \
    ARRAY(sigma, (samples)*CHANGES) \
    ARRAY(changes, (samples)*CHANGES) \
    ARRAY(rows, (samples)*KEPT_ROW) \
    ARRAY(next_rows, (samples)*KEPT_ROW) \
    ARRAY(moved, ROWS_AT_ONCE*CHANGES) \
    ARRAY(cost, 1) \
    ARRAY(fall, 1) \
    ARRAY(next_fall, 1)
#else
#define ARRAYS_OF_ERRORS(ARRAY, samples)
#endif

#define LINES __attribute__((aligned(64)))

typedef struct {
#define MEMBER(name, count) real *name;
    ARRAYS_OF_FITS(MEMBER)
#undef MEMBER
    real *inputs, *targets, *weights; /* [sample][value][FITS] */
    double *totals;
    fits_errors errors;
    word steep[FITS] LINES; /* whether the gradient is above its tolerance */
    word fresh[FITS] LINES; /* whether the fit is at its start: nothing is computed yet */
    word closing[FITS] LINES; /* whether the step is its last one */
    word limited[FITS] LINES; /* whether the step is damped, to be no longer than its reach */
    word last[FITS] LINES; /* whether the step is taken without a trial */
    word iterations[FITS] LINES;
    word outcome[FITS] LINES; /* how it ended; 0 before that */
    word signs[SIGNS*FITS] LINES; /* the signs of the guards at the current point: see look_at_guards */
    word next_signs[SIGNS*FITS] LINES; /* the signs at the next point */
    size_t fit[FITS]; /* the index of the fit; SIZE_MAX if none is left */
    size_t samples[FITS]; /* the number of its samples */
    size_t data[FITS]; /* the number of its values that are not missing */
    size_t active; /* the number of fits that have not ended */
    size_t upcoming; /* the next fit to start */
    size_t free; /* the number of parameters that are not fixed */
    int weighted; /* whether a weight other than 1 has occurred */
    /* Fits that have ended, and wait until they fill a vector. */
    size_t waiting;
    size_t ended_fit[FITS];
} group_of_fits;

size_t NN(fits_size)(size_t samples)
{
#define PLUS(name, count) + (count)
    const size_t of_each = 0 ARRAYS_OF_ERRORS(PLUS, 1) + INPUTS + 2*OBSERVED; /* at least the values of a sample */
    const size_t values = 0 ARRAYS_OF_FITS(PLUS) ARRAYS_OF_ERRORS(PLUS, samples) + samples*(INPUTS + 2*OBSERVED);
    const size_t others = 64 + FITS*(0 ARRAYS_OF_FITS(PLUS) + SYSTEM)*sizeof(double);
#undef PLUS
    if (samples > (SIZE_MAX/2 - others)/(of_each*FITS*sizeof(real)))
        return SIZE_MAX; /* no memory is as large */
    return 64 + FITS*(SYSTEM*sizeof(double) + values*sizeof(real));
}

static UNUSED void carve_fits(void *work, size_t samples, group_of_fits *g)
{
    real *next = (real *) (((uintptr_t) work + 63)/64*64);
#define TAKE_ARRAY(name, count) \
    g->name = next; \
    next += (count)*FITS;
    ARRAYS_OF_FITS(TAKE_ARRAY)
#undef TAKE_ARRAY
#define TAKE_ARRAY(name, count) \
    g->errors.name = next; \
    next += (count)*FITS;
    ARRAYS_OF_ERRORS(TAKE_ARRAY, samples)
#undef TAKE_ARRAY
    g->inputs = next;
    g->targets = g->inputs + samples*INPUTS*FITS;
    g->weights = g->targets + samples*OBSERVED*FITS;
    g->totals = (double *) (g->weights + samples*OBSERVED*FITS);
}

#endif
