/* The Levenberg-Marquardt steps of many fits, side by side, within bounds.

   Needs fits_state.h and cholesky.h. Gives judge_steps, find_steps, wants_inverse and conclude.

   D. W. Marquardt, An algorithm for least-squares estimation of nonlinear parameters (1963). Scales, tests of
   convergence and the reach of steps are those of J. J. More, The Levenberg-Marquardt algorithm: implementation and
   theory (1978). Bounds: see D. P. Bertsekas, Projected Newton methods for optimization problems with simple
   constraints (1982). */

#ifndef NNCODEGEN_FITS_STEPS_H
#define NNCODEGEN_FITS_STEPS_H

#include "nncodegen/fit/cholesky.h"
#include "nncodegen/fit/fits_state.h"

#define LEAST_DAMPING (16*EPSILON) /* times the scales */
#define FIRST_REACH ((real) 0.093025) /* relative to the square of the length of the parameters: as in fit.h */
#define UNSEEN (4*EPSILON) /* times a cost: changes that rounding may hide */

enum { MOST_ROUNDS = 10 };

/* Returns whether any lane is not 0. */
INLINE int any_of(words lanes)
{
    word any = 0;
    for (size_t k = 0; k < LANES; k++)
        any |= lanes[k];
    return any != 0;
}

/* Returns in which lanes the cost at the next point and all derivatives are finite: their sums of squares are. */
INLINE words finite_sums(const real *restrict sums)
{
    vector check = 0*get(sums, COST_PLACE);
    FEW_ROUNDS
    for (size_t p = 0; p < PARAMETERS; p++)
        check += 0*get(sums, place_of(p, p));
    return (words) (check == 0);
}

#if NN_FIT_GUARDS > 0
/* Returns the lanes where a guard with a sign at the current point loses it at the next. */
INLINE words lost_signs(const group_of_fits *g, size_t lane)
{
    words lost = {0};
    for (size_t k = 0; k < SIGNS; k++)
        lost |= get_words(g->signs + k*FITS + lane) & ~get_words(g->next_signs + k*FITS + lane);
    return lost;
}

/* Makes the signs at the next points the current ones, in accepted lanes. */
INLINE void take_signs(group_of_fits *g, size_t lane, words accepted)
{
    for (size_t k = 0; k < SIGNS; k++) {
        const words now = get_words(g->signs + k*FITS + lane), next = get_words(g->next_signs + k*FITS + lane);
        *words_at(g->signs + k*FITS + lane) = (accepted & next) | (~accepted & now);
    }
}
#endif

/* Returns the reach of the next step, from the outcome of a step of some length, as in fit.h; all are squares. */
INLINE vector next_reach(vector reach, vector length, vector gain, vector hope, words limited, words accepted)
{
    const words well = (words) (gain >= (real) 0.75*hope) | ~limited;
    const vector after = where((words) (gain > (real) 0.25*hope), where(well, 4*length, reach), length/4);
    return where(accepted, after, length/16);
}

/* Decides which steps are accepted, and the reach of the next ones. If rounding hides the effect of a step on the cost,
   the step is trusted more than the cost. */
static HOT void judge_steps(const NN(fits) *run, group_of_fits *g)
{
    const real tolerance = (real) run->cost_tolerance;
    for (size_t lane = 0; lane < FITS; lane += LANES) {
        real *const system = g->system + lane, *const current = g->current + lane, *const scales = g->scales + lane;
        const real *const sums = g->sums + lane, *const next = g->next + lane;
        const words fresh = get_words(g->fresh + lane), closing = get_words(g->closing + lane);
#if NN_FIT_GUARDS > 0
        const words finite = finite_sums(sums) & (fresh | ~lost_signs(g, lane));
#else
        const words finite = finite_sums(sums);
#endif
        const vector cost = get(system, COST_PLACE), reached = get(sums, COST_PLACE), hope = get(g->predicted + lane, 0);
        const words unseen = (words) (hope < 2*UNSEEN*cost);
        const vector gain = where(unseen & (words) (cost + UNSEEN*cost >= reached), hope, cost - reached);
        const words accepted = finite & (fresh | closing | (words) (gain >= 0));
        const words limited = get_words(g->limited + lane);
        const words settled = finite & ~fresh & ~limited & (words) (hope <= tolerance*cost)
            & (words) (gain <= tolerance*cost) & (words) (gain >= -tolerance*cost);
#if NN_FIT_GUARDS > 0
        take_signs(g, lane, accepted);
#endif
#if NN_CHANGES > 0
        take_lanes(&g->errors, lane, accepted);
#endif
        *at(g->reach + lane, 0) = where(fresh, (vector) {0},
            next_reach(get(g->reach + lane, 0), get(g->length + lane, 0), gain, hope, limited, accepted));
        *words_at(g->iterations + lane) += ~(fresh | closing) & 1;
        *words_at(g->outcome + lane) = ((closing | settled) & NN(FITS_COST)) | (fresh & ~finite & NN(FITS_NOT_FINITE));
        FEW_ROUNDS
        for (size_t k = 0; k < SYSTEM; k++)
            *at(system, k) = where(accepted, get(sums, k), get(system, k));
        FEW_ROUNDS
        for (size_t p = 0; p < PARAMETERS; p++) {
            const vector before = get(scales, p), now = get(system, place_of(p, p));
            *at(current, p) = where(accepted, get(next, p), get(current, p));
            *at(scales, p) = where(fresh | (words) (now > before), now, before);
        }
    }
}

/* Finds the free parameters of a step: those that are not fixed, nor at a bound beyond which the cost falls. */
INLINE void find_free(const NN(fits) *run, const real *restrict current, const real *restrict gradient, words *free)
{
    for (size_t p = 0; p < PARAMETERS; p++) {
        free[p] = (words) {0} - (word) !(run->fixed && run->fixed[p]);
        if (run->lower)
            free[p] &= ~((words) (get(current, p) <= run->lower[p]) & (words) (get(gradient, p) > 0));
        if (run->upper)
            free[p] &= ~((words) (get(current, p) >= run->upper[p]) & (words) (get(gradient, p) < 0));
    }
}

/* Computes the steps of the free parameters; held contains the steps of the others. */
INLINE void solve_steps(group_of_fits *g, size_t lane, const words *free, const real *held)
{
    const real *const system = g->system + lane, *const scales = g->scales + lane;
    real *const triangle = g->triangle + lane, *const step = g->step + lane;
    const vector damping = load(g->damping + lane);
    FEW_ROUNDS
    for (size_t i = 0; i < PARAMETERS; i++) {
        FEW_ROUNDS
        for (size_t j = 0; j < i; j++)
            *at(triangle, place_of(i, j)) = get(system, place_of(i, j));
        *at(triangle, place_of(i, i)) = get(system, place_of(i, i)) + damping*get(scales, i);
        *at(step, i) = -get(system, GRADIENT_PLACE + i);
    }
    for (size_t i = 0; held && i < PARAMETERS; i++) {
        for (size_t j = 0; j < PARAMETERS; j++)
            *at(step, i) -= get(held, j)*get(system, i < j ? place_of(j, i) : place_of(i, j));
    }
    factor(triangle, free, g->inverses + lane, g->row + lane);
    solve_factored(triangle, g->inverses + lane, step);
}

/* Returns which part of its step each lane may take until a parameter reaches a bound, at most all of it. */
INLINE vector part_within_bounds(const NN(fits) *run, const group_of_fits *g, size_t lane, size_t p)
{
    const vector x = get(g->current + lane, p), step = get(g->step + lane, p), end = x + step, all = (vector) {0} + 1;
    const vector below = (run->lower[p] - x)/step, above = (run->upper[p] - x)/step;
    return where((words) (end < run->lower[p]), below, where((words) (end > run->upper[p]), above, all));
}

/* Shortens steps that would cross a bound, and computes those of the other parameters again: one bound after the other,
   the nearest first, since with that parameter held others may stay within theirs. */
static UNUSED void keep_bounds(const NN(fits) *run, group_of_fits *g, size_t lane, words *free)
{
    const vector zero = {0};
    const real *const current = g->current + lane;
    real *const step = g->step + lane, *const held = g->held + lane, *const next = g->next + lane;
    for (size_t p = 0; p < PARAMETERS; p++) {
        *at(held, p) = zero;
        *at(next, p) = get(current, p);
    }
    for (size_t round = 0; round <= PARAMETERS; round++) {
        words crossed = {0};
        vector nearest = zero + 1;
        for (size_t p = 0; p < PARAMETERS; p++) {
            const vector part = part_within_bounds(run, g, lane, p);
            nearest = where(free[p] & (words) (part < nearest), part, nearest);
        }
        for (size_t p = 0; p < PARAMETERS; p++) {
            const vector x = get(current, p), end = x + get(step, p);
            const vector lower = zero + run->lower[p], upper = zero + run->upper[p];
            const words here = free[p] & (words) (part_within_bounds(run, g, lane, p) <= nearest);
            const words below = (words) (end < lower) & here, above = (words) (end > upper) & here;
            const vector there = where(free[p], end, get(next, p));
            *at(next, p) = where(below, lower, where(above, upper, there));
            *at(held, p) = where(below, lower - x, where(above, upper - x, get(held, p)));
            free[p] &= ~(below | above);
            crossed |= below | above;
        }
        if (!any_of(crossed))
            return;
        solve_steps(g, lane, free, held);
        for (size_t p = 0; p < PARAMETERS; p++)
            *at(step, p) += get(held, p);
    }
}

/* Computes the steps for the present dampings, within the bounds; free are the parameters that may move. */
static HOT void take_steps(const NN(fits) *run, group_of_fits *g, size_t lane, words *free)
{
    const int bounded = run->lower && run->upper, limited = bounded || run->fixed;
    if (limited)
        find_free(run, g->current + lane, g->system + lane + GRADIENT_PLACE*FITS, free);
    solve_steps(g, lane, limited ? free : NULL, NULL);
    if (bounded)
        keep_bounds(run, g, lane, free);
}

/* Returns the squares of the lengths of the steps. */
INLINE vector lengths_of_steps(const group_of_fits *g, size_t lane)
{
    vector length = {0};
    FEW_ROUNDS
    for (size_t p = 0; p < PARAMETERS; p++) {
        const vector s = get(g->step + lane, p);
        length += s*s*get(g->scales + lane, p);
    }
    return length;
}

/* Returns the square roots of lanes. */
static UNUSED vector roots(vector squares)
{
    for (size_t k = 0; k < LANES; k++)
        squares[k] = (real) sqrt((double) squares[k]);
    return squares;
}

/* Returns the dampings for which the lengths of the steps equal their reaches, after one Newton step on 1/length, as in
   MINPACK's lmpar, from the factored system: |s| falls by s'D(J'J + damping D)^-1 D s/|s| as its damping grows, where D
   are the scales. Overwrites the steps. */
static COLD vector newton_dampings(group_of_fits *g, size_t lane, vector damping, vector length, vector excess)
{
    real *const step = g->step + lane;
    vector slope = {0};
    for (size_t p = 0; p < PARAMETERS; p++) {
        *at(g->row + lane, p) = get(step, p)*get(g->scales + lane, p);
        *at(step, p) = get(g->row + lane, p);
    }
    solve_factored(g->triangle + lane, g->inverses + lane, step);
    for (size_t p = 0; p < PARAMETERS; p++)
        slope += get(g->row + lane, p)*get(step, p);
    return damping + excess*length/slope;
}

/* Damps the steps that reach too far until they are as long as allowed, up to a tenth. */
static COLD void damp_steps(const NN(fits) *run, group_of_fits *g, size_t lane, words *free, words limited,
    vector length)
{
    const vector reach = get(g->reach + lane, 0), zero = {0};
    vector low = zero, high = zero;
    for (size_t p = 0; p < PARAMETERS; p++) {
        const vector d = get(g->system + lane, GRADIENT_PLACE + p), scale = get(g->scales + lane, p);
        high += where((words) (scale > zero), d*d/scale, zero);
    }
    high = roots(high/reach);
    for (size_t round = 0; round < MOST_ROUNDS; round++) {
        const vector damping = get(g->damping + lane, 0), excess = roots(length/reach) - 1;
        const words wrong = limited & ((words) (excess > (real) 0.1) | (words) (excess < (real) -0.1));
        const words longer = (words) (excess > zero);
        if (!any_of(wrong))
            break;
        low = where(wrong & longer & (words) (damping > low), damping, low);
        high = where(wrong & ~longer & (words) (damping < high), damping, high);
        const vector next = newton_dampings(g, lane, damping, length, excess);
        const vector middle = where((words) (low > LEAST_DAMPING), roots(low*high), (real) 1e-3*high);
        const words inside = (words) (next > low) & (words) (next < high);
        *at(g->damping + lane, 0) = where(wrong, where(inside, next, middle), damping);
        take_steps(run, g, lane, free);
        length = lengths_of_steps(g, lane);
    }
}

/* Computes where the steps lead, and returns the predicted fall of the cost; writes the squares of their lengths to
   length. */
INLINE vector promise_of_steps(const NN(fits) *run, group_of_fits *g, size_t lane, vector *length)
{
    const int bounded = run->lower && run->upper;
    const real *const step = g->step + lane, *const system = g->system + lane, *const current = g->current + lane;
    vector slope = {0}, squares = {0}, lengths = {0};
    FEW_ROUNDS
    for (size_t p = 0; p < PARAMETERS; p++) {
        const vector s = get(step, p);
        if (!bounded)
            *at(g->next + lane, p) = get(current, p) + s;
        if (run->fixed && run->fixed[p])
            continue;
        slope += s*get(system, GRADIENT_PLACE + p);
        lengths += s*s*get(g->scales + lane, p);
        vector product = s*get(system, place_of(p, p));
        FEW_ROUNDS
        for (size_t q = 0; q < p; q++)
            product += 2*get(step, q)*get(system, place_of(p, q));
        squares += s*product;
    }
    *length = lengths;
    return -2*slope - squares;
}

/* Returns the reach of the first step: infinite if some parameters have no effect, as in fit.h. */
static COLD vector first_reach(const NN(fits) *run, const real *scales, vector size)
{
    words all = (words) (size > 0);
    for (size_t p = 0; p < PARAMETERS; p++)
        if (!(run->fixed && run->fixed[p]))
            all &= (words) (get(scales, p) > 0);
    return where(all, FIRST_REACH*size, (vector) {0} + (real) HUGE_VAL);
}

/* Computes the next steps, and their predicted falls of the cost. */
static HOT void find_steps(const NN(fits) *run, group_of_fits *g)
{
    const int limited = (run->lower && run->upper) || run->fixed;
    const real steepest = (real) (run->gradient_tolerance*run->gradient_tolerance);
    for (size_t lane = 0; lane < FITS; lane += LANES) {
        const real *const current = g->current + lane, *const system = g->system + lane;
        const real *const gradient = system + GRADIENT_PLACE*FITS, *const scales = g->scales + lane;
        const vector part = 1/get(system, COST_PLACE), zero = {0};
        words free[PARAMETERS], steep = {0};
        vector size = {0}, length;
        if (limited)
            find_free(run, current, gradient, free);
        FEW_ROUNDS
        for (size_t p = 0; p < PARAMETERS; p++) {
            const vector d = get(gradient, p), x = get(current, p);
            const words above = (words) (d*part*d > steepest*get(system, place_of(p, p)));
            steep |= limited ? (words) (above & free[p]) : above;
            if (!(run->fixed && run->fixed[p]))
                size += x*x*get(scales, p);
        }
        *at(g->damping + lane, 0) = zero + LEAST_DAMPING;
        take_steps(run, g, lane, free);
        vector promise = promise_of_steps(run, g, lane, &length);
        const words fresh = (words) (get(g->reach + lane, 0) <= zero);
        if (any_of(fresh))
            *at(g->reach + lane, 0) = where(fresh, first_reach(run, scales, size), get(g->reach + lane, 0));
        const words beyond = (words) (length > (real) 1.21*get(g->reach + lane, 0));
        *words_at(g->limited + lane) = beyond;
        if (any_of(beyond)) {
            damp_steps(run, g, lane, free, beyond, length);
            promise = promise_of_steps(run, g, lane, &length);
        }
#if NN_CHANGES > 0
        const vector fall = get(g->errors.fall + lane, 0);
        promise += fall;
        steep |= (words) (fall*part > steepest);
        place_lanes(&g->errors, g->step, lane);
#endif
        *at(g->predicted + lane, 0) = promise;
        *at(g->length + lane, 0) = length;
        *at(g->size + lane, 0) = size;
        *(words *) (g->steep + lane) = steep;
    }
}

/* Returns a status where a condition holds, else the other status. */
INLINE words first_of(words condition, word status, words otherwise)
{
    return (condition & status) | (~condition & otherwise);
}

/* If no step with a visible effect lowers the cost: returns whether the residuals are orthogonal to all derivatives, as
   exactly as the cost can tell. */
static COLD words is_level(const NN(fits) *run, const group_of_fits *g, size_t lane)
{
    const real *const system = g->system + lane, *const gradient = system + GRADIENT_PLACE*FITS;
    const vector part = 1/get(system, COST_PLACE);
    const real tolerance = (real) run->cost_tolerance;
    words free[PARAMETERS], steep = {0};
    find_free(run, g->current + lane, gradient, free);
    for (size_t p = 0; p < PARAMETERS; p++) {
        const vector d = get(gradient, p);
        steep |= (words) (d*part*d > tolerance*get(system, place_of(p, p))) & free[p];
    }
#if NN_CHANGES > 0
    steep |= (words) (get(g->errors.fall + lane, 0)*part > tolerance);
#endif
    return ~steep;
}

/* Returns whether the inverse of J'J is needed at the point where a fit ends. */
INLINE int wants_inverse(const NN(fits) *run)
{
    return run->covariance || run->standard_errors;
}

/* Decides which fits end here. A last step that is sure to be good is taken without evaluating it, unless covariances,
   which belong to its end point, are needed, or signs are kept. */
static HOT void conclude(const NN(fits) *run, group_of_fits *g)
{
    const real tolerance = (real) run->cost_tolerance;
    const real shortest = (real) (run->step_tolerance*run->step_tolerance);
    const word most = (word) (run->max_iterations < INT32_MAX ? run->max_iterations : INT32_MAX);
    for (size_t lane = 0; lane < FITS; lane += LANES) {
        const vector hope = get(g->predicted + lane, 0), size = get(g->size + lane, 0);
        const vector cost = get(g->system + lane, COST_PLACE);
#if NN_CHANGES > 0
        const vector length = get(g->length + lane, 0) + get(g->errors.fall + lane, 0);
#else
        const vector length = get(g->length + lane, 0);
#endif
        const words before = get_words(g->outcome + lane), ended = (words) (before != 0);
        const words flat = ~get_words(g->steep + lane), limited = get_words(g->limited + lane);
        const words brief = (words) (length <= shortest*size);
        const words sure = ~ended & ~flat & ~limited & (words) (hope >= 0) & (words) (hope <= tolerance*cost)
            & (words) (length <= tolerance*size);
        const words closing = wants_inverse(run) || GUARDED ? sure : (words) {0};
        const words many = (words) (get_words(g->iterations + lane) >= most), stuck = brief & limited & ~ended;
        words found = brief & ~limited;
        if (any_of(stuck))
            found |= stuck & is_level(run, g, lane);
        *words_at(g->closing + lane) = closing;
        *words_at(g->last + lane) = sure;
        *words_at(g->outcome + lane) = before | (~ended & ~closing & first_of(flat, NN(FITS_GRADIENT), first_of(sure,
            NN(FITS_COST), first_of(found, NN(FITS_STEP), first_of(many, NN(FITS_MAX_ITERATIONS),
            stuck & NN(FITS_STALLED))))));
    }
}

#endif
