/* Powers whose bits are the same everywhere, for Python: counts are size_t, other numbers those of the precision. */

#define NN_SAME_BITS 1

#include "sample.h"

#include "nncodegen/base/base.h"
#include "nncodegen/math/functions.h"

void powers(const real *restrict base, const real *restrict exponent, size_t count, real *restrict found)
{
    for (size_t k = 0; k < count; k++)
        found[k] = power_of(base[k], exponent[k]);
}
