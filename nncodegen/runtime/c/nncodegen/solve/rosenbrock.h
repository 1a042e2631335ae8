/* Linearly implicit steps, for stiff differential equations, in the loop of solve.h.

   Each lane has a step and a matrix of its own. Lanes may differ in the order of their pivots, and in the method of a
   step: both kinds of steps are made if lanes ask for both, and each keeps its own. In one lane, vectors run along the
   rows of matrices.

   Needs solve.h. Gives the types rosenbrock_method, slopes_function, bend_function, linear_parts and their like for
   lanes, and solve_stiff, solve_stiff_samples and solve_stiff_in_lanes. */

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

/* The same for the samples in all lanes: the value k of a lane is at [k*lanes + lane]. */
typedef void (*slopes_of_lanes)(size_t lanes, const real *times, const real *u, const real *given, const real *fixed,
    real *jacobian, real *drift);
typedef void (*bend_of_lanes)(size_t lanes, const real *times, const real *u, const real *given, const real *fixed,
    const real *direction, real *change);

typedef struct {
    slopes_of_lanes slopes;
    bend_of_lanes bend;
    int driven;
} linear_lanes;

/* What implicit steps have of all lanes: the Jacobian, the triangles of a matrix, the rows of its pivots, the rates
   where a step begins, their derivatives by the time, one more array of states; and an explicit step, which shares
   states and rows.

   now       the times at which steps begin
   bound     a bound of the absolute values of the eigenvalues of the Jacobian, 0 if it is not finite
   chosen    1 if the step is an explicit one
   before    what paths have before this step is judged
   swapped   whether any lane has rows in another order
   moved     of one lane: whether its derivatives are those of another place
   rated     of one lane: whether the rates are known there */
typedef struct {
    real *jacobian, *matrix, *pivots, *rate, *drift, *within;
    lane_arrays explicit;
    real now[LANES] ALIGNED, bound[LANES] ALIGNED, chosen[LANES] ALIGNED;
    double before[LANES] ALIGNED;
    int swapped, moved, rated;
} implicit_steps;

/* What implicit steps know: the derivatives, of one lane alone or of several; the method, and an explicit one that
   makes some of the steps, unless it is NULL. */
typedef struct {
    const linear_parts *alone;
    const linear_lanes *together;
    int driven;
    const rosenbrock_method *with;
    const method *other;
    implicit_steps *steps;
} implicit_solver;

/* The linear equations of one lane, along the rows of its matrix. Written as those of several lanes with a loop over
   one of them, these loops become no vectors: 20 reactions took 1.04 times as long, with a method that chooses 1.3
   times. */

/* Writes shift - J as the product of two triangles, with the rows in the order of the largest pivots. The
   diagonal holds the reciprocals of pivots. */
INLINE void factorize(size_t n, const real *restrict jacobian, real shift, real *restrict a, real *restrict pivots)
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
        pivots[k] = (real) best;
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
INLINE void substitute(size_t n, const real *restrict a, const real *restrict pivots, real *restrict b)
{
    for (size_t k = 0; k < n; k++) {
        const real value = b[k];
        const size_t other = (size_t) pivots[k];
        b[k] = b[other];
        b[other] = value;
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

/* The same in several lanes. */

/* Exchanges the values of rows in each lane: that of the number row, of some values, and the one that pivots say. */
static HOT void swap_rows(OF_LANES size_t count, size_t row, const real *pivots, real *values)
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

/* Writes shift - J as the product of two triangles in each lane, with the rows in the order of the largest pivots. The
   diagonal holds the reciprocals of pivots. Returns whether any row has moved. */
INLINE int factorize_lanes(OF_LANES size_t n, const real *shift, const real *jacobian, real *a, real *pivots)
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
            swap_rows(IN(lanes) n, k, best, a);
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
                    other[j*lanes + lane] = added(lanes, other[j*lanes + lane], -other[k*lanes + lane],
                        row[j*lanes + lane]);
            }
        }
    }
    return swapped;
}

/* Replaces right-hand sides by the solutions of the linear equations that factorize_lanes has prepared. */
INLINE void substitute_lanes(OF_LANES size_t n, const implicit_steps *own, real *b)
{
    const real *const a = own->matrix;
    for (size_t k = 0; own->swapped && k < n; k++)
        swap_rows(IN(lanes) 1, k, own->pivots + k*lanes, b);
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                b[i*lanes + lane] = added(lanes, b[i*lanes + lane], -a[(i*n + j)*lanes + lane], b[j*lanes + lane]);
        }
    for (size_t i = n; i-- > 0;) {
        for (size_t j = i + 1; j < n; j++) {
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                b[i*lanes + lane] = added(lanes, b[i*lanes + lane], -a[(i*n + j)*lanes + lane], b[j*lanes + lane]);
        }
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            b[i*lanes + lane] *= a[(i*n + i)*lanes + lane];
    }
}

/* Replaces right-hand sides of one block by the solutions of the linear equations of a step. */
INLINE void solve_block(OF_LANES size_t n, const implicit_steps *steps, real *b)
{
    if (lanes == 1)
        substitute(n, steps->matrix, steps->pivots, b);
    else
        substitute_lanes(IN(lanes) n, steps, b);
}

/* Replaces right-hand sides of all blocks by the solution of the linear equations of a step. There is room for the
   states of all blocks but the first in change. */
INLINE void solve_blocks(OF_LANES const equations *own, const implicit_solver *l, const lane_arrays *a,
    real *change, real *b)
{
    const implicit_steps *const steps = l->steps;
    const size_t states = own->states, block = own->block;
    solve_block(IN(lanes) block, steps, b);
    if (states == block)
        return;
    if (lanes == 1)
        l->alone->bend(steps->now[0], a->u, a->given, a->fixed, b, change);
    else
        l->together->bend(lanes, steps->now, a->u, a->given, a->fixed, b, change);
    for (size_t i = block; i < states; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            b[i*lanes + lane] += change[(i - block)*lanes + lane];
    }
    for (size_t i = block; i < states; i += block)
        solve_block(IN(lanes) block, steps, b + i*lanes);
}

/* Writes two weighted sums of some stages; u is added to the first one. */
INLINE void add_two_sums(OF_LANES size_t states, size_t stages, const real *first, const real *second,
    const real *u, const real *k, real *one, real *two)
{
    for (size_t i = 0; i < states; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            real sum = first[0]*k[i*lanes + lane], other = second[0]*k[i*lanes + lane];
            FEW_ROUNDS
            for (size_t j = 1; j < stages; j++) {
                sum = added(lanes, sum, first[j], k[(j*states + i)*lanes + lane]);
                other = added(lanes, other, second[j], k[(j*states + i)*lanes + lane]);
            }
            one[i*lanes + lane] = u[i*lanes + lane] + sum;
            two[i*lanes + lane] = other;
        }
    }
}

/* The same for any number of stages, which is a constant up to 8. */
INLINE void add_any_two_sums(OF_LANES size_t states, size_t stages, const real *first, const real *second,
    const real *u, const real *k, real *one, real *two)
{
#define CASE(number) \
    case number: \
        add_two_sums(IN(lanes) states, number, first, second, u, k, one, two); \
        break;
    switch (stages) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
    default:
        add_two_sums(IN(lanes) states, stages, first, second, u, k, one, two);
    }
#undef CASE
}

/* Writes these sums. */
INLINE void combine_stages(OF_LANES size_t states, size_t stages, const real *first, const real *second,
    const real *u, const real *k, real *one, real *two)
{
    if (lanes == 1)
        add_two_sums(IN(lanes) states, stages, first, second, u, k, one, two);
    else
        add_any_two_sums(IN(lanes) states, stages, first, second, u, k, one, two);
}

/* Writes a bound of the absolute values of the eigenvalues in each lane: see bound_of. There is room for a row in
   sums. */
INLINE void bounds_of(OF_LANES size_t n, const real *jacobian, real *sums, real *bounds)
{
    real rows[LANES] ALIGNED = {0}, columns[LANES] ALIGNED = {0};
    for (size_t i = 0; i < n*lanes; i++)
        sums[i] = 0;
    for (size_t i = 0; i < n; i++) {
        real sum[LANES] ALIGNED = {0};
        for (size_t j = 0; j < n; j++) {
            real value[LANES] ALIGNED = {0};
            for (size_t k = 0; k < n; k++) {
                LANES_LOOP
                for (size_t lane = 0; lane < lanes; lane++)
                    value[lane] = added(lanes, value[lane], jacobian[(i*n + k)*lanes + lane],
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

/* Computes the rates and their derivatives where the steps begin. Where these are not finite, no implicit step leads
   on: the lane makes no step, or an explicit one. Returns whether all lanes can make one. In one lane, nothing has
   changed after a step that was rejected; among several, hardly ever all of them have been. */
INLINE int derive_lanes(OF_LANES const equations *own, OF_RATES const lane_arrays *a,
    const implicit_solver *l, paths *p)
{
    implicit_steps *const steps = l->steps;
    const size_t block = own->block;
    const int explicit = l->other != NULL;
    real none[LANES] ALIGNED = {0}; /* 0 for a lane whose derivatives are finite, otherwise NaN */
    double stuck = 0;
    const int begins = p->left[0] >= (double) own->most; /* of one lane: a sample */
    if (lanes == 1 && !steps->moved && !begins)
        return 1;
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++)
        steps->now[lane] = (real) p->now[lane];
    if (lanes > 1 || begins || !steps->rated)
        rates_at(IN(lanes) own, BY(rates) steps->now, a->u, a, steps->rate);
    if (lanes == 1)
        l->alone->slopes(steps->now[0], a->u, a->given, a->fixed, steps->jacobian, steps->drift);
    else
        l->together->slopes(lanes, steps->now, a->u, a->given, a->fixed, steps->jacobian, steps->drift);
    for (size_t i = 0; i < block*block; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            none[lane] += 0*steps->jacobian[i*lanes + lane];
    }
    for (size_t i = 0; l->driven && i < own->states; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            none[lane] += 0*steps->drift[i*lanes + lane];
    }
    if (explicit) {
        if (lanes == 1)
            steps->bound[0] = (real) bound_of(block, steps->jacobian, steps->matrix, a->after);
        else
            bounds_of(IN(lanes) block, steps->jacobian, a->after, steps->bound);
    }
    LARGEST_LOOP(stuck)
    for (size_t lane = 0; lane < lanes; lane++) {
        const int able = explicit || none[lane] == 0;
        steps->bound[lane] = explicit && none[lane] == 0 ? steps->bound[lane] : 0;
        p->end[lane] = able ? p->end[lane] : p->now[lane];
        stuck = larger(stuck, able ? 0 : p->live[lane]);
    }
    return stuck == 0;
}

/* Makes an implicit step in each lane from its rates, which are those of the first stage: writes its stages, the states
   after it, and its error. */
INLINE void step_implicitly(OF_LANES const equations *own, OF_RATES const lane_arrays *a,
    const implicit_solver *l, const paths *p)
{
    implicit_steps *const steps = l->steps;
    const rosenbrock_method *const with = l->with;
    const size_t states = own->states, stages = with->common.stages;
    real h[LANES] ALIGNED, part[LANES] ALIGNED, shift[LANES] ALIGNED, at[LANES] ALIGNED;
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++) {
        h[lane] = (real) p->h[lane];
        part[lane] = (real) (1/p->h[lane]);
        shift[lane] = (real) (1/((double) with->gamma*p->h[lane]));
    }
    if (lanes == 1)
        factorize(own->block, steps->jacobian, shift[0], steps->matrix, steps->pivots);
    else
        steps->swapped = factorize_lanes(IN(lanes) own->block, shift, steps->jacobian, steps->matrix, steps->pivots);
    for (size_t s = 0; s < stages; s++) {
        real *const stage = a->k + s*states*lanes;
        if (s > 0) {
            combine_stages(IN(lanes) states, s, with->common.rows[s], with->couplings[s], a->u, a->k, a->after,
                steps->within);
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                at[lane] = (real) (p->now[lane] + (double) with->common.times[s]*p->h[lane]);
            rates_at(IN(lanes) own, BY(rates) at, a->after, a, stage);
            for (size_t i = 0; i < states; i++) {
                LANES_LOOP
                for (size_t lane = 0; lane < lanes; lane++)
                    stage[i*lanes + lane] = added(lanes, stage[i*lanes + lane], part[lane],
                        steps->within[i*lanes + lane]);
            }
        }
        for (size_t i = 0; l->driven && i < states; i++) {
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                stage[i*lanes + lane] = added(lanes, stage[i*lanes + lane], with->drifts[s]*h[lane],
                    steps->drift[i*lanes + lane]);
        }
        solve_blocks(IN(lanes) own, l, a, a->after, stage);
    }
    combine_stages(IN(lanes) states, stages, with->weights, with->common.errors, a->u, a->k, a->after, a->error);
}

/* Tries a step in each lane, an explicit one where the bound of eigenvalues allows that: where the length times it is
   at most STEP_REACH, explicit steps are stable. The stages that an explicit step does not have are 0. */
IN_LOOP int step_linearly(OF_LANES const solver *s, paths *p)
{
    const implicit_solver *const l = s->besides;
    implicit_steps *const steps = l->steps;
    const lane_arrays *const a = s->a, *const e = &steps->explicit;
    const method *const other = l->other;
    const size_t size = s->own->states, stages = l->with->common.stages;
    double some = 0, others = 0;
    if (!derive_lanes(IN(lanes) s->own, BY(s->rates) a, l, p))
        return 0;
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++) {
        steps->chosen[lane] = other && p->h[lane]*(double) steps->bound[lane] <= STEP_REACH ? 1 : 0;
        steps->before[lane] = p->before[lane];
    }
    if (other) {
        LARGEST_LOOP(some)
        for (size_t lane = 0; lane < lanes; lane++)
            some = larger(some, p->live[lane]*(double) steps->chosen[lane]);
        LARGEST_LOOP(others)
        for (size_t lane = 0; lane < lanes; lane++)
            others = larger(others, p->live[lane]*(double) (1 - steps->chosen[lane]));
    }
    if (lanes == 1)
        copy_values(size, steps->rate, a->k);
    else if (other && some > 0)
        copy_values(size*lanes, a->k, e->k);
    if (!other || others > 0)
        step_implicitly(IN(lanes) s->own, BY(s->rates) a, l, p);
    if (other && some > 0) {
        step_lanes(IN(lanes) s->own, BY(s->rates) other, e, p);
        if (lanes > 1) {
            keep_chosen(IN(lanes) size, steps->chosen, e->after, a->after);
            keep_chosen(IN(lanes) size, steps->chosen, e->error, a->error);
            keep_chosen(IN(lanes) other->stages*size, steps->chosen, e->k, a->k);
        }
        for (size_t i = other->stages*size; i < stages*size; i++) {
            LANES_LOOP
            for (size_t lane = 0; lane < lanes; lane++)
                a->k[i*lanes + lane] = steps->chosen[lane] > 0 ? 0 : a->k[i*lanes + lane];
        }
    }
    steps->moved = steps->rated = 0;
    return 1;
}

/* Estimates the error at the upcoming time of each lane that is due within an implicit step of length h that has the
   stages k. Where equations are stiff, its interpolant may be far from a solution that the step meets at its end. The
   estimate is the solution of (1/(gamma*h) - J) error = f(at, v) - dv/dt, with the interpolant v: a step of Newton's
   method where J is large, and gamma*h times the defect where it is small. A lane where it is too large is not due: its
   step is taken again, to end there. */
INLINE void look_within(OF_LANES const equations *own, OF_RATES const real *x, real weights[][LANES],
    const lane_arrays *a, const implicit_solver *l, double *due, paths *p)
{
    const implicit_steps *const steps = l->steps;
    const rosenbrock_method *const with = l->with;
    const size_t states = own->states, stages = with->common.stages, degree = with->common.degree;
    real at[LANES] ALIGNED, part[LANES] ALIGNED, slopes[MOST_STAGES][LANES] ALIGNED;
    double inside[LANES] ALIGNED, norm[LANES] ALIGNED, any = 0;
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
                sum = added(lanes, sum, weights[j][lane], a->k[(j*states + i)*lanes + lane]);
            a->error[i*lanes + lane] = a->u[i*lanes + lane] + (inside[lane] > 0 ? sum : 0);
        }
    }
    rates_at(IN(lanes) own, BY(rates) at, a->error, a, steps->within);
    for (size_t i = 0; i < states; i++) {
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++) {
            real sum = slopes[0][lane]*a->k[i*lanes + lane];
            FEW_ROUNDS
            for (size_t j = 1; j < stages; j++)
                sum = added(lanes, sum, slopes[j][lane], a->k[(j*states + i)*lanes + lane]);
            steps->within[i*lanes + lane] = added(lanes, steps->within[i*lanes + lane], -part[lane], sum);
        }
    }
    solve_blocks(IN(lanes) own, l, a, a->error, steps->within);
    norms_of(IN(lanes) own, steps->within, a->u, a->after, norm);
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

/* Writes the states at all times of each lane within an accepted step, those within an implicit one where its
   interpolant is exact enough. */
IN_LOOP int observe_linearly(OF_LANES const solver *s, paths *p)
{
    const implicit_solver *const l = s->besides;
    implicit_steps *const steps = l->steps;
    const method *const common = &l->with->common, *const other = l->other;
    double due[LANES] ALIGNED;
    real x[LANES] ALIGNED, h[LANES] ALIGNED, weights[MOST_STAGES][LANES] ALIGNED;
    do {
        find_due(IN(lanes) p, due, x);
        weights_in_lanes(IN(lanes) common->stages, common->degree, common, x, weights);
        LANES_LOOP
        for (size_t lane = 0; lane < lanes; lane++)
            h[lane] = steps->chosen[lane] > 0 ? (real) p->h[lane] : 1;
        look_within(IN(lanes) s->own, BY(s->rates) x, weights, s->a, l, due, p);
        if (other) {
            real explicit[MOST_STAGES][LANES] ALIGNED;
            weights_in_lanes(IN(lanes) other->stages, other->degree, other, x, explicit);
            keep_chosen(IN(lanes) 1, steps->chosen, explicit[0], weights[0]);
            for (size_t j = 1; j < other->stages; j++)
                keep_chosen(IN(lanes) 1, steps->chosen, explicit[j], weights[j]);
        }
        write_due(IN(lanes) s->own, common->stages, s->all, due, x, h, weights, s->a, p);
    } while (is_due(IN(lanes) p));
    return 1;
}

/* A step that was cut short to be taken again does not limit the next one. In one lane, the rates at the end of an
   explicit step are those of its last stage, unless they are others since a time. */
IN_LOOP int take_linearly(OF_LANES const solver *s, paths *p)
{
    const implicit_solver *const l = s->besides;
    implicit_steps *const steps = l->steps;
    LANES_LOOP
    for (size_t lane = 0; lane < lanes; lane++)
        p->last[lane] = p->good[lane] > 0 ? p->final[lane] : p->last[lane];
    if (lanes == 1 && p->good[0] > 0) {
        steps->moved = 1;
        steps->rated = steps->chosen[0] > 0 && !p->needs_first_step[0];
        if (steps->rated)
            copy_values(s->own->states, s->a->k + (l->other->stages - 1)*s->own->states, steps->rate);
    }
    return 0;
}

#define IMPLICIT_STEPS step_linearly, observe_linearly, take_linearly

/* Gives implicit steps their parts of memory, and returns the rest. They take further values at the rates where a step
   begins. */
INLINE real *parts_of_steps(OF_LANES const equations *own, size_t further, real *work, implicit_steps *steps)
{
    const size_t size = own->states*lanes, elements = own->block*own->block*lanes;
    real *const drift = work + 2*elements + own->block*lanes, *const taken = drift + 2*size;
    steps->jacobian = work;
    steps->matrix = work + elements;
    steps->pivots = work + 2*elements;
    steps->drift = drift;
    steps->within = drift + size;
    steps->rate = taken;
    steps->moved = 1;
    steps->rated = steps->swapped = 0;
    for (size_t i = 0; i < elements; i++)
        steps->jacobian[i] = 0;
    return taken + further;
}

/* Solves equations for the samples of a batch. There is room in work for the arrays of implicit steps, and for those of
   all lanes. */
INLINE void solve_stiff_paths(OF_LANES const equations *own, OF_RATES const linear_lanes *local,
    const rosenbrock_method *with, const method *other, const path_samples *all, real *work)
{
    implicit_steps steps;
    const size_t size = own->states*lanes, further = other ? (other->stages + 2)*size : 0; /* for the explicit step */
    const lane_arrays a = arrays_of(IN(lanes) own, with->common.stages,
        parts_of_steps(IN(lanes) own, further, work, &steps));
    const implicit_solver l = {NULL, BY(local) local->driven, with, other, &steps};
    real *const taken = steps.rate;
    steps.rate = a.k;
    steps.explicit = a;
    steps.explicit.after = taken;
    steps.explicit.error = taken + size;
    steps.explicit.k = taken + 2*size;
    solve_paths(IN(lanes) own, BY(rates) &with->common, IMPLICIT_STEPS, &l, all, &a);
}

/* The same in one lane, whose rows lie elsewhere. The rates where a step begins have memory of their own, as those of
   its first stage are replaced. There is room in work for stages + 6 times the states, two matrices
   and the order of their rows. */
INLINE void solve_stiff_alone(const equations *own, const linear_parts *local, const rosenbrock_method *with,
    const method *other, const path_samples *all, real *given, real *fixed, real *work)
{
    implicit_steps steps;
    const lane_arrays a = arrays_alone(own, given, fixed, parts_of_steps(IN(1) own, own->states, work, &steps));
    const implicit_solver l = {local, BY(NULL) local->driven, with, other, &steps};
    steps.explicit = a;
    solve_paths(IN(1) own, BY(NULL) &with->common, IMPLICIT_STEPS, &l, all, &a);
}

/* Like solve, with a linearly implicit method, and for some steps with an explicit one, unless it is NULL, which has no
   more stages. Where derivatives are not finite, an implicit step would not move, so that a method without another one
   fails. */
INLINE void solve_stiff(const equations *own, const linear_parts *local, const rosenbrock_method *with,
    const method *other, observations seen, const real *given, real *fixed, real *work)
{
    const path_samples all = one_sample(&seen);
    solve_stiff_alone(own, local, with, other, &all, (real *) given, fixed, work);
}

/* Like solve_samples; there is room for both rows and what solve_stiff needs. */
INLINE void solve_stiff_samples(equations own, linear_parts local, const rosenbrock_method *with,
    const method *other, size_t count, size_t padded, size_t times, places time, places given, places fixed, real *out,
    size_t out_time, size_t out_state, size_t out_sample, real *work)
{
    const path_samples all = {count, times, time, given, fixed, out, out_time, out_state, out_sample};
    solve_stiff_alone(&own, &local, with, other, &all, work, work + own.given, work + own.given + own.fixed);
    pad_samples(&own, count, padded, times, out, out_time, out_state, out_sample);
}

/* Like solve_in_lanes. */
INLINE void solve_stiff_in_lanes(equations own, rates_of_lanes rates, linear_lanes local,
    const rosenbrock_method *with, const method *other, int narrow, size_t count, size_t padded, size_t times,
    places time, places given, places fixed, real *out, size_t out_time, size_t out_state, size_t out_sample,
    real *work)
{
    const path_samples all = {count, times, time, given, fixed, out, out_time, out_state, out_sample};
    if (narrow && count == 1)
        solve_stiff_paths(IN(NARROW) &own, BY(rates) &local, with, other, &all, work);
    else
        solve_stiff_paths(IN(LANES) &own, BY(rates) &local, with, other, &all, work);
    pad_samples(&own, count, padded, times, out, out_time, out_state, out_sample);
}

#endif
