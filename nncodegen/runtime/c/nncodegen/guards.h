/* The guards of a formula, its denominators: a step that changes the sign of one of them at a sample is not taken, as it
   leads over a pole.

   Needs fit_memory.h. Gives take_guards, keeps_signs.

   A guard has a sign where all samples that count agree in it; one that is 0, or has both signs, has none, and holds
   nothing: that is so where the start has a pole among the data already. */

#ifndef NNCODEGEN_GUARDS_H
#define NNCODEGEN_GUARDS_H

#include "fit_memory.h"

#if NN_FIT_GUARDS > 0

enum { SEEN_POSITIVE = 1, SEEN_NEGATIVE = 2, WITHOUT_SIGN = SEEN_POSITIVE | SEEN_NEGATIVE };

/* Looks at the guards of the samples of a tile; a sample counts where a factor of its rows is not 0. */
static HOT void take_guards(size_t count, fit_memory *m)
{
    const size_t outputs = CURVED ? 1 : FIT_OUTPUTS;
    for (size_t g = 0; g < GUARDS; g++) {
        const real *const values = m->rows.rows + DERIVATIVES - GUARDS + g;
        int seen = m->seen[g];
        for (size_t n = 0; n < count; n++) {
            const real value = values[n*OUTPUTS];
            int counts = 0;
            for (size_t k = 0; k < outputs; k++)
                counts |= m->factors[k*FOLDED_ROWS + n] != 0;
            seen |= counts ? value > 0 ? SEEN_POSITIVE : value < 0 ? SEEN_NEGATIVE : WITHOUT_SIGN : 0;
        }
        m->seen[g] = (signed char) seen;
    }
}

/* Whether no guard that has a sign has been seen with another. */
static UNUSED int keeps_signs(const fit_memory *m)
{
    int lost = 0;
    for (size_t g = 0; g < GUARDS; g++)
        lost |= m->signs[g] != WITHOUT_SIGN && (m->seen[g] & ~m->signs[g]);
    return !lost;
}

#endif

#endif
