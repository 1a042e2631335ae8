/* Solves differential equations in steps that are chosen by an estimate of their error: several samples at once, each
   in a lane of vectors, or one after the other.

   The loop is the same for all methods. A kind of method has a function that tries a step in each lane, one that writes
   states between steps, and one that goes on from accepted steps: those of explicit methods are here. Others may keep
   steps before they go on from them.

   Needs times.h and, but in plain C, calls.h and vectors.h. Gives rates_of_lanes, NARROW, ALIGNED, OF_LANES and
   OF_RATES, the types paths, lane_arrays, path_samples and solver, NO_PATHS, added, rates_at, norms_of, step_lanes,
   keep_chosen, observe_accepted, take_rates, the parts of the loop, solve_paths, arrays_of, arrays_alone, solve,
   solve_samples and solve_in_lanes. */

#ifndef NNCODEGEN_SOLVE_H
#define NNCODEGEN_SOLVE_H

#include "nncodegen/base/calls.h"
#include "nncodegen/base/vectors.h"
#include "nncodegen/solve/times.h"

/* The lanes of the shortest vectors of all instruction sets.

   Each lane has a time, a length of steps and an error of its own, and takes the next sample when its own one ends.
   What computes has the number of lanes as a constant: as many as the longest vectors have, or as the shortest for a
   sample alone, or 1, where vectors run along the states instead (layout.py says when). Loops over several lanes become
   the same operations on vectors in either case, so that a sample has the same bits alone and among others. */
enum { NARROW = 16/sizeof(real) };

#define ALIGNED __attribute__((aligned(64)))

/* The number of lanes, as the first parameter of a function and as its argument. Plain C has the text for one lane, in
   which there is none (nncodegen/formats/c/one_lane.py). */
#define OF_LANES size_t lanes,
#define IN(number) number,

/* Likewise the function of the rates in several lanes, of which one lane has none. */
#define OF_RATES rates_of_lanes rates,
#define BY(function) function,

#ifndef IN_LOOP /* the loop over steps and its parts, which are arguments of it: inline, so that calls are direct */
#define IN_LOOP INLINE
#endif

/* sum + a*b, as plus_product in several lanes: what a compiler makes of it there depends on their number. In one lane
   it is a compiler's, as all arithmetic. */
#define added(lanes, sum, a, b) ((lanes) > 1 ? plus_product(sum, a, b) : (sum) + (a)*(b))

/* The rates of the states u of the samples in all lanes, at a time in each: the value k of a lane is at
   [k*lanes + lane]. */
typedef void (*rates_of_lanes)(size_t lanes, const real *times, const real *u, const real *given, const real *fixed,
    real *rates);

/* The samples in the lanes.

   live              1 for a lane that solves a sample, 0 for one that only fills the vectors
   now               the time of the states; a step of the length h leads to end, at most to last
   final             the value that last has again after an accepted step: an implicit step may be taken again to end
                     before
   proposed_length   the length that the error asks for
   max_growth        the factor by which the next step may be longer
   left              the number of steps that may follow
   upcoming          the next time whose states are to be written
   norm              the norm of the error of this step, or in several lanes its square
   before            the logarithm of that of the step before, at least STEP_NEAR, or twice that in several lanes
   good              1 if this step is accepted
   sample            the number of the sample
   done              the number of times whose states are written, all of them where the sample is solved
   needs_first_step  FROM_NOTHING for a lane that has no length of a step and no rates yet, RATES_ALONE for one whose
                     rates are others since a time, 0 for all others

   and of all lanes

   begun             the number of samples that have begun
   lanes             the number of lanes that have had a sample */
typedef struct {
    double live[LANES] ALIGNED, now[LANES] ALIGNED, end[LANES] ALIGNED, last[LANES] ALIGNED, h[LANES] ALIGNED;
    double proposed_length[LANES] ALIGNED, max_growth[LANES] ALIGNED, left[LANES] ALIGNED;
    double upcoming[LANES] ALIGNED, final[LANES] ALIGNED, norm[LANES] ALIGNED, before[LANES] ALIGNED;
    real good[LANES] ALIGNED;
    size_t sample[LANES], done[LANES];
    unsigned char needs_first_step[LANES];
    size_t begun, lanes;
} paths;

enum { FROM_NOTHING = 1, RATES_ALONE = 2 };

/* The arrays of all lanes: states, those after a step, their errors, the rates of each stage, both rows; and those of
   one sample: its rows, its states, and those after a jump. */
typedef struct {
    real *u, *after, *error, *k, *given, *fixed, *own_given, *own_fixed, *own_u, *own_after;
} lane_arrays;

/* The samples: their number, that of the times of each, the values of each, and where the states at each time of each
   are written. */
typedef struct {
    size_t count, times;
    places time, given, fixed;
    real *out;
    size_t out_time, out_state, out_sample;
} path_samples;

/* What the loop over steps knows: the equations, the method, whether steps end at each time of a sample, the samples,
   the arrays, and what a kind of method has besides. The functions of the library have copies of the equations and of
   where arrays lie: what another function has seen, it may have changed, for all that compilers know. */
typedef struct {
    const equations *own, *copy;
    rates_of_lanes rates;
    const method *with;
    int stops;
    const path_samples *all;
    const lane_arrays *a, *shown;
    const void *besides;
} solver;

/* A part of a step in all lanes. */
typedef int (*part_of_step)(OF_LANES const solver *s, paths *p);

/* A kind of method has three of them.

   step     tries a step in each lane: writes the states after it, its error, and its stages; returns whether all lanes
            can make one
   observe  writes the states at all times within accepted steps, of which there are some; returns whether any lane has
            ended
   accept   goes on from accepted steps, but for the states; returns whether to look for lanes that have ended */
#define KIND_OF_METHOD part_of_step step, part_of_step observe, part_of_step accept

/* No sample in any lane. */
#define NO_PATHS {.begun = 0}

/* Computes the rates in all lanes, at a time in each; one lane has those of the equations. */
INLINE void rates_at(OF_LANES const equations *own, OF_RATES const real *times, const real *u,
    const lane_arrays *a, real *values)
{
    if (lanes == 1)
        own->rates(times[0], u, a->given, a->fixed, values);
    else
        rates(lanes, times, u, a->given, a->fixed, values);
}

/* Writes the squares of the norms of the errors of steps, in the precision of the model. */
INLINE void squared_norms(OF_LANES const equations *own, const real *error, const real *u, const real *after,
    double *norms)
{
    const real rtol = (real) own->rtol, atol = (real) larger(own->atol, NN_BITS == 64 ? 0 : 1e-37);
    real largest[LANES] ALIGNED = {0};
    for (size_t first = 0; first < own->states; first += own->block) {
        real sum[LANES] ALIGNED = {0};
        for (size_t i = first; i < first + own->block; i++) {
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++) {
                const real a = absolute(u[i*lanes + lane]), b = absolute(after[i*lanes + lane]);
                const real part = error[i*lanes + lane]/(atol + rtol*(a > b ? a : b));
                sum[lane] = plus_product(sum[lane], part, part);
            }
        }
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            largest[lane] = sum[lane] > largest[lane] || sum[lane] != sum[lane] ? sum[lane] : largest[lane];
    }
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++)
        norms[lane] = (double) (largest[lane]/(real) own->block);
}

/* Writes the norms of the errors of steps: of one lane that of norm_of, of several their squares. */
INLINE void norms_of(OF_LANES const equations *own, const real *error, const real *u, const real *after, double *norms)
{
    if (lanes == 1)
        norms[0] = norm_of(own, error, u, after);
    else
        squared_norms(IN(lanes) own, error, u, after, norms);
}

/* Computes the ends and lengths of the next steps. Returns whether all lanes can make one. */
INLINE int limit_steps(OF_LANES paths *p)
{
    double stuck = 0;
    LARGEST_LOOP(stuck)
    for (size_t lane = 0; lane < lanes; lane++) {
        const double now = p->now[lane], end = now + p->proposed_length[lane], last = p->last[lane];
        const double nearer = end >= last ? last : end;
        p->h[lane] = end >= last ? last - now : p->proposed_length[lane];
        p->end[lane] = nearer;
        stuck = larger(stuck, p->left[lane] > 0 && nearer > now ? 0 : p->live[lane]);
    }
    return stuck == 0;
}

/* Writes u, unless it is NULL, plus h times the weighted sum of the rates of some stages, whose number is constant. */
INLINE void add_stages(OF_LANES size_t states, size_t stages, const real *weights, const real *h, const real *u,
    const real *k, real *after)
{
    for (size_t i = 0; i < states; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            real sum = weights[0]*k[i*lanes + lane];
            FEW_ROUNDS
            for (size_t j = 1; j < stages; j++)
                sum = added(lanes, sum, weights[j], k[(j*states + i)*lanes + lane]);
            after[i*lanes + lane] = u ? added(lanes, u[i*lanes + lane], h[lane], sum) : h[lane]*sum;
        }
    }
}

/* The same for any number of stages, which is a constant up to 6. */
INLINE void add_any_stages(OF_LANES size_t states, size_t stages, const real *weights, const real *h, const real *u,
    const real *k, real *after)
{
#define CASE(number) \
    case number: \
        add_stages(IN(lanes) states, number, weights, h, u, k, after); \
        break;
    switch (stages) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
    default:
        add_stages(IN(lanes) states, stages, weights, h, u, k, after);
    }
#undef CASE
}

/* Makes an explicit step in each lane: writes its stages, the states after it, and its error. */
INLINE void step_lanes(OF_LANES const equations *own, OF_RATES const method *with,
    const lane_arrays *a, const paths *p)
{
    const size_t states = own->states, stages = with->stages;
    real h[LANES] ALIGNED, at[LANES] ALIGNED;
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++)
        h[lane] = (real) p->h[lane];
    for (size_t s = 1; s < stages; s++) {
        if (lanes == 1)
            add_stages(IN(lanes) states, s, with->rows[s], h, a->u, a->k, a->after);
        else
            add_any_stages(IN(lanes) states, s, with->rows[s], h, a->u, a->k, a->after);
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            at[lane] = (real) (p->now[lane] + (double) with->times[s]*p->h[lane]);
        rates_at(IN(lanes) own, BY(rates) at, a->after, a, a->k + s*states*lanes);
    }
    add_stages(IN(lanes) states, stages, with->errors, h, NULL, a->k, a->error);
}

/* Decides whether the step of one lane is accepted, and the length that follows. Where steps end at each time, as stops
   says, the step to a time leaves a length that was asked for before. */
INLINE void judge_path(const method *with, int stops, paths *p)
{
    const double asked = p->end[0] == p->last[0] ? p->proposed_length[0] : 0;
    const double norm = p->norm[0];
    const int good = norm <= 1;
    p->good[0] = good ? 1 : 0;
    if (good) {
        const double held = (double) rough_log2((real) larger(norm, STEP_TINY));
        p->proposed_length[0] = p->h[0]*longer(with, held, p->before[0], p->max_growth[0]);
        p->before[0] = larger(held, STEP_NEAR);
    } else
        p->proposed_length[0] = p->h[0]*shorter(with, norm);
    p->max_growth[0] = good ? STEP_MOST : 1;
    if (stops && good)
        p->proposed_length[0] = larger(p->proposed_length[0], asked);
}

/* The same for the steps of several lanes. Logarithms are those of squares. */
INLINE void judge_squares(OF_LANES const method *with, int stops, paths *p)
{
    const real share = (real) (0.5/with->exponent), tiny = (real) TINY_SQUARE, near = (real) (2*STEP_NEAR);
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++) {
        const real norm = (real) p->norm[lane], held = rough_log2(norm > tiny ? norm : tiny);
        const real power = share*(norm <= 1 ? (real) STEP_BEFORE*(real) p->before[lane] - held : -held);
        const real small = power > 4 ? 4 : power, within = small < -4 ? -4 : small;
        const double factor = STEP_SAFE*(double) rough_exp2(within), most = norm <= 1 ? p->max_growth[lane] : 1;
        const double least = factor < STEP_LEAST ? STEP_LEAST : factor;
        const double scale = p->norm[lane] < HUGE_VAL ? (least > most ? most : least) : STEP_LEAST; /* also for NaN */
        const double next = p->h[lane]*scale;
        const double asked = norm <= 1 && p->end[lane] == p->last[lane] ? p->proposed_length[lane] : 0;
        p->proposed_length[lane] = stops && next < asked ? asked : next;
        p->max_growth[lane] = norm <= 1 ? STEP_MOST : 1;
        p->before[lane] = norm <= 1 ? (double) (held > near ? held : near) : p->before[lane];
        p->good[lane] = norm <= 1 ? 1 : 0;
    }
}

/* Returns 1 if the upcoming time of a lane lies within an accepted step, otherwise 0. */
INLINE double due_in(size_t lane, const paths *p)
{
    return p->upcoming[lane] <= p->end[lane] ? (double) p->good[lane]*p->live[lane] : 0;
}

/* Returns whether there is such a lane. */
INLINE int is_due(OF_LANES const paths *p)
{
    double most = 0;
    LARGEST_LOOP(most)
    for (size_t lane = 0; lane < lanes; lane++)
        most = larger(most, due_in(lane, p));
    return most > 0;
}

/* Finds the lanes whose upcoming time lies within an accepted step, and its part of the step, 1 at the end. */
INLINE void find_due(OF_LANES const paths *p, double *due, real *x)
{
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++) {
        due[lane] = due_in(lane, p);
        const double part = (p->upcoming[lane] - p->now[lane])/p->h[lane];
        x[lane] = (real) (p->upcoming[lane] == p->end[lane] ? 1 : part);
    }
}

/* sum + a*b, rounded once where a compiler may do so: left to it, that would depend on the length of vectors, as for
   plus_product. */
#if NN_SAME_BITS
#define plus_free_product(sum, a, b) ((sum) + (a)*(b))
#else
#define plus_free_product(sum, a, b) plus_product(sum, a, b)
#endif

/* Writes the weights of the rates of all stages at a part of a step. */
INLINE void weights_in_lanes(OF_LANES size_t stages, size_t degree, const method *with, const real *x,
    real weights[][LANES])
{
    for (size_t j = 0; j < stages; j++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            real total = with->interpolant[j][degree - 1];
            FEW_ROUNDS
            for (size_t d = degree - 1; d-- > 0;)
                total = plus_free_product(with->interpolant[j][d], total, x[lane]);
            weights[j][lane] = total*x[lane];
        }
    }
}

/* Writes the states at the upcoming time of each lane that is due, and goes on to its next time: u after the step
   (x = 1), or plus h times the weighted sum of the rates of all stages. Returns whether that was the last time of any
   lane. */
INLINE int write_due(OF_LANES const equations *own, size_t stages, const path_samples *all, const double *due,
    const real *x, const real *h, real weights[][LANES], const lane_arrays *a, paths *p)
{
    real found[LANES] ALIGNED;
    for (size_t i = own->first; i < own->states; i++) {
        const real *const k = a->k + i*lanes, *const u = a->u + i*lanes, *const after = a->after + i*lanes;
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            real sum = weights[0][lane]*k[lane];
            FEW_ROUNDS
            for (size_t j = 1; j < stages; j++)
                sum = added(lanes, sum, weights[j][lane], k[j*own->states*lanes + lane]);
            found[lane] = x[lane] == 1 ? after[lane] : added(lanes, u[lane], h[lane], sum);
        }
        for (size_t lane = 0; lane < lanes; lane++)
            if (due[lane] > 0)
                all->out[p->sample[lane]*all->out_sample + p->done[lane]*all->out_time
                    + (i - own->first)*all->out_state] = found[lane];
    }
    int ended = 0;
    for (size_t lane = 0; lane < lanes; lane++) {
        if (due[lane] > 0 && ++p->done[lane] < all->times)
            p->upcoming[lane] = (double) all->time.values[p->done[lane]*all->time.next
                + p->sample[lane]*all->time.sample];
        else if (due[lane] > 0) {
            p->live[lane] = 0;
            ended = 1;
        }
    }
    return ended;
}

/* Makes the values after a step the current ones in all lanes that choose them: good is above 0. */
INLINE void keep_chosen(OF_LANES size_t count, const real *good, const real *after, real *values)
{
    if (lanes == 1 && !(good[0] > 0))
        return;
    for (size_t i = 0; i < count; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            values[i*lanes + lane] = good[lane] > 0 ? after[i*lanes + lane] : values[i*lanes + lane];
    }
}

/* Goes on from the end of a step where it is accepted. */
INLINE void take_paths(OF_LANES const equations *own, const lane_arrays *a, paths *p)
{
    keep_chosen(IN(lanes) own->states, p->good, a->after, a->u);
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++) {
        p->now[lane] = p->good[lane] > 0 ? p->end[lane] : p->now[lane];
        p->left[lane] -= 1;
    }
}

/* Returns the arrays of one lane, whose rows lie elsewhere. There is room for stages + 3 times the states in work. */
INLINE lane_arrays arrays_alone(const equations *own, real *given, real *fixed, real *work)
{
    const size_t states = own->states;
    real *const k = work + 3*states;
    real *const after = work + states, *const error = work + 2*states;
    return (lane_arrays) {work, after, error, k, given, fixed, given, fixed, after, error};
}

/* Returns the arrays of all lanes in memory that is aligned as vectors are: for a number of stages of all states in
   each, and three times the states, its rows, then the rows and twice the states of one more sample. */
INLINE lane_arrays arrays_of(OF_LANES const equations *own, size_t stages, real *work)
{
    const size_t size = own->states*lanes;
    real *const rows = work + (stages + 3)*size, *const one = rows + (own->given + own->fixed)*lanes;
    real *const states = one + own->given + own->fixed;
    return (lane_arrays) {work, work + size, work + 2*size, work + 3*size, rows, rows + own->given*lanes, one,
        one + own->given, states, states + own->states};
}

/* What is done when samples begin, are observed and end is the same for all equations, and takes most of the time of
   compilers. */
#define refill_lanes NN(refill_lanes)
#define fail_lanes NN(fail_lanes)
#define pass_lanes NN(pass_lanes)
#define observe_lanes NN(observe_lanes)
#ifdef NNCODEGEN_LINKED
SHARED int refill_lanes(OF_LANES const equations *own, const method *with, int stops, const path_samples *all,
    const lane_arrays *a, paths *p);
SHARED void fail_lanes(OF_LANES const equations *own, const path_samples *all, paths *p);
SHARED int pass_lanes(OF_LANES const equations *own, const path_samples *all, const lane_arrays *a, paths *p);
SHARED int observe_lanes(OF_LANES const equations *own, const method *with, const path_samples *all,
    const lane_arrays *a, paths *p);
#endif

#if !defined(NNCODEGEN_LINKED) || defined(NNCODEGEN_LIBRARY)
/* Copies the rows of a lane, and its states, which are those of u, to the arrays of one sample; of one lane, these hold
   its rows already, in memory that may be constant. */
INLINE void copy_lane(OF_LANES const equations *own, size_t lane, const real *u, const lane_arrays *a)
{
    if (lanes > 1) {
        for (size_t k = 0; k < own->given; k++)
            a->own_given[k] = a->given[k*lanes + lane];
        for (size_t k = 0; k < own->fixed; k++)
            a->own_fixed[k] = a->fixed[k*lanes + lane];
    }
    for (size_t i = 0; i < own->states; i++)
        a->own_u[i] = u[i*lanes + lane];
}

/* Writes the first lengths of the steps of fresh lanes, and the rates at their beginning: see first_length. It is asked
   for once for each sample, so that this function serves one lane after the other, and any number of them: it took a
   third of the time of compilers as a part of solve_paths. */
static void begin_steps(OF_LANES const equations *own, const method *with, const lane_arrays *a, paths *p)
{
    real *const rate = a->error, *const room = a->k + own->states*lanes;
    for (size_t lane = 0; lane < lanes; lane++) {
        if (p->needs_first_step[lane]) {
            copy_lane(IN(lanes) own, lane, a->u, a);
            const double now = p->now[lane], most = p->last[lane] - now;
            own->rates((real) now, a->own_u, a->own_given, a->own_fixed, rate);
            if (p->needs_first_step[lane] == FROM_NOTHING)
                p->proposed_length[lane] = first_length(own, with, now, a->own_u, rate, a->own_given, a->own_fixed,
                    most, room);
            p->needs_first_step[lane] = 0;
            for (size_t i = 0; i < own->states; i++)
                a->k[i*lanes + lane] = rate[i];
        }
    }
}

/* Returns the observations of the sample n, of which some are done. */
INLINE observations observations_of(const path_samples *all, size_t n, size_t done)
{
    return (observations) {all->times, done, all->time.next, all->time.values + n*all->time.sample,
        all->out + n*all->out_sample, all->out_time, all->out_state};
}

/* Gives a lane the next time of its sample, and the values of the interval that leads there. */
INLINE void resume_after_observation(OF_LANES const equations *own, size_t lane, const observations *seen,
    const lane_arrays *a, paths *p)
{
    const size_t done = seen->done, last = seen->times - 1;
    for (size_t k = own->fixed - own->at_times.count; k < own->fixed; k++)
        a->fixed[k*lanes + lane] = a->own_fixed[k];
    p->done[lane] = done;
    p->last[lane] = p->final[lane] = aim_of(own, seen);
    p->upcoming[lane] = (double) seen->time[(done < last ? done : last)*seen->next_time];
    p->live[lane] = done < seen->times;
}

/* Starts the sample n in a lane, and writes its states at all times up to that of the initial values; if no time is
   left, it has ended. It is compiled for size: as vectors, its copies of a few values took a tenth of the time of
   compilers. */
static COLD void begin_lane(OF_LANES const equations *own, const path_samples *all, size_t n, size_t lane,
    const lane_arrays *a, paths *p)
{
    observations seen = observations_of(all, n, 0);
    const size_t fixed = own->fixed - own->at_times.count;
    row_of(n, all->given, own->given, a->own_given);
    row_of(n, all->fixed, fixed, a->own_fixed);
    if (lanes > 1) {
        for (size_t k = 0; k < own->given; k++)
            a->given[k*lanes + lane] = a->own_given[k];
        for (size_t k = 0; k < fixed; k++)
            a->fixed[k*lanes + lane] = a->own_fixed[k];
    }
    const double now = start_of(own, &seen);
    const int begins = begin_path(own, now, values_of_times(own, n), a->own_given, a->own_fixed, a->own_u,
        a->own_after, &seen);
    for (size_t i = 0; i < own->states; i++)
        a->u[i*lanes + lane] = a->own_u[i];
    resume_after_observation(IN(lanes) own, lane, &seen, a, p);
    if (!begins) {
        fail_path(own, &seen, 1);
        p->live[lane] = 0;
    }
    p->sample[lane] = n;
    p->left[lane] = (double) own->most;
    p->now[lane] = p->end[lane] = now;
    p->h[lane] = p->proposed_length[lane] = 0;
    p->max_growth[lane] = STEP_MOST;
    p->before[lane] = 0;
    p->good[lane] = 0;
    p->needs_first_step[lane] = FROM_NOTHING;
}

/* Makes lanes that have had no sample repeat that of the first lane, so that their numbers are harmless. */
static COLD void fill_lanes(OF_LANES const equations *own, const lane_arrays *a, paths *p)
{
    for (size_t lane = p->lanes; lane < lanes; lane++) {
        for (size_t k = 0; k < own->given; k++)
            a->given[k*lanes + lane] = a->given[k*lanes];
        for (size_t k = 0; k < own->fixed; k++)
            a->fixed[k*lanes + lane] = a->fixed[k*lanes];
        for (size_t i = 0; i < own->states; i++)
            a->u[i*lanes + lane] = a->u[i*lanes];
        p->now[lane] = p->end[lane] = p->now[0];
        p->last[lane] = p->final[lane] = p->upcoming[lane] = p->last[0];
        p->h[lane] = p->proposed_length[lane] = p->max_growth[lane] = p->left[lane] = p->live[lane] = 0;
        p->before[lane] = 0;
        p->good[lane] = 0;
        p->needs_first_step[lane] = FROM_NOTHING;
    }
}

/* Starts the next samples in all lanes whose own has ended, and fills those that never had one. Returns whether any
   lane has a sample. */
SHARED HOT int refill_lanes(OF_LANES const equations *own, const method *with, int stops, const path_samples *all,
    const lane_arrays *a, paths *p)
{
    int live = 0, fresh = 0;
    for (size_t lane = 0; lane < lanes; lane++) {
        for (; p->live[lane] == 0 && p->begun < all->count; fresh = 1) { /* also the next, where one ends at once */
            begin_lane(IN(lanes) own, all, p->begun++, lane, a, p);
            if (lanes > 1)
                p->lanes = p->lanes > lane ? p->lanes : lane + 1;
        }
        live |= p->live[lane] > 0;
        fresh |= stops && p->live[lane] > 0 && p->needs_first_step[lane];
    }
    if (live && fresh) {
        if (lanes > 1)
            fill_lanes(IN(lanes) own, a, p);
        begin_steps(IN(lanes) own, with, a, p);
    }
    return live;
}

/* Ends the lanes that can make no step, after too many steps or where these become too short for the numbers: at the
   times that are left, states are NaN. */
SHARED COLD void fail_lanes(OF_LANES const equations *own, const path_samples *all, paths *p)
{
    for (size_t lane = 0; lane < lanes; lane++) {
        if (p->live[lane] > 0 && !(p->left[lane] > 0 && p->end[lane] > p->now[lane])) {
            const observations seen = observations_of(all, p->sample[lane], p->done[lane]);
            fail_path(own, &seen, p->left[lane] > 0);
            p->live[lane] = 0;
        }
    }
}

/* Writes the states of the lanes whose accepted step ends at a time of their sample, and lets them jump. Returns
   whether there is such a lane. */
SHARED HOT int pass_lanes(OF_LANES const equations *own, const path_samples *all, const lane_arrays *a, paths *p)
{
    int any = 0;
    for (size_t lane = 0; lane < lanes; lane++) {
        if (p->live[lane] > 0 && p->good[lane] > 0 && p->end[lane] >= p->last[lane]) {
            int jumped = 0;
            observations seen = observations_of(all, p->sample[lane], p->done[lane]);
            copy_lane(IN(lanes) own, lane, a->after, a);
            pass_times(own, p->end[lane], values_of_times(own, p->sample[lane]), a->own_given, a->own_fixed, a->own_u,
                a->own_after, &seen, &jumped);
            resume_after_observation(IN(lanes) own, lane, &seen, a, p);
            for (size_t i = 0; i < own->states; i++)
                a->after[i*lanes + lane] = a->own_u[i];
            if (jumped) {
                p->max_growth[lane] = STEP_MOST;
                p->before[lane] = 0;
            }
            p->needs_first_step[lane] = jumped ? FROM_NOTHING : own->at_times.driven ? RATES_ALONE : 0;
            any = 1;
        }
    }
    return any;
}

/* Writes the states at all times of each lane that lie within an accepted step, of which there is one. Returns whether
   any lane has ended. */
INLINE int write_all_due(OF_LANES size_t stages, size_t degree, const equations *own, const method *with,
    const path_samples *all, const lane_arrays *a, paths *p)
{
    double due[LANES] ALIGNED;
    real x[LANES] ALIGNED, h[LANES] ALIGNED, weights[MOST_STAGES][LANES] ALIGNED;
    int ended = 0;
    do {
        find_due(IN(lanes) p, due, x);
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            h[lane] = (real) p->h[lane];
        weights_in_lanes(IN(lanes) stages, degree, with, x, weights);
        ended |= write_due(IN(lanes) own, stages, all, due, x, h, weights, a, p);
    } while (is_due(IN(lanes) p));
    return ended;
}

/* Does so with constants, which become loops without a count: the number of lanes, and the numbers of tsit5. */
SHARED HOT int observe_lanes(OF_LANES const equations *own, const method *with, const path_samples *all,
    const lane_arrays *a, paths *p)
{
    const size_t stages = with->stages, degree = with->degree;
    if (lanes == 1)
        return write_all_due(IN(1) stages, degree, own, with, all, a, p);
    else if (stages == 7 && degree == 4)
        return lanes == LANES ? write_all_due(IN(LANES) 7, 4, own, with, all, a, p)
            : write_all_due(IN(NARROW) 7, 4, own, with, all, a, p);
    else
        return lanes == LANES ? write_all_due(IN(LANES) stages, degree, own, with, all, a, p)
            : write_all_due(IN(NARROW) stages, degree, own, with, all, a, p);
}
#endif

/* The parts of an explicit step. */
IN_LOOP int step_explicitly(OF_LANES const solver *s, paths *p)
{
    step_lanes(IN(lanes) s->own, BY(s->rates) s->with, s->a, p);
    return 1;
}

IN_LOOP int observe_accepted(OF_LANES const solver *s, paths *p)
{
    return observe_lanes(IN(lanes) s->copy, s->with, s->all, s->shown, p);
}

/* The rates at the end of a step are those of its last stage. */
IN_LOOP int take_rates(OF_LANES const solver *s, paths *p)
{
    const size_t size = s->own->states*lanes;
    keep_chosen(IN(lanes) s->own->states, p->good, s->a->k + (s->with->stages - 1)*size, s->a->k);
    return 0;
}

/* Makes steps in all lanes until no sample is left. */
IN_LOOP void follow_paths(OF_LANES const solver *s, KIND_OF_METHOD, paths *p)
{
    while (refill_lanes(IN(lanes) s->copy, s->with, s->stops, s->all, s->shown, p))
        for (int ended = 0; !ended;) {
            if (!limit_steps(IN(lanes) p) || !step(IN(lanes) s, p)) {
                fail_lanes(IN(lanes) s->copy, s->all, p);
                break;
            }
            norms_of(IN(lanes) s->own, s->a->error, s->a->u, s->a->after, p->norm);
            if (lanes == 1)
                judge_path(s->with, s->stops, p);
            else
                judge_squares(IN(lanes) s->with, s->stops, p);
            if (s->stops)
                ended = pass_lanes(IN(lanes) s->copy, s->all, s->shown, p);
            else if (is_due(IN(lanes) p))
                ended = observe(IN(lanes) s, p);
            ended |= accept(IN(lanes) s, p);
            take_paths(IN(lanes) s->own, s->a, p);
        }
}

/* Solves equations for all samples, given the arrays of all lanes. */
IN_LOOP void solve_paths(OF_LANES const equations *own, OF_RATES const method *with,
    KIND_OF_METHOD, const void *besides, const path_samples *all, const lane_arrays *a)
{
    const equations copy = *own;
    const lane_arrays shown = *a;
    const solver s = {own, &copy, BY(rates) with, has_events(own), all, a, &shown, besides};
    paths p = NO_PATHS;
    follow_paths(IN(lanes) &s, step, observe, accept, &p);
}

#define EXPLICIT_STEPS step_explicitly, observe_accepted, take_rates

/* The samples of a tile, of which one is observed, and its rows are where arrays have them. */
INLINE path_samples one_sample(const observations *seen)
{
    const places there = {NULL, 0, 0};
    return (path_samples) {1, seen->times, {seen->time, seen->next_time, 0}, there, there, seen->out, seen->out_time,
        seen->out_state, 0};
}

/* Writes the states of one sample at all of its times, which ascend; NaN where that fails: after too many steps, where
   steps become too short for the numbers, and at times before that of the initial values. There is room for stages + 3
   times the states in work. */
INLINE void solve(const equations *own, const method *with, observations seen, const real *given, real *fixed,
    real *work)
{
    const lane_arrays a = arrays_alone(own, (real *) given, fixed, work);
    const path_samples all = one_sample(&seen);
    solve_paths(IN(1) own, BY(NULL) with, EXPLICIT_STEPS, NULL, &all, &a);
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

/* Solves equations for count samples, one after the other; those that pad a tile get the values of the last one. There
   is room for both rows and stages + 3 times the states in work. */
INLINE void solve_samples(equations own, const method *with, size_t count, size_t padded, size_t times, places time,
    places given, places fixed, real *out, size_t out_time, size_t out_state, size_t out_sample, real *work)
{
    const path_samples all = {count, times, time, given, fixed, out, out_time, out_state, out_sample};
    const lane_arrays a = arrays_alone(&own, work, work + own.given, work + own.given + own.fixed);
    solve_paths(IN(1) &own, BY(NULL) with, EXPLICIT_STEPS, NULL, &all, &a);
    pad_samples(&own, count, padded, times, out, out_time, out_state, out_sample);
}

/* Does so in lanes, a sample alone in those of the shortest vectors if narrow is set. There is room for the arrays of
   all lanes in work. */
INLINE void solve_in_lanes(equations own, rates_of_lanes rates, const method *with, int narrow, size_t count,
    size_t padded, size_t times, places time, places given, places fixed, real *out, size_t out_time,
    size_t out_state, size_t out_sample, real *work)
{
    const path_samples all = {count, times, time, given, fixed, out, out_time, out_state, out_sample};
    if (narrow && count == 1) {
        const lane_arrays a = arrays_of(IN(NARROW) &own, with->stages, work);
        solve_paths(IN(NARROW) &own, BY(rates) with, EXPLICIT_STEPS, NULL, &all, &a);
    } else {
        const lane_arrays a = arrays_of(IN(LANES) &own, with->stages, work);
        solve_paths(IN(LANES) &own, BY(rates) with, EXPLICIT_STEPS, NULL, &all, &a);
    }
    pad_samples(&own, count, padded, times, out, out_time, out_state, out_sample);
}

#endif
