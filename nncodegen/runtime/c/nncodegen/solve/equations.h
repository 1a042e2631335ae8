/* Differential equations, methods, and the lengths of steps.

   Needs base.h and controller.h. Gives the types rates_function, starts_function, method, events, equations and places,
   MOST_STAGES, MOST_DEGREE, NO_EVENTS, plus_product, the reasons why a path has no states, rough_log2 and rough_exp2,
   fewer_steps, norm_of, first_length, shorter, longer, copy_values and row_of. */

#ifndef NNCODEGEN_EQUATIONS_H
#define NNCODEGEN_EQUATIONS_H

#include "nncodegen/base/base.h"
#include "nncodegen/solve/controller.h"

enum { MOST_STAGES = 8, MOST_DEGREE = 5 };

/* sum + a*b, rounded once where the bits of results must not depend on the CPU and the compiler (same_bits.h), and
   where the CPU does so: left to a compiler, it depends on the length of vectors as well (GCC splits chains of such
   sums in short ones for some CPUs), and a sample alone is solved in shorter ones than many. */
#if NN_SAME_BITS || (defined(__FMA__) && defined(fused))
#define plus_product(sum, a, b) fused(a, b, sum)
#else
#define plus_product(sum, a, b) ((sum) + (a)*(b))
#endif

/* A Runge-Kutta method. Its last stage lies at the end of a step, and its row has the weights of the step: it is the
   first stage of the next one. The weight of a stage at the part x of a step is the polynomial of its interpolant,
   without a constant. The estimated error grows with the length of a step to the power of exponent. */
typedef struct {
    size_t stages, degree;
    double exponent;
    real times[MOST_STAGES], rows[MOST_STAGES][MOST_STAGES], errors[MOST_STAGES];
    real interpolant[MOST_STAGES][MOST_DEGREE];
} method;

/* The rates du/dt of states u at the time t, and their initial values, from the rows of a sample. */
typedef void (*rates_function)(real t, const real *u, const real *given, const real *fixed, real *rates);
typedef void (*starts_function)(const real *given, const real *fixed, real *u);

/* What changes at each time of a sample, where a step ends then. After its states are written, they become what jump
   writes, unless it is NULL. The last count values of the row fixed are those of the interval that leads to a time, and
   of what happens there: number c of them, for the time k of sample n, is at values[k*next + c*item + n*sample]. If
   rates read any of them, as driven says, these are computed again after each time. */
typedef struct {
    rates_function jump;
    int driven;
    size_t count;
    const real *values;
    size_t next, item, sample;
} events;

#define NO_EVENTS {NULL, 0, 0, NULL, 0, 0, 0}

/* Equations: the number of states, the first of those that are returned, and the number of states whose error has one
   norm; the sizes of the rows; tolerances, and the largest number of steps; the time of the initial values, NaN for the
   first time of a sample; what happens at its times. */
typedef struct {
    size_t states, first, block, given, fixed;
    double rtol, atol, start;
    size_t most;
    rates_function rates;
    starts_function starts;
    events at_times;
} equations;

/* Values of samples: that of the place p of sample n is at values[p*next + n*sample]. */
typedef struct {
    const real *values;
    size_t next, sample;
} places;

#if NN_BITS == 64
#define ROOT_HALF UINT64_C(0x3fe6a09e667f3bcd)
#define EXPONENT UINT64_C(0xfff0000000000000)
#define WHOLE_BITS UINT64_C(0x4330000000000000) /* 2**52, whose low bits are whole numbers */
enum { FRACTION = 52, LIFT = 1100 }; /* LIFT makes each exponent positive */
#else
#define ROOT_HALF UINT32_C(0x3f3504f3)
#define EXPONENT UINT32_C(0xff800000)
#define WHOLE_BITS UINT32_C(0x4b000000)
enum { FRACTION = 23, LIFT = 200 };
#endif

typedef union {
    real value;
    word bits;
} real_bits;

/* Why a path has no states from some time on (nncodegen/runtime/python/ground/outcomes.py reads this from NaN). */
enum { STEPS_TOO_MANY = 1, STEPS_TOO_SHORT, TIMES_TOO_EARLY };

/* Returns the largest number of steps of a solution: what the model allows, or a limit below that; 0 is none. */
INLINE size_t fewer_steps(size_t allowed, size_t limit)
{
    return limit > 0 && limit < allowed ? limit : allowed;
}

/* log2(x) of a positive normal number to 1e-7, which is enough for the lengths of steps, and has the same bits with
   each C library. Its polynomial meets log2 at the nodes of Chebyshev. */
INLINE real rough_log2(real x)
{
    const real_bits parts = {x};
    const word offset = parts.bits - ROOT_HALF;
    const real_bits mantissa = {.bits = parts.bits - (offset & EXPONENT)}; /* from sqrt(1/2) to sqrt(2) */
    const real_bits biased = {.bits = WHOLE_BITS | (offset + ((word) LIFT << FRACTION)) >> FRACTION};
    const real_bits zero = {.bits = WHOLE_BITS};
    const real f = mantissa.value - 1, f2 = f*f;
    const real a = plus_product((real) 1.44269499489, f, (real) -0.721352931363);
    const real b = plus_product((real) 0.480916708, f, (real) -0.360225182461);
    const real c = plus_product((real) 0.287288882374, f, (real) -0.249271822075);
    const real d = plus_product((real) 0.232652578821, f, (real) -0.14275973436);
    const real sum = plus_product(plus_product(a, f2, b), f2*f2, plus_product(c, f2, d));
    return plus_product((biased.value - zero.value) - LIFT, f, sum);
}

/* 2**x to 1e-8, for x of a small size, in the same way. */
INLINE real rough_exp2(real x)
{
    const real_bits shift = {.bits = WHOLE_BITS + ((word) 1 << (FRACTION - 1))}, k = {x + shift.value};
    const real f = x - (k.value - shift.value), f2 = f*f; /* from -1/2 to 1/2 */
    const real_bits scale = {.bits = (k.bits + (sizeof(real) > 4 ? 1023 : 127)) << FRACTION};
    const real a = plus_product((real) 1, f, (real) 0.693147206703);
    const real b = plus_product((real) 0.240226509223, f, (real) 0.0555032722667);
    const real c = plus_product((real) 0.00134004281776, f, (real) 0.000154614446986);
    return scale.value*plus_product(plus_product(a, f2, b), f2*f2, plus_product((real) 0.00961805667852, f, c));
}

/* Returns the root of a number that is not negative: x to the power of 1/exponent, as precise as rough_log2. */
INLINE double rough_root(double x, double exponent)
{
    const real value = (real) x;
    return value > 0 ? (double) rough_exp2(rough_log2(value)/(real) exponent) : 0;
}

/* Returns the norm of an error: the root of the mean square of error/(atol + rtol*size) over a block, and the largest
   of all blocks. The size of a state is the larger of both absolute values. It is NaN if any value is. */
INLINE double norm_of(const equations *own, const real *error, const real *u, const real *after)
{
    double largest = 0;
    for (size_t first = 0; first < own->states; first += own->block) {
        double sum = 0;
        for (size_t i = first; i < first + own->block; i++) {
            const double size = larger((double) absolute(u[i]), (double) absolute(after[i]));
            const double part = (double) error[i]/(own->atol + own->rtol*size);
            sum += part*part;
        }
        sum /= (double) own->block;
        largest = sum > largest || sum != sum ? sum : largest;
    }
    return sqrt(largest);
}

/* Returns the length of the first step (Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.4),
   at most that of the whole time. There is room for three times the states in work. */
INLINE double first_length(const equations *own, const method *with, double now, const real *u, const real *rate,
    const real *given, const real *fixed, double most, real *work)
{
    real *const moved = work, *const other = work + own->states, *const change = work + 2*own->states;
    const double of_u = norm_of(own, u, u, u), of_rate = norm_of(own, rate, u, u);
    double h = of_u >= 1e-5 && of_rate >= 1e-5 ? 0.01*of_u/of_rate : 1e-6;
    h = h < most ? h : most;
    for (size_t i = 0; i < own->states; i++)
        moved[i] = u[i] + (real) h*rate[i];
    own->rates((real) (now + h), moved, given, fixed, other);
    for (size_t i = 0; i < own->states; i++)
        change[i] = other[i] - rate[i];
    const double largest = larger(of_rate, norm_of(own, change, u, u)/h);
    const double second = largest > 1e-15 ? rough_root(0.01/largest, with->exponent) : larger(1e-6, h*1e-3);
    h = 100*h < second ? 100*h : second;
    h = h < most ? h : most;
    return h > 0 ? h : most*1e-6; /* the changes are not finite */
}

/* Returns the factor of the length of a step that was rejected. */
INLINE double shorter(const method *with, double norm)
{
    return norm < HUGE_VAL ? larger(STEP_LEAST, STEP_SAFE/rough_root(norm, with->exponent)) : STEP_LEAST;
}

/* Returns the factor from the length of an accepted step to that of the next one: held and before are the logarithms,
   to the base 2, of the norm of its error, and of that of the step before; it is at most most. */
INLINE double longer(const method *with, double held, double before, double most)
{
    const double factor = STEP_SAFE*(double) rough_exp2((real) ((STEP_BEFORE*before - held)/with->exponent));
    return factor < STEP_LEAST ? STEP_LEAST : factor > most ? most : factor;
}

/* Copies values. */
INLINE void copy_values(size_t count, const real *from, real *to)
{
    for (size_t i = 0; i < count; i++)
        to[i] = from[i];
}

/* Writes count values of the sample n to a row, unless they are there already, and from has none. */
INLINE void row_of(size_t n, places from, size_t count, real *row)
{
    for (size_t p = 0; from.values && p < count; p++)
        row[p] = from.values[p*from.next + n*from.sample];
}

#endif
