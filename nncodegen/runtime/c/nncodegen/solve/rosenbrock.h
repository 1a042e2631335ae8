/* Solves stiff differential equations in steps that are chosen by an estimate of their error, sample by sample.

   Needs solve.h. Gives the types rosenbrock_method, slopes_function, bend_function, linear_parts, and
   solve_stiff_samples. */

#ifndef NNCODEGEN_ROSENBROCK_H
#define NNCODEGEN_ROSENBROCK_H

#include "nncodegen/solve/solve.h"

/* A linearly implicit method (Hairer and Wanner, Solving Ordinary Differential Equations II, IV.7). With the Jacobian J
   of the rates f at the begin of a step of length h, its stages U_i are the solutions of

       (1/(gamma*h) - J) U_i = f(t + times_i*h, u + sum rows_ij*U_j) + sum couplings_ij*U_j/h + drifts_i*h*df/dt

   and a step leads to u + sum weights_i*U_i. In common are times, rows, and the weights of the error and of the
   interpolant, which are those of U. */
typedef struct {
    method common;
    real gamma;
    real couplings[MOST_STAGES][MOST_STAGES], drifts[MOST_STAGES], weights[MOST_STAGES];
} rosenbrock_method;

/* The derivatives of rates at the time t and the states u: those of the first block by its states, of which only the
   values that may differ from zero are written, and those of all rates by the time, unless they do not read it. */
typedef void (*slopes_function)(real t, const real *u, const real *given, const real *fixed, real *jacobian,
    real *drift);

/* The change of the rates of all other blocks where the first block changes by direction: of sensitivities, which are
   derivatives of the first block, so that each has the Jacobian of that, and changes with it. */
typedef void (*bend_function)(real t, const real *u, const real *given, const real *fixed, const real *direction,
    real *change);

/* The derivatives that implicit steps read: driven says that rates read the time. */
typedef struct {
    slopes_function slopes;
    bend_function bend;
    int driven;
} linear_parts;

/* Writes 1/(gamma*h) - J as the product of two triangles, with the rows in the order of the largest pivots. The
   diagonal holds the reciprocals of pivots. */
INLINE void factorize(size_t n, const real *restrict jacobian, real shift, real *restrict a, size_t *restrict pivots)
{
    for (size_t i = 0; i < n*n; i++)
        a[i] = -jacobian[i];
    for (size_t i = 0; i < n; i++)
        a[i*n + i] += shift;
    for (size_t k = 0; k < n; k++) {
        size_t best = k;
        for (size_t i = k + 1; i < n; i++)
            if (absolute(a[i*n + k]) > absolute(a[best*n + k]))
                best = i;
        pivots[k] = best;
        if (best != k)
            for (size_t j = 0; j < n; j++) {
                const real value = a[k*n + j];
                a[k*n + j] = a[best*n + j];
                a[best*n + j] = value;
            }
        a[k*n + k] = 1/a[k*n + k];
        for (size_t i = k + 1; i < n; i++) {
            a[i*n + k] *= a[k*n + k];
            for (size_t j = k + 1; j < n; j++)
                a[i*n + j] -= a[i*n + k]*a[k*n + j];
        }
    }
}

/* Replaces a right-hand side by the solution of linear equations that factorize has prepared. */
INLINE void substitute(size_t n, const real *restrict a, const size_t *restrict pivots, real *restrict b)
{
    for (size_t k = 0; k < n; k++) {
        const real value = b[k];
        b[k] = b[pivots[k]];
        b[pivots[k]] = value;
    }
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            b[i] -= a[i*n + j]*b[j];
    for (size_t i = n; i-- > 0;) {
        for (size_t j = i + 1; j < n; j++)
            b[i] -= a[i*n + j]*b[j];
        b[i] *= a[i*n + i];
    }
}

/* Replaces right-hand sides of all blocks by the solution of the linear equations of a step that begins at the states
   u. There is room for the states of all blocks but the first in change. */
INLINE void solve_blocks(const equations *own, const linear_parts *local, double now, const real *u, const real *a,
    const size_t *pivots, const real *given, const real *fixed, real *change, real *b)
{
    const size_t states = own->states, block = own->block;
    substitute(block, a, pivots, b);
    if (states > block) {
        local->bend((real) now, u, given, fixed, b, change);
        for (size_t i = block; i < states; i++)
            b[i] += change[i - block];
        for (size_t i = block; i < states; i += block)
            substitute(block, a, pivots, b + i);
    }
}

/* Writes the stages of a step of length h. rate and drift are those at its begin; there is room for the states in
   place. */
INLINE void take_stages(const equations *own, const linear_parts *local, const rosenbrock_method *with, double now,
    double h, const real *u, const real *rate, const real *drift, const real *a, const size_t *pivots,
    const real *given, const real *fixed, real *place, real *stages)
{
    const size_t states = own->states;
    const real part = (real) (1/h);
    for (size_t s = 0; s < with->common.stages; s++) {
        real *const stage = stages + s*states;
        if (s > 0) {
            for (size_t i = 0; i < states; i++) {
                real sum = with->common.rows[s][0]*stages[i];
                for (size_t j = 1; j < s; j++)
                    sum += with->common.rows[s][j]*stages[j*states + i];
                place[i] = u[i] + sum;
            }
            own->rates((real) (now + (double) with->common.times[s]*h), place, given, fixed, stage);
            for (size_t i = 0; i < states; i++) {
                real sum = with->couplings[s][0]*stages[i];
                for (size_t j = 1; j < s; j++)
                    sum += with->couplings[s][j]*stages[j*states + i];
                stage[i] += sum*part;
            }
        } else
            copy_values(states, rate, stage);
        if (local->driven)
            for (size_t i = 0; i < states; i++)
                stage[i] += with->drifts[s]*(real) h*drift[i];
        solve_blocks(own, local, now, u, a, pivots, given, fixed, place, stage);
    }
}

/* Writes the states after an implicit step of length h, its error and its stages, like take_step. */
INLINE void take_implicit_step(const equations *own, const linear_parts *local, const rosenbrock_method *with,
    double now, double h, const real *u, const real *rate, const real *drift, const real *jacobian, real *a,
    size_t *pivots, const real *given, const real *fixed, real *after, real *error, real *k)
{
    const size_t states = own->states, stages = with->common.stages;
    factorize(own->block, jacobian, (real) (1/((double) with->gamma*h)), a, pivots);
    take_stages(own, local, with, now, h, u, rate, drift, a, pivots, given, fixed, after, k);
    for (size_t i = 0; i < states; i++) {
        real sum = with->weights[0]*k[i], other = with->common.errors[0]*k[i];
        for (size_t j = 1; j < stages; j++) {
            sum += with->weights[j]*k[j*states + i];
            other += with->common.errors[j]*k[j*states + i];
        }
        after[i] = u[i] + sum;
        error[i] = other;
    }
}

/* Returns the norm of the estimated error at a time within the implicit step of length h that has the stages k. Where
   equations are stiff, its interpolant may be far from a solution that the step meets at its end. The estimate is the
   solution of (1/(gamma*h) - J) error = f(at, v) - dv/dt, with the interpolant v: a step of Newton's method where J is
   large, and gamma*h times the defect where it is small. There is room for the states in v and in error. */
INLINE double norm_within(const equations *own, const linear_parts *local, const rosenbrock_method *with, double now,
    double at, double h, const real *u, const real *after, const real *k, const real *a, const size_t *pivots,
    const real *given, const real *fixed, real *v, real *error)
{
    const size_t states = own->states, stages = with->common.stages, degree = with->common.degree;
    const real x = (real) ((at - now)/h), part = (real) (1/h);
    real weights[MOST_STAGES], slopes[MOST_STAGES];
    for (size_t j = 0; j < stages; j++) {
        const real *const terms = with->common.interpolant[j];
        real value = terms[degree - 1], slope = (real) degree*terms[degree - 1];
        for (size_t d = degree - 1; d-- > 0;) {
            value = value*x + terms[d];
            slope = slope*x + (real) (d + 1)*terms[d];
        }
        weights[j] = value*x;
        slopes[j] = slope;
    }
    for (size_t i = 0; i < states; i++) {
        real sum = weights[0]*k[i];
        for (size_t j = 1; j < stages; j++)
            sum += weights[j]*k[j*states + i];
        v[i] = u[i] + sum;
    }
    own->rates((real) at, v, given, fixed, error);
    for (size_t i = 0; i < states; i++) {
        real sum = slopes[0]*k[i];
        for (size_t j = 1; j < stages; j++)
            sum += slopes[j]*k[j*states + i];
        error[i] -= sum*part;
    }
    solve_blocks(own, local, now, u, a, pivots, given, fixed, v, error);
    return norm_of(own, error, u, after);
}

/* Returns a bound of the absolute values of all eigenvalues of the Jacobian: the root of the norm of its square, with
   the smaller one of the largest sum of absolute values in a row and in a column. There is room for a matrix in square,
   and for a row in sums. */
INLINE double bound_of(size_t n, const real *restrict jacobian, real *restrict square, real *restrict sums)
{
    for (size_t i = 0; i < n*n; i++)
        square[i] = 0;
    for (size_t j = 0; j < n; j++)
        sums[j] = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            if (jacobian[i*n + k] != 0)
                for (size_t j = 0; j < n; j++)
                    square[i*n + j] += jacobian[i*n + k]*jacobian[k*n + j];
    double rows = 0, columns = 0;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++) {
            const double part = (double) absolute(square[i*n + j]);
            sum += part;
            sums[j] += (real) part;
        }
        rows = sum > rows || sum != sum ? sum : rows;
    }
    for (size_t j = 0; j < n; j++)
        columns = (double) sums[j] > columns || sums[j] != sums[j] ? (double) sums[j] : columns;
    return sqrt(rows < columns ? rows : columns);
}

/* Like solve, with a linearly implicit method; unless other is NULL, with this explicit one for all steps whose length
   times the bound of eigenvalues is at most 2, where it is stable, and those from a place where derivatives are not
   finite: there, an implicit step would not move, so that a method without another one fails. It has no more stages. An
   implicit step whose interpolant is not exact enough at a time is taken again, to end there. There is room for
   stages + 6 times the states and twice the elements of the Jacobian in work, and for a block of states in pivots. */
INLINE void solve_stiff(const equations *own, const linear_parts *local, const rosenbrock_method *with,
    const method *other, observations seen, const real *values, const real *given, real *fixed, real *work,
    size_t *pivots)
{
    const int stops = has_events(own);
    const size_t states = own->states, stages = with->common.stages, block = own->block;
    real *const u = work, *const after = work + states, *const error = work + 2*states;
    real *const rate = work + 3*states, *const drift = work + 4*states, *const k = work + 5*states;
    real *const within = k + stages*states, *const jacobian = within + states, *const a = jacobian + block*block;
    step_begin from = {start_of(own, &seen), 0, 0, 0};
    double bound = 0;
    size_t left = own->most;
    int moved = 1, finite = 1;
    if (!begin_path(own, from.now, values, given, fixed, u, after, &seen))
        left = 0;
    for (size_t i = 0; i < block*block; i++)
        jacobian[i] = 0;
    double aim = aim_of(own, &seen);
    if (seen.done < seen.times && left) {
        own->rates((real) from.now, u, given, fixed, rate);
        from.h = first_length(own, &with->common, from.now, u, rate, given, fixed, aim - from.now, k);
    }
    while (seen.done < seen.times) {
        double end = from.now + from.h, asked = 0;
        if (end >= aim) {
            asked = from.h;
            end = aim;
            from.h = end - from.now;
        }
        if (left == 0 || !(end > from.now))
            break;
        if (moved) {
            local->slopes((real) from.now, u, given, fixed, jacobian, drift);
            finite = all_finite(jacobian, block*block) && (!local->driven || all_finite(drift, states));
            bound = other && finite ? bound_of(block, jacobian, a, after) : 0;
        }
        if (!finite && !other)
            break;
        left--;
        moved = 0;
        const int explicit = other && from.h*bound <= 2;
        if (explicit) {
            copy_values(states, rate, k);
            take_step(own, other, from.now, from.h, u, given, fixed, after, error, k);
        } else
            take_implicit_step(own, local, with, from.now, from.h, u, rate, drift, jacobian, a, pivots, given, fixed,
                after, error, k);
        const double norm = norm_of(own, error, u, after);
        if (!(norm <= 1)) {
            from.h *= shorter(&with->common, norm);
            from.rejected = 1;
            continue;
        }
        for (; !stops && seen.done < seen.times; seen.done++) {
            const double at = (double) seen.time[seen.done*seen.next_time];
            if (!(at <= end))
                break;
            if (!explicit && at < end && !(norm_within(own, local, with, from.now, at, from.h, u, after, k, a, pivots,
                given, fixed, error, within) <= 1))
                break;
            observe(own, explicit ? other : &with->common, at == end ? 1 : (at - from.now)/from.h,
                explicit ? from.h : 1, u, after, k, seen.out + seen.done*seen.out_time, seen.out_state);
        }
        if (!stops && seen.done < seen.times && (double) seen.time[seen.done*seen.next_time] < end) {
            aim = (double) seen.time[seen.done*seen.next_time];
            from.rejected = 1;
            continue;
        }
        from = begin_of_next_step(&with->common, from, end, norm);
        moved = 1;
        copy_values(states, after, u);
        int jumped = 0;
        if (stops && asked > 0) {
            pass_times(own, from.now, values, given, fixed, u, after, &seen, &jumped);
            from.h = larger(from.h, asked);
        }
        aim = aim_of(own, &seen);
        if (explicit && !jumped && !(asked > 0 && own->at_times.driven))
            copy_values(states, k + (other->stages - 1)*states, rate);
        else if (seen.done < seen.times)
            own->rates((real) from.now, u, given, fixed, rate);
        if (jumped && seen.done < seen.times) {
            from.h = first_length(own, &with->common, from.now, u, rate, given, fixed, aim - from.now, k);
            from.before = 0;
        }
    }
    fail_path(own, &seen, left > 0);
}

/* Like solve_samples, with a linearly implicit method; there is room for both rows and what solve_stiff needs. */
INLINE void solve_stiff_samples(equations own, linear_parts local, const rosenbrock_method *with,
    const method *other, size_t count, size_t padded, size_t times, places time, places given, places fixed, real *out,
    size_t out_time, size_t out_state, size_t out_sample, real *work, size_t *pivots)
{
    real *const row = work, *const constants = work + own.given, *const rest = constants + own.fixed;
    for (size_t n = 0; n < count; n++) {
        row_of(n, given, own.given, row);
        row_of(n, fixed, own.fixed - own.at_times.count, constants);
        const observations seen = {times, 0, time.next, time.values + n*time.sample, out + n*out_sample, out_time,
            out_state};
        solve_stiff(&own, &local, with, other, seen, values_of_times(&own, n), row, constants, rest, pivots);
    }
    pad_samples(&own, count, padded, times, out, out_time, out_state, out_sample);
}

#endif
