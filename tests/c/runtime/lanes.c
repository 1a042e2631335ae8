/* Samples that are solved in lanes have their solutions wherever others end at once, and rates only read what has been
   written: the arrays have the value UNTOUCHED at first. So have samples whose
   states and rates jump at their times. */

#include "check.h"

#include "nncodegen/solve/solve.h"

enum { TIMES = 2, MOST_SAMPLES = LANES + 2 };

/* Of Bogacki and Shampine, 3(2); states are only observed at the ends of steps, which need no interpolant. */
static const method pairs = {4, 1, 3, {0, (real) 0.5, (real) 0.75, 1},
    {{0}, {(real) 0.5}, {0, (real) 0.75}, {(real) (2.0/9), (real) (1.0/3), (real) (4.0/9)}},
    {(real) (-5.0/72), (real) (1.0/12), (real) (1.0/9), (real) -0.125}, {{1}}};

/* u' = g*u; v' = g2, with another row */
INLINE void rates(size_t lanes, const real *times, const real *u, const real *given, const real *fixed, real *found)
{
    for (size_t lane = 0; lane < lanes; lane++) {
        CHECK(times[lane] >= 0 && times[lane] <= 1);
        CHECK(given[lane] != UNTOUCHED && fixed[lane] != UNTOUCHED);
        CHECK(u[lane] != UNTOUCHED && u[lanes + lane] != UNTOUCHED);
        found[lane] = given[lane]*u[lane];
        found[lanes + lane] = fixed[lane];
    }
}

static void rates_alone(real t, const real *u, const real *given, const real *fixed, real *found)
{
    rates(1, &t, u, given, fixed, found);
}

INLINE void starts(const real *given, const real *fixed, real *u)
{
    u[0] = 1;
    u[1] = given[0] + fixed[0];
}

INLINE void first_of_given(const real *given, const real *fixed, real *u)
{
    CHECK(fixed != given);
    u[0] = 1;
    u[1] = given[0];
}

/* Fills a part of the stack, so that variables that follow there are not 0 by chance. */
static HOT void spoil_stack(void)
{
    volatile double values[2000];
    for (size_t k = 0; k < 2000; k++)
        values[k] = (double) UNTOUCHED;
    CHECK(values[7] == (double) UNTOUCHED);
}

/* A count of samples, of which those whose bits are set in ``ended`` have no time after that of their start. */
static void solve_some(size_t count, size_t ended)
{
    begin_case("%zu samples, of which %zx end at once", count, ended);
    const equations own = {2, 0, 2, 1, 1, 1e-5, 1e-6, (double) NAN, 100000, rates_alone, starts, NO_EVENTS};
    const size_t room = (pairs.stages + 3)*2*LANES + 2*LANES + 4;
    real *const work = array(room), *const out = array(count*TIMES*2);
    real *const time = array(count*TIMES), *const given = array(count), *const fixed = array(count);
    for (size_t n = 0; n < count; n++) {
        time[n*TIMES] = 0;
        time[n*TIMES + 1] = ended >> n & 1 ? 0 : 1;
        given[n] = (real) n/8;
        fixed[n] = 1;
    }
    spoil_stack();
    solve_in_lanes(own, rates, &pairs, 1, count, count, TIMES, (places) {time, 1, TIMES}, (places) {given, 1, 1},
        (places) {fixed, 1, 1}, out, 2, 1, TIMES*2, work);
    for (size_t n = 0; n < count; n++) {
        const double end = (double) time[n*TIMES + 1], first = (double) given[n] + 1;
        CHECK(out[n*TIMES*2] == 1 && (double) out[n*TIMES*2 + 1] == first);
        CHECK(fabs((double) out[n*TIMES*2 + 2]/exp((double) given[n]*end) - 1) < 1e-3);
        CHECK(fabs((double) out[n*TIMES*2 + 3] - first - end) < 1e-3);
    }
    end_case();
}

/* v becomes 3*v + what the time has; u stays. */
INLINE void jump(real t, const real *u, const real *given, const real *fixed, real *after)
{
    CHECK(t >= 0 && t <= 1);
    CHECK(given[0] != UNTOUCHED && fixed[0] != UNTOUCHED && fixed[1] != UNTOUCHED);
    after[0] = u[0];
    after[1] = 3*u[1] + fixed[1];
}

/* The same samples, whose rate of v is that of an interval, and whose v jumps. */
static void solve_with_events(size_t count, size_t ended)
{
    begin_case("%zu samples with events, of which %zx end at once", count, ended);
    real *const time = array(count*TIMES), *const given = array(count), *const values = array(count*TIMES*2);
    for (size_t n = 0; n < count; n++) {
        time[n*TIMES] = 0;
        time[n*TIMES + 1] = ended >> n & 1 ? 0 : 1;
        given[n] = (real) n/8;
        for (size_t k = 0; k < TIMES; k++) {
            values[(n*TIMES + k)*2] = (real) (k + n); /* the rate of v on the way to the time k */
            values[(n*TIMES + k)*2 + 1] = (real) (5 + k); /* what v gets there */
        }
    }
    const equations own = {2, 0, 2, 1, 2, 1e-5, 1e-6, (double) NAN, 100000, rates_alone, first_of_given,
        {jump, 1, 2, values, 2, 1, 2*TIMES}};
    real *const work = array((pairs.stages + 3)*2*LANES + 3*LANES + 7), *const out = array(count*TIMES*2);
    spoil_stack();
    solve_in_lanes(own, rates, &pairs, 1, count, count, TIMES, (places) {time, 1, TIMES}, (places) {given, 1, 1},
        (places) {NULL, 0, 0}, out, 2, 1, TIMES*2, work);
    for (size_t n = 0; n < count; n++) {
        const double end = (double) time[n*TIMES + 1], first = (double) given[n];
        CHECK(out[n*TIMES*2] == 1 && (double) out[n*TIMES*2 + 1] == first);
        CHECK(fabs((double) out[n*TIMES*2 + 2]/exp((double) given[n]*end) - 1) < 1e-3);
        CHECK(fabs((double) out[n*TIMES*2 + 3] - (3*first + 5) - (double) (1 + n)*end) < 1e-3);
    }
    end_case();
}

int main(void)
{
    for (size_t count = 1; count <= MOST_SAMPLES; count++)
        for (size_t n = 0; n <= count; n++) {
            solve_some(count, (size_t) 1 << n); /* none of them, at the end */
            solve_some(count, ((size_t) 1 << n) - 1);
            solve_with_events(count, (size_t) 1 << n);
            solve_with_events(count, ((size_t) 1 << n) - 1);
        }
    return 0;
}
