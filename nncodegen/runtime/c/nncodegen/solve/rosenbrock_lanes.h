/* Solves stiff differential equations as rosenbrock.h does, several samples at once: each in a lane of vectors.

   Each lane has a step and a matrix of its own. The Jacobian is computed at the begin of each step in all lanes, also
   in those whose step before was rejected. Lanes may differ in the order of their pivots, and in the method of a step:
   both kinds of steps are made if lanes ask for both, and each keeps its own.

   Needs rosenbrock.h and solve_lanes.h. Gives slopes_of_lanes, bend_of_lanes, linear_lanes, solve_stiff_in_lanes. */

#ifndef NNCODEGEN_ROSENBROCK_LANES_H
#define NNCODEGEN_ROSENBROCK_LANES_H

#include "nncodegen/solve/rosenbrock.h"
#include "nncodegen/solve/solve_lanes.h"

/* The derivatives that implicit steps read, of the samples in all lanes: see slopes_function and bend_function. The
   value k of a lane is at [k*lanes + lane]. */
typedef void (*slopes_of_lanes)(size_t lanes, const real *times, const real *u, const real *given, const real *fixed,
    real *jacobian, real *drift);
typedef void (*bend_of_lanes)(size_t lanes, const real *times, const real *u, const real *given, const real *fixed,
    const real *direction, real *change);

typedef struct {
    slopes_of_lanes slopes;
    bend_of_lanes bend;
    int driven;
} linear_lanes;

/* What implicit steps have of all lanes: the Jacobian, the triangles of a matrix, the rows of its pivots, the rates'
   derivatives by the time, one more array of states; and an explicit step, which shares states and rows.

   now       the times at which steps begin
   bound     a bound of the absolute values of the eigenvalues of the Jacobian, 0 if it is not finite
   chosen    1 if the step is an explicit one
   before    the logarithm that paths have of the step before this one
   swapped   whether any lane has rows in another order */
typedef struct {
    real *jacobian, *matrix, *pivots, *drift, *within;
    lane_arrays explicit;
    real now[LANES] ALIGNED, bound[LANES] ALIGNED, chosen[LANES] ALIGNED, before[LANES] ALIGNED;
    int swapped;
} implicit_steps;

/* Exchanges the values of rows in each lane: that of the number row, of some values, and the one that pivots say. */
static HOT void swap_rows(size_t lanes, size_t count, size_t row, const real *pivots, real *values)
{
    for (size_t lane = 0; lane < lanes; lane++) {
        const size_t other = (size_t) pivots[lane];
        for (size_t j = 0; other != row && j < count; j++) {
            real *const one = values + (row*count + j)*lanes + lane, *const two = values + (other*count + j)*lanes + lane;
            const real value = *one;
            *one = *two;
            *two = value;
        }
    }
}

/* Writes shift - J as the product of two triangles in each lane: see factorize. Returns whether any row has moved. */
INLINE int factorize_lanes(size_t lanes, size_t n, const real *shift, const real *jacobian, real *a, real *pivots)
{
    int swapped = 0;
    for (size_t i = 0; i < n*n; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            a[i*lanes + lane] = (i%(n + 1) == 0 ? shift[lane] : 0) - jacobian[i*lanes + lane];
    }
    for (size_t k = 0; k < n; k++) {
        real *const row = a + k*n*lanes;
        real best[LANES] ALIGNED, largest[LANES] ALIGNED, last = (real) k;
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            best[lane] = (real) k;
            largest[lane] = absolute(row[k*lanes + lane]);
        }
        for (size_t i = k + 1; i < n; i++) {
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++) {
                const real size = absolute(a[(i*n + k)*lanes + lane]);
                best[lane] = size > largest[lane] ? (real) i : best[lane];
                largest[lane] = size > largest[lane] ? size : largest[lane];
            }
        }
        LARGEST_LOOP(last)
        for (size_t lane = 0; lane < lanes; lane++) {
            pivots[k*lanes + lane] = best[lane];
            last = last > best[lane] ? last : best[lane];
        }
        if (last > (real) k) {
            swap_rows(lanes, n, k, best, a);
            swapped = 1;
        }
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            row[k*lanes + lane] = 1/row[k*lanes + lane];
        for (size_t i = k + 1; i < n; i++) {
            real *const other = a + i*n*lanes;
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                other[k*lanes + lane] *= row[k*lanes + lane];
            for (size_t j = k + 1; j < n; j++) {
                LANES_LOOP
                for (size_t lane = 0; lane < lanes; lane++)
                    other[j*lanes + lane] = plus_product(other[j*lanes + lane], -other[k*lanes + lane],
                        row[j*lanes + lane]);
            }
        }
    }
    return swapped;
}

/* Replaces right-hand sides by the solutions of the linear equations in all lanes: see substitute. */
INLINE void substitute_lanes(size_t lanes, size_t n, const implicit_steps *own, real *b)
{
    const real *const a = own->matrix;
    for (size_t k = 0; own->swapped && k < n; k++)
        swap_rows(lanes, 1, k, own->pivots + k*lanes, b);
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                b[i*lanes + lane] = plus_product(b[i*lanes + lane], -a[(i*n + j)*lanes + lane], b[j*lanes + lane]);
        }
    for (size_t i = n; i-- > 0;) {
        for (size_t j = i + 1; j < n; j++) {
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                b[i*lanes + lane] = plus_product(b[i*lanes + lane], -a[(i*n + j)*lanes + lane], b[j*lanes + lane]);
        }
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            b[i*lanes + lane] *= a[(i*n + i)*lanes + lane];
    }
}

/* Replaces right-hand sides of all blocks by solutions in all lanes: see solve_blocks. */
INLINE void solve_blocks_in_lanes(size_t lanes, const equations *own, const linear_lanes *local,
    const implicit_steps *steps, const lane_arrays *a, real *change, real *b)
{
    const size_t states = own->states, block = own->block;
    substitute_lanes(lanes, block, steps, b);
    if (states == block)
        return;
    local->bend(lanes, steps->now, a->u, a->given, a->fixed, b, change);
    for (size_t i = block; i < states; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            b[i*lanes + lane] += change[(i - block)*lanes + lane];
    }
    for (size_t i = block; i < states; i += block)
        substitute_lanes(lanes, block, steps, b + i*lanes);
}

/* Writes two weighted sums of some stages; u is added to the first one. */
INLINE void add_two_sums(size_t lanes, size_t states, size_t stages, const real *first, const real *second,
    const real *u, const real *k, real *one, real *two)
{
    for (size_t i = 0; i < states; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            real sum = first[0]*k[i*lanes + lane], other = second[0]*k[i*lanes + lane];
            FEW_ROUNDS
            for (size_t j = 1; j < stages; j++) {
                sum = plus_product(sum, first[j], k[(j*states + i)*lanes + lane]);
                other = plus_product(other, second[j], k[(j*states + i)*lanes + lane]);
            }
            one[i*lanes + lane] = u[i*lanes + lane] + sum;
            two[i*lanes + lane] = other;
        }
    }
}

/* Writes these sums for any number of stages, which is a constant up to 8. */
INLINE void combine_stages(size_t lanes, size_t states, size_t stages, const real *first, const real *second,
    const real *u, const real *k, real *one, real *two)
{
#define SUMS_OF(number) add_two_sums(lanes, states, number, first, second, u, k, one, two)
#define CASE(number) case number: SUMS_OF(number); break;
    switch (stages) {
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
    default:
        SUMS_OF(stages);
    }
#undef CASE
#undef SUMS_OF
}

/* Writes a bound of the absolute values of the eigenvalues in each lane: see bound_of. There is room for a row in
   sums. */
INLINE void bounds_of(size_t lanes, size_t n, const real *jacobian, real *sums, real *bounds)
{
    real rows[LANES] ALIGNED = {0}, columns[LANES] ALIGNED = {0};
    memset(sums, 0, n*lanes*sizeof(real));
    for (size_t i = 0; i < n; i++) {
        real sum[LANES] ALIGNED = {0};
        for (size_t j = 0; j < n; j++) {
            real value[LANES] ALIGNED = {0};
            for (size_t k = 0; k < n; k++) {
                LANES_LOOP
                for (size_t lane = 0; lane < lanes; lane++)
                    value[lane] = plus_product(value[lane], jacobian[(i*n + k)*lanes + lane],
                        jacobian[(k*n + j)*lanes + lane]);
            }
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++) {
                sum[lane] += absolute(value[lane]);
                sums[j*lanes + lane] += absolute(value[lane]);
            }
        }
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            rows[lane] = sum[lane] > rows[lane] || sum[lane] != sum[lane] ? sum[lane] : rows[lane];
    }
    for (size_t j = 0; j < n; j++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            const real sum = sums[j*lanes + lane];
            columns[lane] = sum > columns[lane] || sum != sum ? sum : columns[lane];
        }
    }
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++)
        bounds[lane] = root(rows[lane] < columns[lane] ? rows[lane] : columns[lane]);
}

/* Computes the rates and their derivatives where the steps begin. Where these are not finite, no implicit step leads on:
   the lane makes no step, or an explicit one. */
INLINE void derive_lanes(size_t lanes, const equations *own, rates_of_lanes rates, const linear_lanes *local,
    int explicit, const lane_arrays *a, implicit_steps *steps, paths *p)
{
    const size_t block = own->block;
    real none[LANES] ALIGNED = {0}; /* 0 for a lane whose derivatives are finite, otherwise NaN */
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++)
        steps->now[lane] = (real) p->now[lane];
    rates(lanes, steps->now, a->u, a->given, a->fixed, a->k);
    local->slopes(lanes, steps->now, a->u, a->given, a->fixed, steps->jacobian, steps->drift);
    for (size_t i = 0; i < block*block; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            none[lane] += 0*steps->jacobian[i*lanes + lane];
    }
    for (size_t i = 0; local->driven && i < own->states; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            none[lane] += 0*steps->drift[i*lanes + lane];
    }
    if (explicit)
        bounds_of(lanes, block, steps->jacobian, a->after, steps->bound);
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++) {
        steps->bound[lane] = explicit && none[lane] == 0 ? steps->bound[lane] : 0;
        p->proposed_length[lane] = explicit || none[lane] == 0 ? p->proposed_length[lane] : 0;
    }
}

/* Makes an implicit step in each lane from its rates, which are those of the first stage: writes its stages, the states
   after it, and its error. */
INLINE void step_implicitly(size_t lanes, const equations *own, rates_of_lanes rates, const linear_lanes *local,
    const rosenbrock_method *with, const lane_arrays *a, implicit_steps *steps, const paths *p)
{
    const size_t states = own->states, stages = with->common.stages;
    real h[LANES] ALIGNED, part[LANES] ALIGNED, shift[LANES] ALIGNED, at[LANES] ALIGNED;
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++) {
        h[lane] = (real) p->h[lane];
        part[lane] = (real) (1/p->h[lane]);
        shift[lane] = (real) (1/((double) with->gamma*p->h[lane]));
    }
    steps->swapped = factorize_lanes(lanes, own->block, shift, steps->jacobian, steps->matrix, steps->pivots);
    for (size_t s = 0; s < stages; s++) {
        real *const stage = a->k + s*states*lanes;
        if (s > 0) {
            combine_stages(lanes, states, s, with->common.rows[s], with->couplings[s], a->u, a->k, a->after,
                steps->within);
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                at[lane] = (real) (p->now[lane] + (double) with->common.times[s]*p->h[lane]);
            rates(lanes, at, a->after, a->given, a->fixed, stage);
            for (size_t i = 0; i < states; i++) {
                LANES_LOOP
                for (size_t lane = 0; lane < lanes; lane++)
                    stage[i*lanes + lane] = plus_product(stage[i*lanes + lane], part[lane],
                        steps->within[i*lanes + lane]);
            }
        }
        for (size_t i = 0; local->driven && i < states; i++) {
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                stage[i*lanes + lane] = plus_product(stage[i*lanes + lane], with->drifts[s]*h[lane],
                    steps->drift[i*lanes + lane]);
        }
        solve_blocks_in_lanes(lanes, own, local, steps, a, a->after, stage);
    }
    combine_stages(lanes, states, stages, with->weights, with->common.errors, a->u, a->k, a->after, a->error);
}

/* Makes a step in each lane, an explicit one of the method other, unless it is NULL, where the bound of eigenvalues
   allows that, and measures its error. The stages that an explicit step does not have are 0. */
INLINE void step_stiff_lanes(size_t lanes, const equations *own, rates_of_lanes rates, const linear_lanes *local,
    const rosenbrock_method *with, const method *other, const lane_arrays *a, implicit_steps *steps, paths *p)
{
    const size_t size = own->states, stages = with->common.stages;
    double some = 0, others = 0;
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++)
        steps->chosen[lane] = other && p->h[lane]*(double) steps->bound[lane] <= 2 ? 1 : 0;
    if (other) {
        LARGEST_LOOP(some)
        for (size_t lane = 0; lane < lanes; lane++)
            some = larger(some, p->live[lane]*(double) steps->chosen[lane]);
        LARGEST_LOOP(others)
        for (size_t lane = 0; lane < lanes; lane++)
            others = larger(others, p->live[lane]*(double) (1 - steps->chosen[lane]));
    }
    if (other && some > 0)
        memcpy(steps->explicit.k, a->k, size*lanes*sizeof(real));
    if (!other || others > 0)
        step_implicitly(lanes, own, rates, local, with, a, steps, p);
    if (other && some > 0) {
        const lane_arrays *const e = &steps->explicit;
        step_lanes(lanes, own, rates, other, e, p);
        keep_chosen(lanes, size, steps->chosen, e->after, a->after);
        keep_chosen(lanes, size, steps->chosen, e->error, a->error);
        keep_chosen(lanes, other->stages*size, steps->chosen, e->k, a->k);
        for (size_t i = other->stages*size; i < stages*size; i++) {
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                a->k[i*lanes + lane] = steps->chosen[lane] > 0 ? 0 : a->k[i*lanes + lane];
        }
    }
    norms_of(lanes, own, a->error, a->u, a->after, p->norm);
}

/* Estimates the error at the upcoming time of each lane that is due within an implicit step, as norm_within does. A lane
   where it is too large is not due: its step is taken again, to end there. */
INLINE void look_within(size_t lanes, const equations *own, rates_of_lanes rates, const linear_lanes *local,
    const rosenbrock_method *with, const real *x, real weights[][LANES], const lane_arrays *a, implicit_steps *steps,
    double *due, paths *p)
{
    const size_t states = own->states, stages = with->common.stages, degree = with->common.degree;
    real at[LANES] ALIGNED, part[LANES] ALIGNED, norm[LANES] ALIGNED, slopes[MOST_STAGES][LANES] ALIGNED;
    double inside[LANES] ALIGNED, any = 0;
    LARGEST_LOOP(any)
    for (size_t lane = 0; lane < lanes; lane++) {
        inside[lane] = p->upcoming[lane] < p->end[lane] ? due[lane]*(double) (1 - steps->chosen[lane]) : 0;
        any = larger(any, inside[lane]);
    }
    if (any == 0)
        return;
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++) {
        at[lane] = (real) (inside[lane] > 0 ? p->upcoming[lane] : p->now[lane]);
        part[lane] = (real) (1/p->h[lane]);
    }
    for (size_t j = 0; j < stages; j++) {
        const real *const terms = with->common.interpolant[j];
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            real slope = (real) degree*terms[degree - 1];
            FEW_ROUNDS
            for (size_t d = degree - 1; d-- > 0;)
                slope = slope*x[lane] + (real) (d + 1)*terms[d];
            slopes[j][lane] = slope;
        }
    }
    for (size_t i = 0; i < states; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            real sum = weights[0][lane]*a->k[i*lanes + lane];
            FEW_ROUNDS
            for (size_t j = 1; j < stages; j++)
                sum = plus_product(sum, weights[j][lane], a->k[(j*states + i)*lanes + lane]);
            a->error[i*lanes + lane] = a->u[i*lanes + lane] + (inside[lane] > 0 ? sum : 0);
        }
    }
    rates(lanes, at, a->error, a->given, a->fixed, steps->within);
    for (size_t i = 0; i < states; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            real sum = slopes[0][lane]*a->k[i*lanes + lane];
            FEW_ROUNDS
            for (size_t j = 1; j < stages; j++)
                sum = plus_product(sum, slopes[j][lane], a->k[(j*states + i)*lanes + lane]);
            steps->within[i*lanes + lane] = plus_product(steps->within[i*lanes + lane], -part[lane], sum);
        }
    }
    solve_blocks_in_lanes(lanes, own, local, steps, a, a->error, steps->within);
    norms_of(lanes, own, steps->within, a->u, a->after, norm);
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++) {
        const int again = inside[lane] > 0 && !(norm[lane] <= 1);
        due[lane] = again ? 0 : due[lane];
        p->good[lane] = again ? 0 : p->good[lane];
        p->last[lane] = again ? p->upcoming[lane] : p->last[lane];
        p->proposed_length[lane] = again ? p->h[lane] : p->proposed_length[lane];
        p->max_growth[lane] = again ? 1 : p->max_growth[lane];
        p->before[lane] = again ? steps->before[lane] : p->before[lane];
    }
}

/* Writes the states at the upcoming time of each lane, if that lies within an accepted step. Returns whether it does in
   any lane. */
INLINE int observe_stiff_lanes(size_t lanes, const equations *own, rates_of_lanes rates, const linear_lanes *local,
    const rosenbrock_method *with, const method *other, const path_samples *all, const lane_arrays *a,
    implicit_steps *steps, paths *p)
{
    const size_t stages = with->common.stages;
    double due[LANES] ALIGNED;
    real x[LANES] ALIGNED, h[LANES] ALIGNED, weights[MOST_STAGES][LANES] ALIGNED;
    if (!is_due(lanes, p))
        return 0;
    find_due(lanes, p, due, x);
    weights_in_lanes(lanes, stages, with->common.degree, &with->common, x, weights);
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++)
        h[lane] = steps->chosen[lane] > 0 ? (real) p->h[lane] : 1;
    look_within(lanes, own, rates, local, with, x, weights, a, steps, due, p);
    if (other) {
        real explicit[MOST_STAGES][LANES] ALIGNED;
        weights_in_lanes(lanes, other->stages, other->degree, other, x, explicit);
        keep_chosen(lanes, 1, steps->chosen, explicit[0], weights[0]);
        for (size_t j = 1; j < other->stages; j++)
            keep_chosen(lanes, 1, steps->chosen, explicit[j], weights[j]);
    }
    write_due(lanes, own, stages, all, due, x, h, weights, a, p);
    return 1;
}

/* Solves equations for the samples of a batch. There is room in work for the arrays of implicit steps, and for those of
   all lanes. */
INLINE void solve_stiff_paths(size_t lanes, const equations *own, rates_of_lanes rates, const linear_lanes *local,
    const rosenbrock_method *with, const method *other, int stops, const path_samples *all, real *work)
{
    const size_t size = own->states*lanes, elements = own->block*own->block*lanes;
    real *const drift = work + 2*elements + own->block*lanes, *const taken = drift + 2*size;
    real *const rest = taken + (other ? (other->stages + 2)*size : 0);
    const lane_arrays a = arrays_of(lanes, own, with->common.stages, rest), shown = a; /* see solve_paths */
    const equations copy = *own;
    implicit_steps steps;
    paths p;
    steps.jacobian = work;
    steps.matrix = work + elements;
    steps.pivots = work + 2*elements;
    steps.drift = drift;
    steps.within = drift + size;
    steps.explicit = a;
    steps.explicit.after = taken;
    steps.explicit.error = taken + size;
    steps.explicit.k = taken + 2*size;
    memset(steps.jacobian, 0, elements*sizeof(real));
    begin_paths(&p);
    while (refill_lanes(lanes, &copy, &with->common, stops, all, &shown, &p))
        for (int ended = 0; !ended;) {
            derive_lanes(lanes, own, rates, local, other != NULL, &a, &steps, &p);
            if (!limit_steps(lanes, &p)) {
                fail_lanes(lanes, &copy, all, &p);
                break;
            }
            step_stiff_lanes(lanes, own, rates, local, with, other, &a, &steps, &p);
            memcpy(steps.before, p.before, sizeof p.before);
            judge_paths(lanes, &with->common, stops, &p);
            if (stops)
                ended = pass_lanes(lanes, &copy, all, &shown, &p);
            else
                while (observe_stiff_lanes(lanes, own, rates, local, with, other, all, &a, &steps, &p))
                    ended = 1;
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                p.last[lane] = p.good[lane] > 0 ? p.final[lane] : p.last[lane];
            take_paths(lanes, own, &a, &p);
        }
}

/* Like solve_in_lanes, with a linearly implicit method, and for some steps with an explicit one, unless it is NULL. */
INLINE void solve_stiff_in_lanes(equations own, rates_of_lanes rates, linear_lanes local,
    const rosenbrock_method *with, const method *other, int narrow, size_t count, size_t padded, size_t times,
    places time, places given, places fixed, real *out, size_t out_time, size_t out_state, size_t out_sample,
    real *work)
{
    const path_samples all = {count, times, time, given, fixed, out, out_time, out_state, out_sample};
    const int stops = has_events(&own);
    if (narrow && count == 1)
        solve_stiff_paths(NARROW, &own, rates, &local, with, other, stops, &all, work);
    else
        solve_stiff_paths(LANES, &own, rates, &local, with, other, stops, &all, work);
    pad_samples(&own, count, padded, times, out, out_time, out_state, out_sample);
}

#endif
