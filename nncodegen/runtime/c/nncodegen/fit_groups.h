/* The rows of a fit in which groups of samples have parameters of their own: a triangle for each group.

   Needs evaluate.h. Gives fit_groups.

   The triangle of a group has the columns of its own parameters first, and then those that it shares with others. Its
   own columns are thereby eliminated: below their rows, only those of the shared ones are left, which the caller
   combines (results/bordered.py). */

#ifndef NNCODEGEN_FIT_GROUPS_H
#define NNCODEGEN_FIT_GROUPS_H

#include "evaluate.h"

/* Writes the results of a group. */
static COLD void tell_group(const NN(groups) *run, size_t group, int found, const residual_sums *sums,
    const fit_memory *m)
{
    const size_t width = m->n + 1;
    run->cost[group] = found == EVALUATED ? sums->cost : (double) NAN;
    if (run->chi2)
        run->chi2[group] = sums->chi2;
    if (run->used)
        run->used[group] = sums->used;
    if (run->seen)
        memcpy(run->seen + group*FIT_GUARDS, m->seen, FIT_GUARDS);
    for (size_t i = 0; run->triangles && i < m->n; i++) {
        double *const row = run->triangles + (group*m->n + i)*width;
        for (size_t k = 0; k < width; k++)
            row[k] = k < i ? 0 : m->triangle[i*TRIANGLE_ROW + k];
    }
}

int NN(fit_groups)(NN(groups) *run)
{
    fit_memory m = carve_fit(run->work);
    NN(fitting) one = {
        .sigmas = run->sigmas, .robust = run->robust, .robust_scale = run->robust_scale, .poll = run->poll
    };
    for (size_t k = 0; k < run->free; k++)
        m.free[m.n++] = run->columns[k];
    for (size_t group = run->first; group < run->last; group++) {
        const size_t begin = run->begins[group];
        residual_sums sums;
        one.samples = run->begins[group + 1] - begin;
        one.inputs = run->inputs ? run->inputs + begin*INPUTS : NULL;
        one.targets = run->targets + begin*FIT_OUTPUTS;
        one.sigma = run->sigma ? run->sigma + begin*run->sigmas : NULL;
        memcpy(m.parameters, run->parameters + group*PARAMETERS, PARAMETERS*sizeof(real));
        if (run->signs)
            memcpy(m.signs, run->signs + group*FIT_GUARDS, FIT_GUARDS);
        else
            memset(m.signs, 0, FIT_GUARDS);
        const int found = evaluate(&one, &m, m.parameters, m.triangle, HUGE_VAL, &sums);
        if (found == STOPPED)
            return 1;
        tell_group(run, group, found, &sums, &m);
        if (!FIT_CURVED && run->residuals) {
            one.residuals = run->residuals + begin*FIT_OUTPUTS;
            tell_residuals(&one, &m);
        }
    }
    return 0;
}

#endif
