/* Errors in the inputs of a fit: the true inputs of each sample are unknowns of its own.

   Needs fit_rows.h and poll.h. Gives errors_in_x, size_of_errors, carve_errors, fold_errors, place_changes,
   take_changes.

   The unknowns of a sample are the changes u of its inputs, in units of their standard deviations. With residuals r of
   the outputs, derivatives J by the parameters and G by u, a step s of the parameters and v of u makes the rows
   r + J s + G v and b + a v, where b is u and a is 1, unless the loss is robust. For any s, the best v follows from
   A v = -(a b + G'q), (1 + G A^-1 G') q = r + J s - G A^-1 a b, where A is a^2, or more if v is damped. There remain
   the rows R^-T (r + J s - G A^-1 a b), where R is the triangle of 1 + G A^-1 G' (P. T. Boggs, R. H. Byrd, R. B.
   Schnabel, A stable and efficient algorithm for nonlinear orthogonal distance regression, 1987). They are folded into
   the triangle of the parameters, so that no matrix is as large as all unknowns.

   The model has the changes of its inputs as its last parameters, which are 0: their derivatives are those by the
   inputs. */

#ifndef NNCODEGEN_ERRORS_IN_X_H
#define NNCODEGEN_ERRORS_IN_X_H

#include "nncodegen/fit/fit_rows.h"
#include "nncodegen/base/poll.h"

/* What is known of the samples at a point: columns of a value of each sample. */
#define PARTS_OF_POINT(PART) \
    PART(double, changes, INPUTS) /* u */ \
    PART(double, sides, INPUTS) /* b */ \
    PART(double, factors, INPUTS) /* a */ \
    PART(double, plain, FIT_OUTPUTS) /* residuals before a robust loss, NaN if missing */ \
    PART(double, residuals, FIT_OUTPUTS) /* r */ \
    PART(double, slopes, FIT_OUTPUTS*INPUTS) /* G: by all changes, for each output */ \
    PART(double, rows, FIT_OUTPUTS*PARAMETERS) /* J, for the parameters that are not fixed */ \
    PART(double, cost, 1)

typedef struct {
    PARTS_OF_POINT(MEMBER_OF_MEMORY)
    double own_fall; /* how much changes alone lower the cost */
} point_with_errors;

/* What is known of the samples apart from points. */
#define PARTS_OF_SAMPLES(PART) \
    PART(double, damping, 1) /* of the changes, relative to the squares of the lengths of their columns */ \
    PART(double, falls, 1) /* how much the step lowers the cost of each sample if residuals are linear */

typedef struct errors_in_x {
    point_with_errors here, there; /* at the parameters, and at the tried ones */
    size_t samples;
    PARTS_OF_SAMPLES(MEMBER_OF_MEMORY)
    /* Columns for some samples, FOLDED_ROWS apart. */
    double *ahead; /* [outputs]: J s */
    double *next; /* [outputs]: q, or what leads to it */
    double *moved; /* [outputs]: J s + G v */
    double *inverse; /* [inputs]: 1/A */
    double *whole; /* 1 + G A^-1 G', if there is one output */
    double *fall, *slope, *gradient;
    double *triangle; /* [outputs][outputs]: R of a sample */
    double *row; /* [outputs] */
    real *inputs; /* those of a tile, changed */
    double all_fall, all_slope, length; /* of the step: how much it lowers the cost, the part due to the gradient alone,
                                           |v| */
    int controlled; /* whether dampings are changed */
    int damped; /* whether one is not 0 */
} errors_in_x;

/* The memory that nothing is kept in from one call to the next. */
#define PARTS_OF_ERRORS(PART) \
    PART(double, ahead, FIT_OUTPUTS*FOLDED_ROWS) \
    PART(double, next, FIT_OUTPUTS*FOLDED_ROWS) \
    PART(double, moved, FIT_OUTPUTS*FOLDED_ROWS) \
    PART(double, inverse, INPUTS*FOLDED_ROWS) \
    PART(double, whole, FOLDED_ROWS) \
    PART(double, fall, FOLDED_ROWS) \
    PART(double, slope, FOLDED_ROWS) \
    PART(double, gradient, FOLDED_ROWS) \
    PART(double, triangle, FIT_OUTPUTS*FIT_OUTPUTS) \
    PART(double, row, FIT_OUTPUTS) \
    PART(real, inputs, TILE*INPUTS)

#define PLUS_VALUES(type, name, count) + (count)*sizeof(type)
#define PLUS_PADDING(type, name, count) + 63

/* Returns the bytes of some samples, in some groups, whose arrays are apart. */
static UNUSED size_t bytes_of_samples(size_t samples, size_t groups)
{
    const size_t each = 2*(0 PARTS_OF_POINT(PLUS_VALUES)) PARTS_OF_SAMPLES(PLUS_VALUES);
    const size_t padding = 63 + 2*(0 PARTS_OF_POINT(PLUS_PADDING)) PARTS_OF_SAMPLES(PLUS_PADDING);
    return samples*each + groups*padding;
}

static UNUSED size_t bytes_of_scratch(void)
{
    return 64 PARTS_OF_ERRORS(PLUS_BYTES);
}

/* Returns the size of all memory for some samples in some groups; SIZE_MAX if no size_t is large enough. */
static UNUSED size_t size_of_errors(size_t samples, size_t groups)
{
    const double whole = (double) samples*(double) bytes_of_samples(1, 0)
        + (double) groups*(double) bytes_of_samples(0, 1) + (double) bytes_of_scratch();
    return whole < 0.99*(double) SIZE_MAX ? bytes_of_samples(samples, groups) + bytes_of_scratch() : SIZE_MAX;
}

/* Returns memory for some samples: what is kept of them, which need not be aligned, and what is not. */
static UNUSED errors_in_x carve_errors(void *kept, void *scratch, size_t samples)
{
    char *next = (char *) (((uintptr_t) kept + 63)/64*64);
    errors_in_x m = {.samples = samples};
#define TAKE_HERE(type, name, count) TAKE(type, here.name, samples*(count))
#define TAKE_THERE(type, name, count) TAKE(type, there.name, samples*(count))
#define TAKE_OF_SAMPLES(type, name, count) TAKE(type, name, samples*(count))
    PARTS_OF_POINT(TAKE_HERE)
    PARTS_OF_POINT(TAKE_THERE)
    PARTS_OF_SAMPLES(TAKE_OF_SAMPLES)
#undef TAKE_HERE
#undef TAKE_THERE
#undef TAKE_OF_SAMPLES
    next = (char *) (((uintptr_t) scratch + 63)/64*64);
    PARTS_OF_ERRORS(TAKE)
    return m;
}

/* Removes the damping of all changes, and forgets the residuals. */
static UNUSED void clear_errors(errors_in_x *x)
{
    for (size_t n = 0; n < x->samples; n++)
        x->damping[n] = 0;
    x->damped = 0;
    for (size_t k = 0; k < x->samples*FIT_OUTPUTS; k++)
        x->here.plain[k] = x->there.plain[k] = (double) NAN; /* where a fit is stopped before it knows them */
}

/* Adds the part of one input to 1 + G A^-1 G', unless whole is NULL, and subtracts it from what leads to q. */
INLINE void add_input(size_t count, const double *restrict G, const double *restrict a, const double *restrict b,
    const double *restrict inverse, double *restrict whole, double *restrict next)
{
    if (whole) {
        for (size_t n = 0; n < count; n++) {
            const double part = G[n]*inverse[n];
            whole[n] += G[n]*part;
            next[n] -= part*a[n]*b[n];
        }
        return;
    }
    for (size_t n = 0; n < count; n++)
        next[n] -= G[n]*inverse[n]*a[n]*b[n];
}

/* Computes the inverse of A for one input of some samples. */
static HOT void invert_weights(const errors_in_x *x, const point_with_errors *p, size_t first, size_t count,
    size_t input)
{
    const size_t outputs = FIT_OUTPUTS, inputs = INPUTS;
    const double *const a = p->factors + input*x->samples + first, *const damping = x->damping + first;
    double *const restrict inverse = x->inverse + input*FOLDED_ROWS;
    if (x->damped) {
        for (size_t n = 0; n < count; n++) {
            double square = a[n]*a[n];
            for (size_t j = 0; j < outputs; j++) {
                const double slope = p->slopes[(j*inputs + input)*x->samples + first + n];
                square += slope*slope;
            }
            inverse[n] = 1/(a[n]*a[n] + damping[n]*square);
        }
        return;
    }
    for (size_t n = 0; n < count; n++)
        inverse[n] = 1/(a[n]*a[n]);
}

/* Computes, for some samples after a step of the parameters, r + J s - G A^-1 a b, and for one output 1 + G A^-1 G'. */
static HOT void begin_elimination(errors_in_x *x, const point_with_errors *p, size_t first, size_t count)
{
    const size_t outputs = FIT_OUTPUTS, inputs = INPUTS, samples = x->samples;
    for (size_t n = 0; n < count; n++)
        x->whole[n] = 1;
    for (size_t i = 0; i < inputs; i++)
        invert_weights(x, p, first, count, i);
    for (size_t j = 0; j < outputs; j++) {
        double *const next = x->next + j*FOLDED_ROWS;
        const double *const residuals = p->residuals + j*samples + first, *const ahead = x->ahead + j*FOLDED_ROWS;
        for (size_t n = 0; n < count; n++)
            next[n] = residuals[n] + ahead[n];
        for (size_t i = 0; i < inputs; i++)
            add_input(count, p->slopes + (j*inputs + i)*samples + first, p->factors + i*samples + first,
                p->sides + i*samples + first, x->inverse + i*FOLDED_ROWS, outputs == 1 ? x->whole : NULL, next);
    }
}

/* Computes the triangle R of a sample, R'R = 1 + G A^-1 G', by rotations of the rows of G' into that of 1. */
static UNUSED void rotate_slopes(errors_in_x *x, const point_with_errors *p, size_t first, size_t n)
{
    const size_t outputs = FIT_OUTPUTS, inputs = INPUTS, samples = x->samples, sample = first + n;
    double *const R = x->triangle, *const row = x->row;
    for (size_t k = 0; k < outputs*outputs; k++)
        R[k] = k%(outputs + 1) == 0;
    for (size_t i = 0; i < inputs; i++) {
        const double by_root = sqrt(x->inverse[i*FOLDED_ROWS + n]);
        for (size_t j = 0; j < outputs; j++)
            row[j] = p->slopes[(j*inputs + i)*samples + sample]*by_root;
        for (size_t j = 0; j < outputs; j++) {
            double *const at = R + j*outputs;
            const double length = sqrt(at[j]*at[j] + row[j]*row[j]), c = at[j]/length, s = row[j]/length;
            for (size_t l = j; l < outputs; l++) {
                const double above = at[l], below = row[l];
                at[l] = c*above + s*below;
                row[l] = c*below - s*above;
            }
        }
    }
}

/* Solves R'y = y, whose values are apart by a distance. */
INLINE void solve_forward(const double *R, double *y, size_t apart)
{
    const size_t outputs = FIT_OUTPUTS;
    for (size_t j = 0; j < outputs; j++) {
        double sum = y[j*apart];
        for (size_t l = 0; l < j; l++)
            sum -= R[l*outputs + j]*y[l*apart];
        y[j*apart] = sum/R[j*outputs + j];
    }
}

/* Solves R y = y, like solve_forward. */
INLINE void solve_backward(const double *R, double *y, size_t apart)
{
    const size_t outputs = FIT_OUTPUTS;
    for (size_t j = outputs; j-- > 0;) {
        for (size_t l = j + 1; l < outputs; l++)
            y[j*apart] -= R[j*outputs + l]*y[l*apart];
        y[j*apart] /= R[j*outputs + j];
    }
}

/* Computes v of one input from q, or its part that does not depend on outputs, and what it adds to the fall of the cost
   and to the part of that due to the gradient. gradient is a b + G'q. */
INLINE void move_input(size_t count, const double *restrict a, const double *restrict b,
    const double *restrict inverse, const double *restrict gradient, double *restrict v, double *restrict fall,
    double *restrict slope)
{
    for (size_t n = 0; n < count; n++) {
        const double move = -gradient[n]*inverse[n], change = a[n]*move;
        v[n] = move;
        slope[n] += b[n]*change;
        fall[n] -= change*(b[n] + change/2);
    }
}

/* Adds G'y of one input and output to a sum. */
INLINE void add_product(size_t count, const double *restrict G, const double *restrict y, double *restrict sum)
{
    for (size_t n = 0; n < count; n++)
        sum[n] += G[n]*y[n];
}

/* Computes q and v of some samples, of which the elimination has begun, and how much the step lowers the cost of each;
   v is added to changes. Returns |v|^2. */
static HOT double move_inputs(errors_in_x *x, const point_with_errors *p, size_t first, size_t count, double *changes)
{
    const size_t outputs = FIT_OUTPUTS, inputs = INPUTS, samples = x->samples;
    double *const sum = x->gradient, *const v = x->whole;
    double square = 0;
    if (outputs == 1) {
        for (size_t n = 0; n < count; n++)
            x->next[n] /= x->whole[n];
    } else {
        for (size_t n = 0; n < count; n++) {
            rotate_slopes(x, p, first, n);
            solve_forward(x->triangle, x->next + n, FOLDED_ROWS);
            solve_backward(x->triangle, x->next + n, FOLDED_ROWS);
        }
    }
    for (size_t n = 0; n < count; n++)
        x->fall[n] = x->slope[n] = 0;
    for (size_t j = 0; j < outputs; j++)
        for (size_t n = 0; n < count; n++)
            x->moved[j*FOLDED_ROWS + n] = x->ahead[j*FOLDED_ROWS + n];
    for (size_t i = 0; i < inputs; i++) {
        const double *const a = p->factors + i*samples + first, *const b = p->sides + i*samples + first;
        for (size_t n = 0; n < count; n++)
            sum[n] = a[n]*b[n];
        for (size_t j = 0; j < outputs; j++)
            add_product(count, p->slopes + (j*inputs + i)*samples + first, x->next + j*FOLDED_ROWS, sum);
        move_input(count, a, b, x->inverse + i*FOLDED_ROWS, sum, v, x->fall, x->slope);
        for (size_t j = 0; j < outputs; j++)
            add_product(count, p->slopes + (j*inputs + i)*samples + first, v, x->moved + j*FOLDED_ROWS);
        SUM_LOOP(square)
        for (size_t n = 0; n < count; n++)
            square += v[n]*v[n];
        for (size_t n = 0; changes && n < count; n++)
            changes[i*samples + first + n] = p->changes[i*samples + first + n] + v[n];
    }
    for (size_t j = 0; j < outputs; j++) {
        const double *const r = p->residuals + j*samples + first, *const moved = x->moved + j*FOLDED_ROWS;
        double *const restrict fall = x->fall, *const restrict slope = x->slope;
        for (size_t n = 0; n < count; n++) {
            slope[n] += r[n]*moved[n];
            fall[n] -= moved[n]*(r[n] + moved[n]/2);
        }
    }
    return square;
}

/* Eliminates the changes of inputs from the rows of some samples, of one output; the rest is in the columns that are
   folded in. */
static HOT void leave_rows(fit_memory *m, const errors_in_x *x, const point_with_errors *p, size_t first, size_t count)
{
    const size_t samples = x->samples, rows = whole_rows(count);
    double *const restrict factor = x->fall;
    for (size_t n = 0; n < count; n++)
        factor[n] = 1/sqrt(x->whole[n]);
    for (size_t k = 0; k <= m->n; k++) {
        const double *const from = k < m->n ? p->rows + k*samples + first : x->next;
        double *const restrict to = m->columns + k*COLUMN;
        for (size_t n = 0; n < count; n++)
            to[n] = from[n]*factor[n];
        for (size_t n = count; n < rows; n++)
            to[n] = 0;
    }
}

/* Folds in the rows that some samples leave, of several outputs: R^-T J and R^-T of what leads to q. */
static HOT void fold_rows_left(fit_memory *m, errors_in_x *x, const point_with_errors *p, size_t first, size_t count,
    double *triangle)
{
    const size_t outputs = FIT_OUTPUTS, samples = x->samples, rows = whole_rows(outputs);
    for (size_t n = 0; n < count; n++) {
        rotate_slopes(x, p, first, n);
        for (size_t k = 0; k <= m->n; k++) {
            double *const to = m->columns + k*COLUMN;
            for (size_t j = 0; j < outputs; j++)
                to[j] = k < m->n ? p->rows[(j*PARAMETERS + k)*samples + first + n] : x->next[j*FOLDED_ROWS + n];
            solve_forward(x->triangle, to, 1);
            for (size_t j = outputs; j < rows; j++)
                to[j] = 0;
        }
        fold(triangle, 0, m->n, m->columns, rows, m->products);
    }
}

/* Folds the rows that all samples leave into a triangle, and finds how far the changes are from their best values.
   Returns 1 if stopped. */
static HOT int fold_errors(NN(poll) *poll, fit_memory *m, errors_in_x *x, point_with_errors *p, double *triangle)
{
    const size_t outputs = FIT_OUTPUTS, samples = x->samples;
    const double rows = (double) outputs*(double) (m->n + 1), of_each = rows*(double) (m->n + outputs);
    double own_fall = 0;
    memset(triangle, 0, m->n*TRIANGLE_ROW*sizeof *triangle);
    memset(x->ahead, 0, outputs*FOLDED_ROWS*sizeof *x->ahead); /* no step of the parameters */
    for (size_t first = 0; first < samples; first += FOLDED_ROWS) {
        const size_t count = samples - first < FOLDED_ROWS ? samples - first : FOLDED_ROWS;
        double fall = 0;
        begin_elimination(x, p, first, count);
        if (outputs == 1) {
            leave_rows(m, x, p, first, count);
            fold(triangle, 0, m->n, m->columns, whole_rows(count), m->products);
        } else {
            fold_rows_left(m, x, p, first, count, triangle);
        }
        move_inputs(x, p, first, count, NULL);
        SUM_LOOP(fall)
        for (size_t n = 0; n < count; n++)
            fall += x->fall[n];
        own_fall += fall;
        if (stopped(poll, of_each*(double) count))
            return 1;
    }
    p->own_fall = own_fall;
    return 0;
}

/* Computes J s of some samples. */
static HOT void go_ahead(const fit_memory *m, errors_in_x *x, size_t first, size_t count)
{
    const size_t outputs = FIT_OUTPUTS, samples = x->samples;
    for (size_t j = 0; j < outputs; j++) {
        double *const restrict ahead = x->ahead + j*FOLDED_ROWS;
        for (size_t n = 0; n < count; n++)
            ahead[n] = 0;
        for (size_t k = 0; k < m->n; k++) {
            const double *const from = x->here.rows + (j*PARAMETERS + k)*samples + first, step = m->step[k];
            for (size_t n = 0; n < count; n++)
                ahead[n] += from[n]*step;
        }
    }
}

/* Computes the changes after a step of the parameters, and what the step promises. Returns 1 if stopped. */
static HOT int place_changes(NN(poll) *poll, const fit_memory *m, errors_in_x *x)
{
    const size_t samples = x->samples;
    const double of_each = (double) FIT_OUTPUTS*(double) (m->n + FIT_OUTPUTS + 4*INPUTS);
    double square = 0;
    x->all_fall = x->all_slope = 0;
    for (size_t first = 0; first < samples; first += FOLDED_ROWS) {
        const size_t count = samples - first < FOLDED_ROWS ? samples - first : FOLDED_ROWS;
        double fall = 0, slope = 0;
        go_ahead(m, x, first, count);
        begin_elimination(x, &x->here, first, count);
        square += move_inputs(x, &x->here, first, count, x->there.changes);
        SUM_LOOP(fall, slope)
        for (size_t n = 0; n < count; n++) {
            fall += x->fall[n];
            slope += x->slope[n];
            x->falls[first + n] = x->fall[n];
        }
        x->all_fall += fall;
        x->all_slope += slope;
        if (stopped(poll, of_each*(double) count))
            return 1;
    }
    x->length = sqrt(square);
    return 0;
}

/* Makes the tried point that of the fit. */
INLINE void take_changes(errors_in_x *x)
{
    const point_with_errors here = x->here;
    x->here = x->there;
    x->there = here;
}

#endif
