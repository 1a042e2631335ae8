/* Formulas that exist for tests of many fits alone: the configuration and group_rows of one of them, chosen by FORMULA.
   The loops stand as a compiler of formulas would write them. */

#ifndef FITS_MODELS_H
#define FITS_MODELS_H

#ifndef NN_BITS
#define NN_BITS 64
#endif

#define DECAY 1 /* a*exp(-b*x) + c */
#define GAUSSIAN 2 /* a*exp(-((x - p)^2 + (y - q)^2)/(2*s^2)) + b */
#define LOGISTIC 3 /* d + (a - d)/(1 + exp(b*(x - c))) */
#define PRODUCT 4 /* a*b*x + c: the data do not determine a and b */
#define SPIRAL 5 /* two outputs: a*exp(-b*x)*cos(w*x), a*exp(-b*x)*sin(w*x) */
#define POLYNOMIAL 6 /* of degree 5 */
#define LINEAR 7 /* the sum of 45 inputs, each times its parameter: more columns than are worked through at once */

#if FORMULA == DECAY
#define NN_PARAMETERS 3
#elif FORMULA == GAUSSIAN
#define NN_PARAMETERS 5
#define NN_INPUTS 2
#elif FORMULA == LOGISTIC
#define NN_PARAMETERS 4
#elif FORMULA == PRODUCT
#define NN_PARAMETERS 3
#elif FORMULA == SPIRAL
#define NN_PARAMETERS 3
#define NN_FIT_OUTPUTS 2
#elif FORMULA == POLYNOMIAL
#define NN_PARAMETERS 6
#elif FORMULA == LINEAR
#define NN_PARAMETERS 45
#define NN_INPUTS 45
#endif
#ifndef NN_INPUTS
#define NN_INPUTS 1
#endif
#ifndef NN_FIT_OUTPUTS
#define NN_FIT_OUTPUTS 1
#endif

#define NN_MODEL(name) formula_##name
#if NN_BITS == 64
#define NN_REAL double
#else
#define NN_REAL float
#endif
#define NN_HAS_MANY 0
#define NN_HAS_BLAS 0
#include "nncodegen/interface.h"

#define NN_MODEL(name) formula_##name
#define NN_TARGETS (NN_FIT_OUTPUTS > 1 ? NN_FIT_OUTPUTS : 0)
#define NN_OUTPUTS (NN_FIT_OUTPUTS + NN_PARAMETERS)
#define NN_PENALIZED {0, NN_PARAMETERS}
#define NN_OPERATIONS 1000000 /* somebody is asked after every step whether to end */
#define NN_TILE 32
#define NN_ARRAYS 1
#define NN_SUMS 1
#define NN_GRADIENT_SUMS NN_PARAMETERS
#define NN_LANE_SUMS 0
#define NN_DIRECT 0
#define NN_HAS_MANY 0
#define NN_HAS_BLAS 0
#define NN_HAS_BLOCKS 0
#define NN_FITS (512/NN_BITS)
#define NN_FITS_VALUES 1

#include "nncodegen/math/functions.h"
#include "nncodegen/fit/fits_lanes.h"

#define PARAMETER(p) parameters[(p)*FITS + lane]
#define INPUT(i) inputs[(i)*FITS + lane]
#define SET(k, value) rows[(k)*FITS + lane] = value

static UNUSED void group_rows(const real *restrict parameters, const real *restrict inputs, const real *restrict targets,
    real *restrict values, real *restrict rows)
{
    FITS_LOOP
    for (size_t lane = 0; lane < FITS; lane++) {
#if FORMULA == DECAY
        const real a = PARAMETER(0), b = PARAMETER(1), c = PARAMETER(2), x = INPUT(0), t0 = exp_of(-b*x);
        SET(0, a*t0 + c);
        SET(1, t0);
        SET(2, -a*x*t0);
        SET(3, 1);
#elif FORMULA == GAUSSIAN
        const real a = PARAMETER(0), s = PARAMETER(3), t0 = INPUT(0) - PARAMETER(1), t1 = INPUT(1) - PARAMETER(2);
        const real t2 = 1/s, t3 = t2*t2, t4 = t0*t0 + t1*t1, t5 = exp_of((real) -0.5*t4*t3), t6 = a*t5*t3;
        SET(0, a*t5 + PARAMETER(4));
        SET(1, t5);
        SET(2, t6*t0);
        SET(3, t6*t1);
        SET(4, t6*t4*t2);
        SET(5, 1);
#elif FORMULA == LOGISTIC
        const real a = PARAMETER(0), b = PARAMETER(1), c = PARAMETER(2), d = PARAMETER(3), x = INPUT(0);
        const real t0 = exp_of(b*(x - c)), t1 = 1/(1 + t0), t2 = (a - d)*t1*(1 - t1);
        SET(0, d + (a - d)*t1);
        SET(1, t1);
        SET(2, -t2*(x - c));
        SET(3, t2*b);
        SET(4, 1 - t1);
#elif FORMULA == PRODUCT
        const real a = PARAMETER(0), b = PARAMETER(1), x = INPUT(0);
        SET(0, a*b*x + PARAMETER(2));
        SET(1, b*x);
        SET(2, a*x);
        SET(3, 1);
#elif FORMULA == SPIRAL
        const real a = PARAMETER(0), x = INPUT(0), t0 = exp_of(-PARAMETER(1)*x), w = PARAMETER(2);
        const real c = t0*(real) cos((double) (w*x)), s = t0*(real) sin((double) (w*x));
        const real first = targets[lane], second = targets[FITS + lane];
        SET(0, a*c);
        SET(1, a*s);
        SET(2, first*c + second*s);
        SET(3, -a*x*(first*c + second*s));
        SET(4, a*x*(second*c - first*s));
#elif FORMULA == POLYNOMIAL
        const real x = INPUT(0);
        real power = 1, output = 0;
        for (size_t p = 0; p < PARAMETERS; p++) {
            SET(1 + p, power);
            output += PARAMETER(p)*power;
            power *= x;
        }
        SET(0, output);
#elif FORMULA == LINEAR
        real output = 0;
        for (size_t p = 0; p < PARAMETERS; p++) {
            SET(1 + p, INPUT(p));
            output += PARAMETER(p)*INPUT(p);
        }
        SET(0, output);
#endif
    }
    (void) targets;
    (void) values;
}

#endif
