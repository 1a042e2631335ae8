/* Changes to the gradient before an update (penalties and clipping), and to the parameters after it (weight decay, and
   restoring frozen parameters).

   Needs ranges.h and the header of the model. Gives is_plain, all_parameters, add_penalties, clip_values,
   clip_norm, decay_weights, keep_frozen, largest_step, take_statistics and follow_statistics. */

#ifndef NNCODEGEN_REGULARIZE_H
#define NNCODEGEN_REGULARIZE_H

#include "nncodegen/train/ranges.h"

/* Returns whether only the optimizer changes gradients and parameters: no penalty, clipping or weight decay does. */
static UNUSED int is_plain(const NN(training) *run)
{
    return !(run->l1 > 0 || run->l2 > 0 || run->clip_value > 0 || run->clip_norm > 0 || run->weight_decay > 0);
}

/* Moves the statistics of a batch out of the gradient, where they take the places of the parameters that follow
   them, which have no gradient. */
static UNUSED void take_statistics(real *restrict gradient, real *restrict statistics)
{
    for (size_t k = 0; k < special.following_count; k++) {
        for (size_t p = special.following[k].first; p < special.following[k].end; p++) {
            statistics[p] = gradient[p];
            gradient[p] = 0;
        }
    }
}

/* Computes the next values of these parameters among first <= p < last. Returns whether one of them is not finite. */
static UNUSED int follow_statistics(const real *restrict parameters, const real *restrict statistics,
    real *restrict next, size_t first, size_t last)
{
    word check = 0;
    for (size_t k = 0; k < special.following_count; k++) {
        const double momentum = special.following[k].momentum;
        for (size_t p = special.following[k].first; p < special.following[k].end; p++) {
            if (p < first || p >= last)
                continue;
            next[p] = (real) (momentum*(double) parameters[p] + (1 - momentum)*(double) statistics[p]);
            check |= beyond(next[p]);
        }
    }
    return (int) (check >> FIRST_BIT);
}

/* Adds the gradient of l1*sum |w| + l2/2*sum w^2 over the penalized parameters. */
static HOT void add_penalties(const real *restrict parameters, real *restrict gradient, real l1, real l2)
{
    for (size_t k = 0; k < special.penalized_count; k++) {
        const size_t end = special.penalized[k].end;
        for (size_t p = special.penalized[k].first; p < end; p++) {
            const real w = parameters[p];
            gradient[p] += l2*w + (w > 0 ? l1 : w < 0 ? -l1 : 0);
        }
    }
}

/* The number of parameters, as a bound of loops: if it is 0, compilers would warn about a constant. */
#ifdef NNCODEGEN_LIBRARY
#define all_parameters PARAMETERS
#else
static const size_t all_parameters = PARAMETERS;
#endif

/* Clips each value of the gradient to -bound to bound. NaN stays NaN. */
static HOT void clip_values(real *gradient, real bound)
{
    for (size_t p = 0; p < all_parameters; p++) {
        const real g = gradient[p];
        gradient[p] = g > bound ? bound : g < -bound ? -bound : g;
    }
}

/* Returns the Euclidean norm of the gradient, also if its squares overflow. */
static HOT double gradient_norm(const real *gradient)
{
    double squares = 0;
    SUM_LOOP(squares)
    for (size_t p = 0; p < all_parameters; p++)
        squares += (double) gradient[p]*(double) gradient[p];
    if (isfinite(squares))
        return sqrt(squares);
    double largest = 0;
    for (size_t p = 0; p < all_parameters; p++)
        largest = fabs((double) gradient[p]) > largest ? fabs((double) gradient[p]) : largest;
    squares = 0;
    for (size_t p = 0; p < all_parameters; p++)
        squares += (double) gradient[p]/largest*((double) gradient[p]/largest);
    return largest*sqrt(squares);
}

/* Scales the gradient so that its norm is at most bound. */
static HOT void clip_norm(real *gradient, double bound)
{
    const double norm = gradient_norm(gradient);
    if (!(norm > bound))
        return;
    const double scale = bound/norm;
    for (size_t p = 0; p < all_parameters; p++)
        gradient[p] = (real) ((double) gradient[p]*scale);
}

/* Subtracts a fraction of the parameters before the update from those after it, for first <= p < last. Returns
   whether one of the latter is not finite. */
static HOT int decay_weights(const real *restrict parameters, real *restrict next, size_t first, size_t last,
    real share)
{
    word check = 0;
    for (size_t p = first; p < last; p++) {
        next[p] -= share*parameters[p];
        check |= beyond(next[p]);
    }
    return (int) (check >> FIRST_BIT);
}

/* Restores the values before the update of the frozen parameters among first <= p < last; there are ``width``
   numbers for each. Their gradient is 0, but weight decay, or the rule of an optimizer, may still change them. */
static UNUSED void keep_frozen(const real *restrict parameters, real *restrict next, size_t first, size_t last,
    size_t width)
{
    for (size_t number = 0; number < special.frozen_count; number++) {
        const index_range *const each = special.frozen + number;
        const size_t begin = each->first > first ? each->first : first, end = each->end < last ? each->end : last;
        for (size_t k = begin*width; k < end*width; k++)
            next[k] = parameters[k];
    }
}

/* Returns the largest absolute change of a parameter in an update. */
static HOT double largest_step(const real *before, const real *after, size_t first, size_t last)
{
    real largest = 0;
    LARGEST_LOOP(largest)
    for (size_t p = first; p < last; p++) {
        const real change = after[p] - before[p], step = change < 0 ? -change : change;
        largest = step > largest ? step : largest;
    }
    return (double) largest;
}

#endif
