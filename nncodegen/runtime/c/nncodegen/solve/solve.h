/* Solves differential equations in steps that are chosen by an estimate of their error, sample by sample.

   Needs base.h. Gives the types rates_function, starts_function, method, events, equations, places, observations,
   step_arrays, step_begin and step_end, MOST_STAGES, NO_EVENTS, STEP_SAFE, STEP_BEFORE and STEP_NEAR, the reasons why a
   path has no states, rough_log2 and rough_exp2, fewer_steps, the parts of solvers norm_of, first_length, shorter,
   longer, weights_at, observe, take_step, copy_values, has_events, values_of_times, enter_interval, pass_times,
   start_of, fail_path, begin_path, aim_of, next_step, observe_step, begin_of_next_step, accept_step, resume_at_time,
   row_of and pad_samples, and solve_samples. */

#ifndef NNCODEGEN_SOLVE_H
#define NNCODEGEN_SOLVE_H

#include "nncodegen/base/base.h"

enum { MOST_STAGES = 8, MOST_DEGREE = 5 };

/* sum + a*b, rounded once where the bits of results must not depend on the CPU and the compiler (same_bits.h), and where
   the CPU does so: left to a compiler, it depends on the length of vectors as well (GCC splits chains of such sums in
   short ones for some CPUs), and a sample alone is solved in shorter ones than many. */
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

/* The observations of a path: its times, of which some are done, and where the states at each are written. */
typedef struct {
    size_t times, done, next_time;
    const real *time;
    real *out;
    size_t out_time, out_state;
} observations;

/* The arrays of a step: states, those after it, its error, and the rates of all stages. */
typedef struct {
    real *u, *after, *error, *k;
} step_arrays;

/* The controller of lengths (nncodegen/compiler/ir/integrate.py): the factor that keeps steps from being rejected, the
   exponent of the norm of the step before, and the logarithm of the smallest norm that is remembered, log2(0.1). */
#define STEP_SAFE 0.85
#define STEP_BEFORE 0.2
#define STEP_NEAR (-3.3219280948873626)

/* Where a step begins: the time, the length that it is tried with, the logarithm of the norm of the error of the step
   before, to the base 2, at least STEP_NEAR, and whether a step was rejected since then. */
typedef struct {
    double now, h, before;
    int rejected;
} step_begin;

/* Where a step ends: the time, and the norm of its error; for a step that is cut short, to end at a time, the length
   that was asked for, else 0. */
typedef struct {
    double now, norm, asked;
} step_end;

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
    return norm < HUGE_VAL ? larger(0.2, STEP_SAFE/rough_root(norm, with->exponent)) : 0.2;
}

/* Returns the factor from the length of an accepted step to that of the next one: held and before are the logarithms,
   to the base 2, of the norm of its error, and of that of the step before. */
INLINE double longer(const method *with, double held, double before, int rejected)
{
    const double factor = STEP_SAFE*(double) rough_exp2((real) ((STEP_BEFORE*before - held)/with->exponent));
    const double most = rejected ? 1 : 10;
    return factor < 0.2 ? 0.2 : factor > most ? most : factor;
}

/* Writes the weights of the rates of all stages at the part x of a step. */
INLINE void weights_at(const method *with, double x, real *weights)
{
    for (size_t j = 0; j < with->stages; j++) {
        real total = with->interpolant[j][with->degree - 1]*(real) x;
        for (size_t k = with->degree - 1; k-- > 0;)
            total = (total + with->interpolant[j][k])*(real) x;
        weights[j] = total;
    }
}

/* Writes the states from a place of a step to out: u after it (x = 1), or in between. */
INLINE void observe(const equations *own, const method *with, double x, double h, const real *u, const real *after,
    const real *stages, real *out, size_t next)
{
    real weights[MOST_STAGES];
    weights_at(with, x, weights);
    for (size_t i = own->first; i < own->states; i++) {
        real sum = weights[0]*stages[i];
        for (size_t j = 1; j < with->stages; j++)
            sum += weights[j]*stages[j*own->states + i];
        out[(i - own->first)*next] = x == 1 ? after[i] : u[i] + (real) h*sum;
    }
}

/* Writes all stages of a step of length h but the first, which is there, the states after it, and its error. */
INLINE void take_step(const equations *own, const method *with, double now, double h, const real *u, const real *given,
    const real *fixed, real *after, real *error, real *k)
{
    const size_t states = own->states, stages = with->stages;
    for (size_t s = 1; s < stages; s++) {
        for (size_t i = 0; i < states; i++) {
            real sum = with->rows[s][0]*k[i];
            for (size_t j = 1; j < s; j++)
                sum += with->rows[s][j]*k[j*states + i];
            after[i] = u[i] + (real) h*sum;
        }
        own->rates((real) (now + (double) with->times[s]*h), after, given, fixed, k + s*states);
    }
    for (size_t i = 0; i < states; i++) {
        real sum = with->errors[0]*k[i];
        for (size_t j = 1; j < stages; j++)
            sum += with->errors[j]*k[j*states + i];
        error[i] = (real) h*sum;
    }
}

/* Copies values. */
INLINE void copy_values(size_t count, const real *from, real *to)
{
    for (size_t i = 0; i < count; i++)
        to[i] = from[i];
}

/* Returns whether steps end at each time of a sample. */
INLINE int has_events(const equations *own)
{
    return own->at_times.jump != NULL || own->at_times.count > 0;
}

/* Returns the values of the times of the sample n, for enter_interval; NULL if there are none. */
INLINE const real *values_of_times(const equations *own, size_t n)
{
    return own->at_times.count ? own->at_times.values + n*own->at_times.sample : NULL;
}

/* Gives the row fixed the values of the interval that leads to the time k; values begins with those of the sample. */
INLINE void enter_interval(const equations *own, size_t k, const real *values, real *fixed)
{
    const events at = own->at_times;
    for (size_t c = 0; c < at.count; c++)
        fixed[own->fixed - at.count + c] = values[k*at.next + c*at.item];
}

/* Writes the states u at all times up to now; after each, they jump, and the interval that leads to the next time is
   entered. There is room for the states in after. Sets jumped if a state has changed. */
INLINE void pass_times(const equations *own, double now, const real *values, const real *given, real *fixed, real *u,
    real *after, observations *seen, int *jumped)
{
    while (seen->done < seen->times && (double) seen->time[seen->done*seen->next_time] <= now) {
        for (size_t i = own->first; i < own->states; i++)
            seen->out[seen->done*seen->out_time + (i - own->first)*seen->out_state] = u[i];
        if (own->at_times.jump) {
            own->at_times.jump((real) now, u, given, fixed, after);
            for (size_t i = 0; i < own->states; i++) {
                *jumped |= u[i] != after[i];
                u[i] = after[i];
            }
        }
        if (++seen->done < seen->times)
            enter_interval(own, seen->done, values, fixed);
    }
}

/* Returns the time of the initial values. */
INLINE double start_of(const equations *own, const observations *seen)
{
    return own->start == own->start ? own->start : (double) seen->time[0];
}

/* Writes NaN at all times that are left, with the reason in its lowest bits; left says whether more steps might be
   tried. */
INLINE void fail_path(const equations *own, const observations *seen, int left)
{
    const int early = !(start_of(own, seen) <= (double) seen->time[0]);
    const real_bits quiet = {(real) NAN};
    const real_bits none = {.bits = quiet.bits | (word) (early ? TIMES_TOO_EARLY : left ? STEPS_TOO_SHORT
        : STEPS_TOO_MANY)};
    for (size_t done = seen->done; done < seen->times; done++)
        for (size_t i = 0; i < own->states - own->first; i++)
            seen->out[done*seen->out_time + i*seen->out_state] = none.value;
}

/* Writes the initial values to u, and the states at all times up to theirs, which is now. Returns 0 if it lies after
   the first time. */
INLINE int begin_path(const equations *own, double now, const real *values, const real *given, real *fixed, real *u,
    real *after, observations *seen)
{
    int jumped = 0;
    own->starts(given, fixed, u);
    enter_interval(own, 0, values, fixed);
    if (!(now <= (double) seen->time[0]))
        return 0;
    pass_times(own, now, values, given, fixed, u, after, seen, &jumped);
    return 1;
}

/* Returns where a step ends at the latest: at the next time, if steps end at each, or at the last one. */
INLINE double aim_of(const equations *own, const observations *seen)
{
    const size_t last = seen->times - 1;
    return (double) seen->time[(has_events(own) && seen->done < last ? seen->done : last)*seen->next_time];
}

/* Tries steps from a begin, at most up to the time aim, until one is accepted as nncodegen/compiler/ir/integrate.py
   says, and writes its length to the begin. left is the number of steps that may be tried. Returns 0 if none is
   accepted: after too many steps, or where steps become too short for the numbers. */
INLINE int next_step(const equations *own, const method *with, double aim, const real *given, const real *fixed,
    const step_arrays *a, size_t *left, step_begin *from, step_end *to)
{
    for (; *left > 0; --*left) {
        *to = (step_end) {from->now + from->h, 0, 0};
        if (to->now >= aim) {
            *to = (step_end) {aim, 0, from->h};
            from->h = aim - from->now;
        }
        if (!(to->now > from->now))
            return 0;
        take_step(own, with, from->now, from->h, a->u, given, fixed, a->after, a->error, a->k);
        to->norm = norm_of(own, a->error, a->u, a->after);
        if (to->norm <= 1) {
            --*left;
            return 1;
        }
        from->h *= shorter(with, to->norm);
        from->rejected = 1;
    }
    return 0;
}

/* Writes the states at all times within an accepted step. */
INLINE void observe_step(const equations *own, const method *with, const step_arrays *a, step_begin from, double end,
    observations *seen)
{
    for (; seen->done < seen->times && (double) seen->time[seen->done*seen->next_time] <= end; seen->done++) {
        const double at = (double) seen->time[seen->done*seen->next_time];
        observe(own, with, at == end ? 1 : (at - from.now)/from.h, from.h, a->u, a->after, a->k,
            seen->out + seen->done*seen->out_time, seen->out_state);
    }
}

/* Returns the begin of the step that follows an accepted one of an error of the given norm. */
INLINE step_begin begin_of_next_step(const method *with, step_begin from, double end, double norm)
{
    const double held = (double) rough_log2((real) larger(norm, 1e-8));
    return (step_begin) {end, from.h*longer(with, held, from.before, from.rejected), larger(held, STEP_NEAR), 0};
}

/* Goes on from the end of an accepted step. One that ends at the time aim leaves the length that the step before asked
   for, if that is longer. */
INLINE void accept_step(const equations *own, const method *with, const step_arrays *a, step_end to, step_begin *from)
{
    *from = begin_of_next_step(with, *from, to.now, to.norm);
    from->h = larger(from->h, to.asked);
    copy_values(own->states, a->after, a->u);
    copy_values(own->states, a->k + (with->stages - 1)*own->states, a->k);
}

/* Goes on from a time at which a step ended, as steps end at each. Returns 0 at the last time. */
INLINE int resume_at_time(const equations *own, const method *with, const real *values, const real *given, real *fixed,
    const step_arrays *a, observations *seen, step_begin *from)
{
    int jumped = 0;
    pass_times(own, from->now, values, given, fixed, a->u, a->after, seen, &jumped);
    if (seen->done == seen->times)
        return 0;
    if (jumped || own->at_times.driven)
        own->rates((real) from->now, a->u, given, fixed, a->k);
    if (jumped) {
        from->h = first_length(own, with, from->now, a->u, a->k, given, fixed, aim_of(own, seen) - from->now,
            a->k + own->states);
        from->before = 0;
    }
    return 1;
}

/* Writes the states of one sample at all of its times, which ascend; NaN where that fails: after too many steps, where
   steps become too short for the numbers, and at times before that of the initial values. There is room for stages + 3
   times the states in work. */
INLINE void solve(const equations *own, const method *with, observations seen, const real *values, const real *given,
    real *fixed, real *work)
{
    const int stops = has_events(own);
    const size_t states = own->states;
    const step_arrays a = {work, work + states, work + 2*states, work + 3*states};
    step_begin from = {start_of(own, &seen), 0, 0, 0};
    step_end to;
    size_t left = own->most;
    if (!begin_path(own, from.now, values, given, fixed, a.u, a.after, &seen))
        left = 0;
    double aim = aim_of(own, &seen);
    if (seen.done < seen.times && left) {
        own->rates((real) from.now, a.u, given, fixed, a.k);
        from.h = first_length(own, with, from.now, a.u, a.k, given, fixed, aim - from.now, a.k + states);
    }
    while (seen.done < seen.times && next_step(own, with, aim, given, fixed, &a, &left, &from, &to)) {
        if (!stops)
            observe_step(own, with, &a, from, to.now, &seen);
        accept_step(own, with, &a, to, &from);
        if (!stops || to.now < aim)
            continue;
        if (!resume_at_time(own, with, values, given, fixed, &a, &seen, &from))
            break;
        aim = aim_of(own, &seen);
    }
    fail_path(own, &seen, left > 0);
}

/* Writes count values of the sample n to a row. */
INLINE void row_of(size_t n, places from, size_t count, real *row)
{
    for (size_t p = 0; p < count; p++)
        row[p] = from.values[p*from.next + n*from.sample];
}

/* Gives the samples that pad a tile the states of the last one of count samples. */
INLINE void pad_samples(const equations *own, size_t count, size_t padded, size_t times, real *out, size_t out_time,
    size_t out_state, size_t out_sample)
{
    for (size_t n = count; n < padded; n++)
        for (size_t k = 0; k < times; k++)
            for (size_t i = 0; i < own->states - own->first; i++)
                out[k*out_time + i*out_state + n*out_sample] = out[k*out_time + i*out_state + (count - 1)*out_sample];
}

/* Solves equations for count samples; those that pad a tile get the values of the last one. There is room for both rows
   and stages + 3 times the states in work. */
INLINE void solve_samples(equations own, const method *with, size_t count, size_t padded, size_t times, places time,
    places given, places fixed, real *out, size_t out_time, size_t out_state, size_t out_sample, real *work)
{
    real *const row = work, *const other = work + own.given, *const rest = other + own.fixed;
    for (size_t n = 0; n < count; n++) {
        row_of(n, given, own.given, row);
        row_of(n, fixed, own.fixed - own.at_times.count, other);
        const observations seen = {times, 0, time.next, time.values + n*time.sample, out + n*out_sample, out_time,
            out_state};
        solve(&own, with, seen, values_of_times(&own, n), row, other, rest);
    }
    pad_samples(&own, count, padded, times, out, out_time, out_state, out_sample);
}

#endif
