/* A fit: the parameters, within bounds, with the smallest sum of squared residuals, of a robust loss of them, or of
   another loss that is convex in the outputs.

   Needs endings.h and polish.h. Gives fit, fit_size, errors_size.

   The method of Levenberg and Marquardt with a trust radius, scaled and controlled as in MINPACK (More, The
   Levenberg-Marquardt algorithm: implementation and theory, 1978), except for the first radius: a fraction of the
   length of the parameters, instead of a hundred times that, finds more of the solutions. Steps within bounds are exact
   minima of the damped problem (bounds.h). */

#ifndef NNCODEGEN_FIT_H
#define NNCODEGEN_FIT_H

#include "nncodegen/fit/endings.h"
#include "nncodegen/fit/polish.h"

enum {
    GOES_ON = -1,
    MOST_DESCENTS = 4,
    PATIENCE = 100 /* the most steps, beside ten for each parameter, that gain less than LEAST_GAIN in all */
};

/* Relative to the cost: a gain that is far below what errors of the data change it by. Valleys without an end, along
   which a parameter goes to infinity, give 1e-9 to 1e-7 of the cost in a hundred steps. */
#define LEAST_GAIN 1e-6

/* How far steps are trusted, and what a fit has gained lately. */
typedef struct {
    double radius; /* the longest step that is trusted */
    double damping;
    double rounding; /* the relative rounding of the cost */
    double gained; /* the cost when the fit has last gained more than LEAST_GAIN */
    size_t since; /* the iterations until then */
} trust_region;

/* The radius of the first step, relative to the length of the parameters; or, if these have almost no effect, relative
   to that of the residuals. Of values from a tenth to one, tried with twelve formulas, this one finds most of the
   solutions. If some parameters have no effect at all, such as the slope of a logistic whose asymptotes are equal, and
   the others are determined, the step of these may have any length: their values decide how much effect the former
   have. */
#define FIRST_RADIUS 0.305
#define LEAST_RADIUS 1e-3

static COLD double first_radius(const fit_memory *m)
{
    const double length = scaled_length(m), residuals = sqrt(2*size_of_cost(m));
    size_t telling = 0;
    for (size_t k = 0; k < m->n; k++)
        telling += m->length[k] > 0;
    if (telling < m->n && telling == m->rank)
        return HUGE_VAL;
    const double radius = length > 0 ? larger(FIRST_RADIUS*length, LEAST_RADIUS*residuals) : residuals;
    return radius > 0 ? radius : 1;
}

/* Returns the length of a vector of two lengths, without a square that overflows. */
INLINE double whole_length(double a, double b)
{
    const double large = a > b ? a : b, part = large > 0 ? (a > b ? b : a)/large : 0;
    return large*sqrt(1 + part*part);
}

/* Returns the factor for a radius after a step that gained too little: the minimum of a parabola through the cost here,
   its slope, and the cost after the step, between a tenth and a half. */
INLINE double shortened(double slope, double gain)
{
    const double part = gain >= 0 ? 0.5 : 0.5*slope/(slope + gain);
    return part > 0.1 ? part : 0.1; /* also if the new cost is not finite */
}

/* After a step that is not taken, computes the triangle again, for dampings of the changes of inputs that have changed;
   a step of the parameters of length 0 tells nothing of their radius. Returns 1 if stopped. */
static COLD int fold_again(NN(fitting) *run, fit_memory *m, trust_region *l)
{
    if (fold_errors(&run->poll, m, m->errors, &m->errors->here, m->triangle))
        return 1;
    fold_penalty(run, m, m->parameters, m->triangle);
    update_gradient_and_scales(run, m);
    l->radius = l->radius > 0 ? l->radius : first_radius(m);
    return 0;
}

/* Tries one step. Returns how the fit has ended, or GOES_ON. */
static HOT int try_step(NN(fitting) *run, fit_memory *m, trust_region *l)
{
    const double length = find_step(run, m, l->radius, &l->damping), cost = m->sums.cost, size = size_of_cost(m);
    residual_sums sums;
    double slope;
    if (place_trial(run, m))
        return NN(FIT_INTERRUPTED);
    const double expected = predicted_fall(run, m, &slope);
    const int found = evaluate(run, m, m->trial, m->tried, cost, &sums);
    run->evaluations++;
    if (found == STOPPED)
        return NN(FIT_INTERRUPTED);
    if (found == NOT_CONVEX)
        return NN(FIT_NOT_CONVEX);
    const int limited = l->damping > 0; /* whether the radius limits the step */
    const double gain = found == NOT_FINITE ? -HUGE_VAL : cost - sums.cost;
    const double ratio = expected > 0 ? gain/expected : 0;
    if (run->iterations++ == 0 && length < l->radius)
        l->radius = length;
    if (!(ratio > 0.25)) {
        const double part = shortened(slope, gain);
        l->radius = part*(10*length < l->radius ? 10*length : l->radius);
        l->damping /= part;
    } else if (l->damping == 0 || ratio >= 0.75) {
        l->radius = 2*length;
        l->damping /= 2;
    }
    const double whole = m->errors ? whole_length(length, m->errors->length) : length;
    const int is_short = whole <= run->step_tolerance*(scaled_length(m) + run->step_tolerance*sqrt(2*size));
    const int is_flat = expected <= larger(run->cost_tolerance, l->rounding)*size;
    const int taken = found == EVALUATED && (ratio > 1e-4 || (gain >= 0 && (is_short || is_flat)));
    if (taken) {
        take_trial(m, &sums);
        update_gradient_and_scales(run, m);
        const double least = larger(run->cost_tolerance, l->rounding)*size;
        if (ratio > 0.25 && gain <= least && possible_fall(m, 0) <= least)
            return NN(FIT_COST);
    } else if (m->errors && fold_again(run, m, l)) {
        run->iterations--; /* it is not finished */
        return NN(FIT_INTERRUPTED);
    }
    const int ends = is_short || expected <= l->rounding*size;
    if (!ends || (limited && ratio > 0.25))
        return GOES_ON; /* a radius that may still grow made the step short, which means nothing */
    if (!limited && (taken || is_flat))
        return is_short ? NN(FIT_STEP) : NN(FIT_COST);
    return end_of_radius(run, m, larger(run->cost_tolerance, l->rounding));
}

/* Records the state of the fit after a step, and returns whether the caller ends it. */
static COLD int is_ended_by_caller(NN(fitting) *run, const fit_memory *m)
{
    const double n = (double) m->n;
    run->cost = m->sums.cost;
    memcpy(run->parameters, m->parameters, PARAMETERS*sizeof(real));
    if (run->history)
        run->history[(run->iterations - 1)%run->kept] = run->cost;
    if (stopped(&run->poll, n*n*n)) /* the operations of a step except those of its rows */
        return 1;
    if (!run->after_each)
        return 0;
    GRADUAL_UNDERFLOW
    return run->after_each(run->poll.context);
}

/* Returns whether the fit no longer gains: along a valley that the data hardly determine, and which may have no end. */
static COLD int no_longer_gains(const NN(fitting) *run, const fit_memory *m, trust_region *l)
{
    if (l->gained - m->sums.cost > larger(run->cost_tolerance, LEAST_GAIN)*size_of_cost(m)) {
        l->gained = m->sums.cost;
        l->since = run->iterations;
    }
    return run->iterations - l->since >= PATIENCE + 10*m->n;
}

/* Steps until the fit ends. */
static COLD int descend_to_end(NN(fitting) *run, fit_memory *m)
{
    trust_region l = {0, 0, 4*ROUNDING, m->sums.cost, run->iterations};
    for (size_t k = 0; k < m->n; k++)
        m->scale[k] = 0;
    update_gradient_and_scales(run, m);
    l.radius = first_radius(m);
    for (;;) {
        if (largest_cosine(m) <= run->gradient_tolerance)
            return NN(FIT_GRADIENT);
        if (run->iterations >= run->max_iterations)
            return NN(FIT_MAX_ITERATIONS);
        const int status = try_step(run, m, &l);
        if (status == NN(FIT_INTERRUPTED) || status == NN(FIT_NOT_CONVEX))
            return status; /* within a step, which does not count */
        const int ended = is_ended_by_caller(run, m);
        if (status != GOES_ON || ended)
            return status != GOES_ON ? status : NN(FIT_INTERRUPTED);
        if (no_longer_gains(run, m, &l))
            return end_of_valley(run, m, larger(run->cost_tolerance, l.rounding));
    }
}

/* Steps until the fit ends, with changes of inputs that are damped where they need it. At its end, none is: wherever it
   was stopped, the triangle is then computed without dampings, and does not ask whether to stop. */
static COLD int descend_with_errors(NN(fitting) *run, fit_memory *m)
{
    int status = NN(FIT_COST);
    m->errors->controlled = 1;
    for (size_t round = 0; round < MOST_DESCENTS && status <= NN(FIT_GRADIENT); round++) {
        status = descend_to_end(run, m);
        if (!release_changes(m->errors) && status != NN(FIT_INTERRUPTED))
            break;
        fold_errors(NULL, m, m->errors, &m->errors->here, m->triangle);
        fold_penalty(run, m, m->parameters, m->triangle);
    }
    m->errors->controlled = 0;
    return status;
}

/* Replaces the triangle by that of Fisher's information, unless the caller ends the fit. */
static COLD void inform(NN(fitting) *run, fit_memory *m)
{
    residual_sums sums;
    m->informs = 1;
    if (evaluate(run, m, m->parameters, m->tried, HUGE_VAL, &sums) == EVALUATED)
        memcpy(m->triangle, m->tried, m->n*TRIANGLE_ROW*sizeof *m->triangle);
    m->informs = 0;
}

/* Writes the values of the solution that are reported to the caller. */
static COLD void report(NN(fitting) *run, fit_memory *m)
{
    for (size_t k = 0; k < m->n; k++)
        m->scale[k] = 0;
    update_gradient_and_scales(run, m);
    memcpy(run->parameters, m->parameters, PARAMETERS*sizeof(real));
    for (size_t i = 0; run->triangle && i < m->n; i++)
        for (size_t k = 0; k < m->n; k++)
            run->triangle[i*m->n + k] = m->triangle[i*TRIANGLE_ROW + k];
    if (run->active)
        memset(run->active, 0, PARAMETERS);
    for (size_t k = 0; run->active && k < m->n; k++) {
        const size_t p = m->free[k];
        run->active[p] = (signed char) ((m->high[k] <= 0) - (m->low[k] >= 0 && m->high[k] > 0));
    }
    run->cost = m->sums.cost;
    run->chi2 = m->sums.chi2;
    run->used = m->sums.used;
    run->gradient = largest_cosine(m);
    memset(m->clamped, 0, m->n);
    make_system(m);
    run->rank = m->rank;
    report_poles(run, m);
    if (m->errors) {
        report_plain_residuals(run, &m->errors->here);
        report_changes(run, &m->errors->here);
    } else if (FIT_NOISE && run->residuals) {
        report_scales(run, m);
    } else if (!FIT_CURVED && run->residuals) {
        report_residuals(run, m);
    }
}

size_t NN(errors_size)(size_t samples, size_t groups)
{
    return size_of_errors(samples, groups);
}

size_t NN(fit_size)(void)
{
    return size_of_fit();
}

COLD void NN(fit)(NN(fitting) *run)
{
    fit_memory m = carve_fit(run->work);
    errors_in_x errors;
    set_step_limit(m.rows.m, &run->poll);
    if (run->sigma_x) {
        errors = carve_errors((char *) run->errors_work + bytes_of_scratch(), run->errors_work, run->samples);
        clear_errors(&errors);
        begin_changes(run, &errors);
        m.errors = &errors;
    }
    memset(m.signs, 0, FIT_GUARDS);
    for (size_t p = 0; p < PARAMETERS; p++)
        if (!run->fixed || !run->fixed[p])
            m.free[m.n++] = p;
    run->free = m.n;
    run->iterations = run->rank = 0;
    run->evaluations = 1;
    memcpy(m.parameters, run->parameters, PARAMETERS*sizeof(real));
    memcpy(m.trial, run->parameters, PARAMETERS*sizeof(real));
    const int found = evaluate(run, &m, m.parameters, m.triangle, HUGE_VAL, &m.sums);
    keep_signs(&m);
    if (m.errors)
        take_changes(m.errors);
    run->cost = m.sums.cost;
    if (found == STOPPED) /* sums over only some samples are not reported */
        memset(m.triangle, 0, m.n*TRIANGLE_ROW*sizeof *m.triangle);
    run->status = found == STOPPED ? NN(FIT_INTERRUPTED) : found == NOT_CONVEX ? NN(FIT_NOT_CONVEX) : NN(FIT_NOT_FINITE);
    if (found != EVALUATED)
        m.sums.cost = m.sums.chi2 = (double) NAN; /* over only some samples */
    else
        run->status = m.sums.used == 0 ? NN(FIT_NO_DATA)
            : m.errors ? descend_with_errors(run, &m) : descend_to_end(run, &m);
    if (run->status <= NN(FIT_GRADIENT) && !is_minimum(run, &m))
        run->status = NN(FIT_STATIONARY);
    if (run->status <= NN(FIT_GRADIENT) && polish(run, &m, larger(1e-13, 1e-5*run->step_tolerance)))
        run->status = NN(FIT_INTERRUPTED);
    if (FIT_NOISE && found == EVALUATED)
        inform(run, &m);
    report(run, &m);
}

#endif
