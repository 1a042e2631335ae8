/* The rows of a fit in which groups of samples have parameters of their own: a triangle for each group.

   Needs evaluate.h. Gives fit_groups.

   The triangle of a group has the columns of its own parameters first, and then those that it shares with others. Its
   own columns are thereby eliminated: below their rows, only those of the shared ones are left, which the caller
   combines (results/bordered.py). With errors in the inputs, the changes of each sample are eliminated before
   (errors_in_x.h); what is known of them at two points stays in memory from one call to the next. */

#ifndef NNCODEGEN_FIT_GROUPS_H
#define NNCODEGEN_FIT_GROUPS_H

#include "nncodegen/fit/evaluate.h"

/* The targets of a sample. */
#define GROUP_TARGETS (FIT_CURVED ? FIT_TARGETS : FIT_OUTPUTS)

/* Replaces the gradient in the last column of a triangle, where convex.h has it, by the right-hand side whose product
   with the triangle it is. */
static UNUSED void turn_gradient(fit_memory *m)
{
    for (size_t k = 0; k < m->n; k++) {
        const double *const column = m->triangle + k;
        double left = m->triangle[k*TRIANGLE_ROW + m->n], length = 0;
        for (size_t i = 0; i <= k; i++) {
            left -= i < k ? column[i*TRIANGLE_ROW]*m->spare[i] : 0;
            length += column[i*TRIANGLE_ROW]*column[i*TRIANGLE_ROW];
        }
        const double pivot = column[k*TRIANGLE_ROW];
        m->spare[k] = fabs(pivot) > ROUNDING*sqrt(length) ? left/pivot : 0;
    }
    for (size_t k = 0; k < m->n; k++)
        m->triangle[k*TRIANGLE_ROW + m->n] = m->spare[k];
}

/* Writes the results of a group. */
static COLD void report_group(const NN(groups) *run, size_t group, int found, const residual_sums *sums,
    const fit_memory *m)
{
    const size_t width = m->n + 1;
    if (run->cost)
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

/* Returns the memory of a group with errors in its inputs, as the last call left it. */
static COLD errors_in_x errors_of_group(const NN(groups) *run, size_t group)
{
    const size_t begin = run->begins[group], samples = run->begins[group + 1] - begin;
    errors_in_x x =
        carve_errors((char *) run->errors_kept + bytes_of_samples(begin, group), run->errors_scratch, samples);
    if (run->turned)
        take_changes(&x);
    if (run->task == NN(GROUPS_START))
        clear_errors(&x);
    for (size_t n = 0; n < samples; n++)
        x.damped |= x.damping[n] > 0;
    return x;
}

/* Does the task of a group with errors in its inputs. Returns how it ended, as evaluate does. */
static COLD int evaluate_group_with_errors(const NN(groups) *run, size_t group, NN(fitting) *one, fit_memory *m,
    residual_sums *sums)
{
    const size_t begin = run->begins[group];
    const int evaluates = run->task == NN(GROUPS_START) || run->task == NN(GROUPS_STEP);
    errors_in_x x = errors_of_group(run, group);
    int found = EVALUATED;
    one->sigma_x = run->sigma_x + begin*INPUTS;
    one->changes = run->changes ? run->changes + begin*INPUTS : NULL;
    m->errors = &x;
    *sums = (residual_sums) {cost_of_samples(&x.here, x.samples), 0, 0};
    if (run->task == NN(GROUPS_START)) {
        begin_changes(one, &x);
    } else if (run->task == NN(GROUPS_STEP)) {
        memcpy(m->step, run->steps + group*m->n, m->n*sizeof *m->step);
        if (place_changes(&one->poll, m, &x))
            return STOPPED;
        x.controlled = run->controlled;
        m->sums = *sums;
    } else if (run->task == NN(GROUPS_RELEASE)) {
        release_changes(&x);
    }
    if (evaluates)
        found = evaluate(one, m, m->parameters, m->triangle, HUGE_VAL, sums);
    else if (fold_errors(&one->poll, m, &x, &x.here, m->triangle))
        found = STOPPED;
    if (run->falls)
        run->falls[group] = x.all_fall;
    if (run->squares)
        run->squares[group] = x.length*x.length;
    if (run->own_falls)
        run->own_falls[group] = evaluates ? x.there.own_fall : x.here.own_fall;
    if (run->damped)
        run->damped[group] = x.damped != 0;
    if (evaluates)
        report_plain_residuals(one, &x.there);
    else if (one->changes)
        report_changes(one, &x.here);
    m->errors = NULL;
    return found;
}

int NN(fit_groups)(NN(groups) *run)
{
    fit_memory m = carve_fit(run->work);
    set_step_limit(m.rows.m, &run->poll);
    NN(fitting) one = {
        .sigmas = run->sigmas, .robust = run->robust, .robust_scale = run->robust_scale, .poll = run->poll
    };
    for (size_t k = 0; k < run->free; k++)
        m.free[m.n++] = run->columns[k];
    m.informs = FIT_NOISE && run->residuals;
    for (size_t group = run->first; group < run->last; group++) {
        const size_t begin = run->begins[group];
        residual_sums sums;
        one.samples = run->begins[group + 1] - begin;
        one.inputs = run->inputs ? run->inputs + begin*INPUTS : NULL;
        one.targets = run->targets + begin*GROUP_TARGETS;
        one.sigma = run->sigma ? run->sigma + begin*run->sigmas : NULL;
        one.residuals = run->residuals ? run->residuals + begin*GROUP_TARGETS : NULL;
        memcpy(m.parameters, run->parameters + group*PARAMETERS, PARAMETERS*sizeof(real));
        if (run->signs)
            memcpy(m.signs, run->signs + group*FIT_GUARDS, FIT_GUARDS);
        else
            memset(m.signs, 0, FIT_GUARDS);
        const int found = run->sigma_x ? evaluate_group_with_errors(run, group, &one, &m, &sums)
            : evaluate(&one, &m, m.parameters, m.triangle, HUGE_VAL, &sums);
        if (found == STOPPED)
            return 1;
        if (FIT_CURVED)
            turn_gradient(&m);
        report_group(run, group, found, &sums, &m);
        if (FIT_NOISE && one.residuals)
            report_scales(&one, &m);
        else if (!FIT_CURVED && one.residuals && !run->sigma_x)
            report_residuals(&one, &m);
    }
    return 0;
}

#endif
