/* The test whether a call has to stop.

   Needs vectors.h and the header of the model. Gives stopped. */

#ifndef NNCODEGEN_POLL_H
#define NNCODEGEN_POLL_H

#include "nncodegen/base/vectors.h"

/* Returns the time in seconds; in whole seconds before C11. */
INLINE double seconds(void)
{
#if __STDC_VERSION__ >= 201112L
    struct timespec clock;
    timespec_get(&clock, TIME_UTC);
    return (double) clock.tv_sec + 1e-9*(double) clock.tv_nsec;
#else
    return (double) time(NULL);
#endif
}

/* Returns whether the call has to end. It reads the clock once in a million operations, and calls poll->stop only
   after poll->interval, because that function may wait for a lock. */
static UNUSED int stopped(NN(poll) *poll, double operations)
{
    if (!poll)
        return 0;
    poll->spent += operations;
    if (poll->spent < 1e6)
        return 0;
    poll->spent = 0;
    if (!poll->stop)
        return 0;
    const double now = seconds();
    if (now - poll->asked < poll->interval && now >= poll->asked)
        return 0;
    poll->asked = now;
    GRADUAL_UNDERFLOW
    return poll->stop(poll->context);
}

#endif
