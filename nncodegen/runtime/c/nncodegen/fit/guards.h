/* The guards of a formula, which are its denominators: a step that changes the sign of a guard at a sample is not
   taken, because it crosses a pole.

   Needs fit_memory.h. Gives begin_guards, crosses_pole, keep_signs, report_poles, which do nothing without guards.

   A guard has a sign if it has that sign at all samples that count. A guard that is 0, or has both signs, has no
   sign and prevents no step: this happens if the start already has a pole among the data. */

#ifndef NNCODEGEN_GUARDS_H
#define NNCODEGEN_GUARDS_H

#include "nncodegen/fit/fit_memory.h"

enum { ALL_ABOVE = 1, ALL_BELOW = 2 };

/* Must be called before the first sample of an evaluation. */
INLINE void begin_guards(fit_memory *m)
{
    memset(m->seen, ALL_ABOVE | ALL_BELOW, FIT_GUARDS);
}

/* Reads the guards of the samples of a tile; a sample counts if a factor of its rows is not 0. */
static HOT void take_guards(size_t count, fit_memory *m)
{
    double *const counts = m->columns; /* not yet in use */
    const size_t outputs = FIT_CURVED ? FIT_PARTS : FIT_OUTPUTS, guards = FIT_GUARDS;
    for (size_t n = 0; n < count; n++)
        counts[n] = m->factors[n] != 0;
    for (size_t k = 1; k < outputs; k++)
        for (size_t n = 0; n < count; n++)
            counts[n] = m->factors[k*FOLDED_ROWS + n] != 0 ? 1 : counts[n];
    for (size_t g = 0; g < guards; g++) {
        const real *const values = m->rows.rows + DERIVATIVES - FIT_GUARDS + g;
        double not_above = 0, not_below = 0;
        EXACT_SUM_LOOP(not_above, not_below)
        for (size_t n = 0; n < count; n++) {
            const real value = values[n*OUTPUTS];
            not_above += value > 0 ? 0 : counts[n];
            not_below += value < 0 ? 0 : counts[n];
        }
        m->seen[g] &= (signed char) ((not_above > 0 ? 0 : ALL_ABOVE) | (not_below > 0 ? 0 : ALL_BELOW));
    }
}

/* Reads the guards of a tile, with its first output. Returns whether a guard has lost its sign. */
static UNUSED int crosses_pole(size_t output, size_t count, fit_memory *m)
{
    const size_t guards = FIT_GUARDS;
    int lost = 0;
    if (guards && output == 0)
        take_guards(count, m);
    for (size_t g = 0; g < guards; g++)
        lost |= m->signs[g] & ~m->seen[g];
    return lost;
}

/* Stores the signs of the last evaluation as those at the parameters. */
INLINE void keep_signs(fit_memory *m)
{
    memcpy(m->signs, m->seen, FIT_GUARDS);
}

/* Writes which guards have no sign at the parameters. */
INLINE void report_poles(const NN(fitting) *run, const fit_memory *m)
{
    const size_t guards = FIT_GUARDS;
    for (size_t g = 0; run->poles && g < guards; g++)
        run->poles[g] = m->signs[g] == 0;
}

#endif
