/* What may be done to gradients and parameters besides an update, and what finds values that are not finite, for
   Python: all arrays have PARAMETERS values, unless a count is given. */

#include "sample.h"

#include "nncodegen/module/facts.h"
#include "nncodegen/train/regularize.h"

void penalize(const real *parameters, real *gradient, double l1, double l2)
{
    add_penalties(parameters, gradient, (real) l1, (real) l2);
}

void clip_each(real *gradient, double bound)
{
    clip_values(gradient, (real) bound);
}

void clip_all(real *gradient, double bound)
{
    clip_norm(gradient, bound);
}

double norm_of(const real *gradient)
{
    return gradient_norm(gradient);
}

size_t decay(const real *parameters, real *next, size_t first, size_t last, double share)
{
    return (size_t) decay_weights(parameters, next, first, last, (real) share);
}

double step_of(const real *before, const real *after, size_t first, size_t last)
{
    return largest_step(before, after, first, last);
}

size_t is_beyond(const real *value)
{
    return (size_t) (beyond(*value) >> FIRST_BIT);
}

size_t are_finite(const real *values, size_t count)
{
    return (size_t) all_finite(values, count);
}

real larger_of(const real *pair)
{
    return maximum(pair[0], pair[1]);
}

real smaller_of(const real *pair)
{
    return minimum(pair[0], pair[1]);
}
