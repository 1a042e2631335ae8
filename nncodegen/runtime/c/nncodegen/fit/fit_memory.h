/* The memory of a fit, in one piece that the caller provides.

   Needs jacobian.h and triangle.h. Gives fit_memory, carve_fit, size_of_fit, residual_sums, ROUNDING. */

#ifndef NNCODEGEN_FIT_MEMORY_H
#define NNCODEGEN_FIT_MEMORY_H

#include "nncodegen/fit/jacobian.h"
#include "nncodegen/fit/triangle.h"

#define TRIANGLE_VALUES ((size_t) PARAMETERS*TRIANGLE_ROW) /* the number of values of one triangle */
#define ENTRIES (PARAMETERS + 1)

/* The relative rounding of the values that the kernel computes. */
#define ROUNDING (sizeof(real) > 4 ? 2.3e-16 : 1.2e-7)

/* If FIT_CURVED: the parts of a sample that missing targets leave out one by one. */
#define FIT_PARTS (FIT_APART > 0 ? FIT_APART : 1)

/* The parts of it: type, name, number of values. Parts for parameters have a value for each one that is not fixed. */
#define PARTS_OF_FIT(PART) \
    PART(double, triangle, TRIANGLE_VALUES) /* of the rows at the parameters */ \
    PART(double, tried, TRIANGLE_VALUES) /* of the rows at the tried parameters */ \
    PART(double, system, TRIANGLE_VALUES) /* of scaled columns, for the parameters that may move: see damping.h */ \
    PART(double, damped, TRIANGLE_VALUES) \
    PART(double, columns, ENTRIES*COLUMN) /* of rows that are folded in, or of the system */ \
    PART(double, factors, FIT_OUTPUTS*FOLDED_ROWS) /* of the rows of a tile, for each output; if FIT_CURVED, part */ \
    PART(double, residuals, FIT_OUTPUTS*FOLDED_ROWS) /* if FIT_CURVED, the derivatives of the loss by each output */ \
    PART(double, curvature, FIT_CURVED*FIT_OUTPUTS*FIT_BLOCK*FOLDED_ROWS) /* see convex.h */ \
    PART(double, diagonal, FIT_CURVED*FIT_BLOCK) \
    PART(double, products, ENTRIES) \
    PART(double, scale, ENTRIES) /* of each parameter: the largest length that its column has had */ \
    PART(double, by_scale, ENTRIES) /* 1/scale */ \
    PART(double, length, ENTRIES) /* the present length of each column */ \
    PART(double, gradient, ENTRIES) \
    PART(double, slope, ENTRIES) /* if FIT_CURVED: the gradient as summed, or after steps of clamped parameters */ \
    PART(double, step, ENTRIES) \
    PART(double, change, ENTRIES) /* the change of the right-hand side by a step */ \
    PART(double, scaled, ENTRIES) /* a step in the order and with the scales of the system */ \
    PART(double, spare, ENTRIES) \
    PART(double, left, ENTRIES) /* see pivots.h */ \
    PART(double, summed, ENTRIES) \
    PART(double, low, ENTRIES) /* the distance from each parameter to its bounds */ \
    PART(double, high, ENTRIES) \
    PART(double, last_step, ENTRIES) /* see polish.h */ \
    PART(double, last_place, ENTRIES) \
    PART(size_t, free, ENTRIES) /* the indices of the parameters that are not fixed */ \
    PART(size_t, order, ENTRIES) /* the order of the columns of the system */ \
    PART(signed char, signs, FIT_GUARDS) /* of the guards at the parameters; none before the first evaluation: see
                                            guards.h */ \
    PART(signed char, seen, FIT_GUARDS) /* in the last evaluation */ \
    PART(signed char, held, ENTRIES) /* 1 or -1 if the upper or lower bound holds a parameter */ \
    PART(signed char, clamped, ENTRIES) /* like held, for a step */ \
    PART(real, parameters, PARAMETERS) \
    PART(real, trial, PARAMETERS)

/* The sums over all rows. */
typedef struct {
    double cost;
    double chi2; /* the sum of squares, before a robust loss; if FIT_CURVED, of the sizes of losses */
    size_t used; /* the number of residuals that are not missing; if FIT_CURVED, of parts of samples */
} residual_sums;

typedef struct {
    row_memory rows;
    PARTS_OF_FIT(MEMBER_OF_MEMORY)
    residual_sums sums; /* the sums at the parameters */
    size_t n; /* the number of parameters that are not fixed */
    size_t moving; /* the number of parameters in the system */
    size_t rank; /* the rank of the system */
    struct errors_in_x *errors; /* NULL unless inputs have errors: see errors_in_x.h */
    double curviest; /* if FIT_CURVED: the largest second derivative of a loss so far */
    int informs; /* if FIT_NOISE: whether second derivatives are those of the information: see convex.h */
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
