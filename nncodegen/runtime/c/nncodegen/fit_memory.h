/* What a fit computes with, in one piece of memory that the caller gives.

   Needs jacobian.h and triangle.h. Gives fit_memory, carve_fit, size_of_fit, residual_sums, ROUNDING. */

#ifndef NNCODEGEN_FIT_MEMORY_H
#define NNCODEGEN_FIT_MEMORY_H

#include "jacobian.h"
#include "triangle.h"

enum {
    TRIANGLE_VALUES = PARAMETERS*TRIANGLE_ROW, /* the values of one */
    ENTRIES = PARAMETERS + 1
};

/* The rounding of what the kernel computes. */
#define ROUNDING (sizeof(real) > 4 ? 2.3e-16 : 1.2e-7)

/* The parts of it: type, name, number of values. Those of the parameters have a value for each that is not fixed. */
#define PARTS_OF_FIT(PART) \
    PART(double, triangle, TRIANGLE_VALUES) /* of the rows at the parameters */ \
    PART(double, tried, TRIANGLE_VALUES) /* at those that are tried */ \
    PART(double, system, TRIANGLE_VALUES) /* of scaled columns, those that may move: see damping.h */ \
    PART(double, damped, TRIANGLE_VALUES) \
    PART(double, columns, ENTRIES*COLUMN) /* of rows that are folded in, or of the system */ \
    PART(double, factors, FIT_OUTPUTS*FOLDED_ROWS) /* of the rows of a tile, for each output */ \
    PART(double, residuals, FIT_OUTPUTS*FOLDED_ROWS) /* where CURVED, the derivatives of the loss by each output */ \
    PART(double, curvature, CURVED*FIT_OUTPUTS*FIT_OUTPUTS*FOLDED_ROWS) /* see convex.h */ \
    PART(double, products, ENTRIES) \
    PART(double, scale, ENTRIES) /* of each parameter: the largest length that its column has had */ \
    PART(double, by_scale, ENTRIES) /* 1 divided by it */ \
    PART(double, length, ENTRIES) /* of each column at present */ \
    PART(double, gradient, ENTRIES) \
    PART(double, slope, ENTRIES) /* where CURVED: the gradient as it is summed, or after steps of the clamped */ \
    PART(double, step, ENTRIES) \
    PART(double, change, ENTRIES) /* of the right-hand side by a step */ \
    PART(double, scaled, ENTRIES) /* a step in the order and with the scales of the system */ \
    PART(double, spare, ENTRIES) \
    PART(double, left, ENTRIES) /* see pivots.h */ \
    PART(double, summed, ENTRIES) \
    PART(double, low, ENTRIES) /* from each parameter to its bounds */ \
    PART(double, high, ENTRIES) \
    PART(double, last_step, ENTRIES) /* see polish.h */ \
    PART(double, last_place, ENTRIES) \
    PART(size_t, free, ENTRIES) /* the numbers of the parameters that are not fixed */ \
    PART(size_t, order, ENTRIES) /* of the columns of the system */ \
    PART(signed char, held, ENTRIES) /* 1 or -1 where the upper or lower bound holds a parameter */ \
    PART(signed char, clamped, ENTRIES) /* the same of a step */ \
    PART(real, parameters, PARAMETERS) \
    PART(real, trial, PARAMETERS)

/* What sums over all rows there are. */
typedef struct {
    double cost;
    double chi2; /* the sum of squares, before a robust loss; where CURVED, of the sizes of losses */
    size_t used; /* residuals that are not missing; where CURVED, samples */
} residual_sums;

typedef struct {
    row_memory rows;
    PARTS_OF_FIT(MEMBER_OF_MEMORY)
    residual_sums sums; /* at the parameters */
    size_t n; /* parameters that are not fixed */
    size_t moving; /* those of them in the system */
    size_t rank; /* of the system */
    double curviest; /* where CURVED: the largest second derivative of a loss that was met */
#if NN_FIT_GUARDS > 0
    signed char signs[GUARDS]; /* of the guards, at the parameters, none before the first evaluation: see guards.h */
    signed char seen[GUARDS]; /* those of the last evaluation */
#endif
} fit_memory;

static UNUSED size_t size_of_fit(void)
{
    return NN(jacobian_size)() + 64 PARTS_OF_FIT(PLUS_BYTES);
}

static UNUSED fit_memory carve_fit(void *work)
{
    char *next = (char *) (((uintptr_t) work + NN(jacobian_size)() + 63)/64*64);
    fit_memory m = {.rows = carve_rows(work)};
    PARTS_OF_FIT(TAKE)
    return m;
}

#endif
