/* What happens at the times of a sample: states are observed and may jump, and an interval begins.

   Needs equations.h. Gives observations, has_events, values_of_times, enter_interval, pass_times, start_of, fail_path,
   begin_path and aim_of. */

#ifndef NNCODEGEN_TIMES_H
#define NNCODEGEN_TIMES_H

#include "nncodegen/solve/equations.h"

/* The observations of a path: its times, of which some are done, and where the states at each are written. */
typedef struct {
    size_t times, done, next_time;
    const real *time;
    real *out;
    size_t out_time, out_state;
} observations;

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

#endif
