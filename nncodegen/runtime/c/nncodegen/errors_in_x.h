/* Errors in the inputs of a fit: the true inputs of each sample are unknowns of its own.

   Needs fit_rows.h. Gives errors_in_x, size_of_errors, carve_errors, fold_errors, place_changes, take_changes.

   The unknowns of a sample are the changes u of its inputs, in units of their standard deviations. With residuals r of
   the outputs, derivatives J by the parameters and G by u, a step s of the parameters and v of u makes the rows
   r + J s + G v and b + a v, where b is u and a is 1, unless the loss is robust. For any s, the best v follows from
   A v = -(a b + G'q), (1 + G A^-1 G') q = r + J s - G A^-1 a b, where A is a^2 plus a damping; what is left are the rows
   R^-T (r + J s - G A^-1 a b), where R is the triangle of 1 + G A^-1 G' (P. T. Boggs, R. H. Byrd, R. B. Schnabel, A
   stable and efficient algorithm for nonlinear orthogonal distance regression, 1987). These rows are folded into the
   triangle of the parameters, so that no matrix is as large as all unknowns.

   The model has the changes of its inputs as its last parameters, which are 0: their derivatives are those by the
   inputs. */

#ifndef NNCODEGEN_ERRORS_IN_X_H
#define NNCODEGEN_ERRORS_IN_X_H

#include "fit_rows.h"

/* What is known of each sample at a point: arrays of [samples][...]. */
#define PARTS_OF_POINT(PART) \
    PART(double, changes, INPUTS) /* u */ \
    PART(double, sides, INPUTS) /* b */ \
    PART(double, factors, INPUTS) /* a */ \
    PART(double, plain, FIT_OUTPUTS) /* residuals before a robust loss, NaN if missing */ \
    PART(double, residuals, FIT_OUTPUTS) /* r */ \
    PART(double, slopes, FIT_OUTPUTS*INPUTS) /* G */ \
    PART(double, rows, FIT_OUTPUTS*PARAMETERS) /* J, for parameters that are not fixed */ \
    PART(double, cost, 1)

typedef struct {
    PARTS_OF_POINT(MEMBER_OF_MEMORY)
} point_with_errors;

typedef struct errors_in_x {
    point_with_errors here, there; /* at the parameters, and at the tried ones */
    double *damping; /* [samples] */
    double *falls; /* [samples]: how much the step lowers the cost of each sample if residuals are linear */
    double *triangle; /* [outputs][outputs]: R of a sample */
    double *left; /* [outputs][n + 1]: the rows that a sample leaves */
    double *next; /* [outputs]: q */
    double *moves; /* [inputs]: v */
    real *inputs; /* those of a tile, changed */
    double fall, slope, length; /* of the step: how much it lowers the cost, the part due to the gradient alone, |v| */
    double own_fall, own_cosine; /* how much changes alone lower the cost, and their largest cosine times the root of
                                    twice the cost */
    int controlled; /* whether dampings are changed */
    int damped; /* whether one is not 0 */
} errors_in_x;

static UNUSED size_t size_of_errors(size_t samples)
{
#define PLUS_POINT(type, name, count) + PADDED_BYTES(type, samples*(count))
    const size_t point = 0 PARTS_OF_POINT(PLUS_POINT);
#undef PLUS_POINT
    return 64 + 2*point + 2*PADDED_BYTES(double, samples) + PADDED_BYTES(double, FIT_OUTPUTS*FIT_OUTPUTS)
        + PADDED_BYTES(double, FIT_OUTPUTS*ENTRIES) + PADDED_BYTES(double, FIT_OUTPUTS) + PADDED_BYTES(double, INPUTS)
        + PADDED_BYTES(real, TILE*INPUTS);
}

static UNUSED errors_in_x carve_errors(void *work, size_t samples)
{
    char *next = (char *) (((uintptr_t) work + 63)/64*64);
    errors_in_x m = {.fall = 0};
#define TAKE_HERE(type, name, count) TAKE(type, here.name, samples*(count))
#define TAKE_THERE(type, name, count) TAKE(type, there.name, samples*(count))
    PARTS_OF_POINT(TAKE_HERE)
    PARTS_OF_POINT(TAKE_THERE)
#undef TAKE_HERE
#undef TAKE_THERE
    TAKE(double, damping, samples)
    TAKE(double, falls, samples)
    TAKE(double, triangle, FIT_OUTPUTS*FIT_OUTPUTS)
    TAKE(double, left, FIT_OUTPUTS*ENTRIES)
    TAKE(double, next, FIT_OUTPUTS)
    TAKE(double, moves, INPUTS)
    TAKE(real, inputs, TILE*INPUTS)
    for (size_t n = 0; n < samples; n++)
        m.damping[n] = 0;
    return m;
}

/* Computes the triangle R of a sample, R'R = 1 + G A^-1 G', by rotations of the rows of G' into that of 1. */
static UNUSED void rotate_slopes(errors_in_x *x, const double *slopes, const double *factors, double damping)
{
    const size_t outputs = FIT_OUTPUTS, inputs = INPUTS;
    double *const R = x->triangle, *const row = x->next;
    for (size_t k = 0; k < outputs*outputs; k++)
        R[k] = k%(outputs + 1) == 0;
    for (size_t i = 0; i < inputs; i++) {
        const double by_root = 1/sqrt(factors[i]*factors[i] + damping);
        for (size_t j = 0; j < outputs; j++)
            row[j] = slopes[j*inputs + i]*by_root;
        for (size_t j = 0; j < outputs; j++) {
            double *const at = R + j*outputs;
            const double length = hypot(at[j], row[j]), c = at[j]/length, s = row[j]/length;
            for (size_t l = j; l < outputs; l++) {
                const double above = at[l], below = row[l];
                at[l] = c*above + s*below;
                row[l] = c*below - s*above;
            }
        }
    }
}

/* Solves R'y = y, for a column of several whose values are apart by a distance. */
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

/* Computes, for a sample, q from the residuals after the step of the parameters alone, and from that v. R is known,
   unless there is one output. Adds to the length of v. Returns how much the step lowers the cost of the sample if
   residuals are linear, and adds to slope the part due to the gradient alone. */
INLINE double move_inputs(errors_in_x *x, const point_with_errors *p, size_t sample, const double *ahead,
    double *restrict slope, double *restrict square)
{
    const size_t outputs = FIT_OUTPUTS, inputs = INPUTS;
    const double *const G = p->slopes + sample*outputs*inputs, *const a = p->factors + sample*inputs;
    const double *const b = p->sides + sample*inputs, *const r = p->residuals + sample*outputs;
    const double damping = x->damping[sample];
    double *const q = x->next, *const v = x->moves;
    double fall = 0;
    if (outputs == 1) {
        double whole = 1, side = r[0] + ahead[0];
        for (size_t i = 0; i < inputs; i++) {
            const double part = G[i]/(a[i]*a[i] + damping);
            whole += G[i]*part;
            side -= part*a[i]*b[i];
        }
        q[0] = side/whole;
    } else {
        for (size_t j = 0; j < outputs; j++) {
            q[j] = r[j] + ahead[j];
            for (size_t i = 0; i < inputs; i++)
                q[j] -= G[j*inputs + i]/(a[i]*a[i] + damping)*a[i]*b[i];
        }
        solve_forward(x->triangle, q, 1);
        for (size_t j = outputs; j-- > 0;) {
            for (size_t l = j + 1; l < outputs; l++)
                q[j] -= x->triangle[j*outputs + l]*q[l];
            q[j] /= x->triangle[j*outputs + j];
        }
    }
    for (size_t i = 0; i < inputs; i++) {
        double sum = a[i]*b[i];
        for (size_t j = 0; j < outputs; j++)
            sum += G[j*inputs + i]*q[j];
        v[i] = -sum/(a[i]*a[i] + damping);
        const double change = a[i]*v[i];
        *square += v[i]*v[i];
        *slope += b[i]*change;
        fall -= change*(b[i] + change/2);
    }
    for (size_t j = 0; j < outputs; j++) {
        double change = ahead[j];
        for (size_t i = 0; i < inputs; i++)
            change += G[j*inputs + i]*v[i];
        *slope += r[j]*change;
        fall -= change*(r[j] + change/2);
    }
    return fall;
}

/* Computes the rows that a sample leaves to the parameters. */
INLINE void eliminate_inputs(errors_in_x *x, const point_with_errors *p, size_t sample, size_t n)
{
    const size_t outputs = FIT_OUTPUTS, inputs = INPUTS, width = n + 1;
    const double *const G = p->slopes + sample*outputs*inputs, *const a = p->factors + sample*inputs;
    const double *const b = p->sides + sample*inputs, *const J = p->rows + sample*outputs*PARAMETERS;
    const double damping = x->damping[sample];
    double whole = 1;
    for (size_t j = 0; j < outputs; j++) {
        double side = p->residuals[sample*outputs + j];
        for (size_t i = 0; i < inputs; i++) {
            const double part = G[j*inputs + i]/(a[i]*a[i] + damping);
            whole += part*G[j*inputs + i];
            side -= part*a[i]*b[i];
        }
        x->left[j*width + n] = side;
    }
    if (outputs == 1) {
        const double factor = 1/sqrt(whole);
        for (size_t k = 0; k < n; k++)
            x->left[k] = J[k]*factor;
        x->left[n] *= factor;
        return;
    }
    rotate_slopes(x, G, a, damping);
    for (size_t j = 0; j < outputs; j++)
        for (size_t k = 0; k < n; k++)
            x->left[j*width + k] = J[j*PARAMETERS + k];
    for (size_t k = 0; k < width; k++)
        solve_forward(x->triangle, x->left + k, width);
}

/* Returns the largest cosine of an angle between the residuals and the column of a change, times their length. */
INLINE double own_cosine(const point_with_errors *p, size_t sample)
{
    const size_t outputs = FIT_OUTPUTS, inputs = INPUTS;
    double largest = 0;
    for (size_t i = 0; i < inputs; i++) {
        const double a = p->factors[sample*inputs + i];
        double sum = a*p->sides[sample*inputs + i], square = a*a;
        for (size_t j = 0; j < outputs; j++) {
            const double slope = p->slopes[(sample*outputs + j)*inputs + i];
            sum += slope*p->residuals[sample*outputs + j];
            square += slope*slope;
        }
        largest = larger(largest, fabs(sum)/sqrt(square));
    }
    return largest;
}

/* Folds the rows that all samples leave into a triangle, and finds how far the changes are from their best values. */
static HOT void fold_errors(fit_memory *m, errors_in_x *x, const point_with_errors *p, size_t samples, double *triangle)
{
    const size_t outputs = FIT_OUTPUTS, width = m->n + 1, most = FOLDED_ROWS;
    size_t filled = 0;
    double slope = 0, square = 0;
    memset(triangle, 0, m->n*TRIANGLE_ROW*sizeof *triangle);
    x->own_fall = x->own_cosine = 0;
    for (size_t sample = 0; sample < samples; sample++) {
        eliminate_inputs(x, p, sample, m->n);
        for (size_t j = 0; j < outputs; j++) {
            for (size_t k = 0; k < width; k++)
                m->columns[k*COLUMN + filled] = x->left[j*width + k];
            filled++;
            if (filled == most || (j == outputs - 1 && sample == samples - 1)) {
                for (size_t k = 0; k < width; k++)
                    for (size_t n = filled; n < whole_rows(filled); n++)
                        m->columns[k*COLUMN + n] = 0;
                fold(triangle, 0, m->n, m->columns, whole_rows(filled), m->products);
                filled = 0;
            }
        }
        for (size_t j = 0; j < outputs; j++)
            x->left[j] = 0; /* no step of the parameters */
        x->own_fall += move_inputs(x, p, sample, x->left, &slope, &square);
        x->own_cosine = larger(x->own_cosine, own_cosine(p, sample));
    }
}

/* Computes the changes after a step of the parameters, and what the step promises. */
static HOT void place_changes(fit_memory *m, errors_in_x *x, size_t samples)
{
    const size_t outputs = FIT_OUTPUTS, inputs = INPUTS;
    const point_with_errors *const p = &x->here;
    double square = 0;
    x->fall = x->slope = 0;
    for (size_t sample = 0; sample < samples; sample++) {
        for (size_t j = 0; j < outputs; j++) {
            const double *const row = p->rows + (sample*outputs + j)*PARAMETERS;
            double sum = 0;
            for (size_t k = 0; k < m->n; k++)
                sum += row[k]*m->step[k];
            x->left[j] = sum;
        }
        if (outputs > 1)
            rotate_slopes(x, p->slopes + sample*outputs*inputs, p->factors + sample*inputs, x->damping[sample]);
        x->falls[sample] = move_inputs(x, p, sample, x->left, &x->slope, &square);
        x->fall += x->falls[sample];
        for (size_t i = 0; i < inputs; i++)
            x->there.changes[sample*inputs + i] = p->changes[sample*inputs + i] + x->moves[i];
    }
    x->length = sqrt(square);
}

/* Makes the tried point that of the fit. */
INLINE void take_changes(errors_in_x *x)
{
    const point_with_errors here = x->here;
    x->here = x->there;
    x->there = here;
}

#endif
