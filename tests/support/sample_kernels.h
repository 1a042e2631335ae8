/* The loops of the sample model, written by hand as a compiler would write them, but one value at a time: what the
   headers of training are tested with.

       sum[j]    = sum(i) W[j, i]*x[i] + b[j]
       hidden[j] = tanh(sum[j])*(1 + noise[j])        with a tenth of all dropped, where there is noise
       output[j] = scale[j]*hidden[j]
       loss      = sum(j) (output[j] - target[j])^2/2

   The parameters are W[0, 0], W[0, 1], W[0, 2], W[1, 0], W[1, 1], W[1, 2], b[0], b[1], scale[0], scale[1]. */

#ifndef SAMPLE_KERNELS_H
#define SAMPLE_KERNELS_H

#include "nncodegen/train/metrics.h"
#include "nncodegen/math/random.h"

#define BIAS 6
#define SCALE 8
#define PLACE(j, i) ((j)*INPUTS + (i)) /* of a weight among the parameters */
#if NN_HAS_TRANSPOSED
#define TRAINED_PLACE(j, i) ((i)*OUTPUTS + (j)) /* of a weight in the loops of the gradient */
#else
#define TRAINED_PLACE PLACE
#endif

#define DROPPED UINT32_C(429496730) /* a tenth of all units */
#define SHARE_OF_KEPT ((real) (1/0.9 - 1)) /* what the others have more */

#if NN_HAS_NOISE
#define NOISE_OF(n, j) \
    dropout_noise(noise_of_layer(more->noise, 0), more->noise.scale, more->sample_numbers[n], j, DROPPED, SHARE_OF_KEPT)
#else
#define NOISE_OF(n, j) 0
#endif

INLINE real squashed(real sum)
{
    return (real) tanh((double) sum);
}

/* The outputs of one sample. */
INLINE void outputs_of(const real *parameters, const real *x, real *outputs)
{
    for (size_t j = 0; j < OUTPUTS; j++) {
        real sum = parameters[BIAS + j];
        for (size_t i = 0; i < INPUTS; i++)
            sum += parameters[PLACE(j, i)]*x[i];
        outputs[j] = parameters[SCALE + j]*squashed(sum);
    }
}

static UNUSED void predict_tile(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t count, real *work, real *outputs)
{
    for (size_t n = 0; n < count; n++)
        outputs_of(parameters, inputs + n*INPUTS, outputs + n*OUTPUTS);
    (void) targets;
    (void) weights;
    (void) work;
}

static UNUSED void predict_sample(const real *parameters, const real *inputs, real *work, real *outputs)
{
    outputs_of(parameters, inputs, outputs);
    (void) work;
}

/* What outputs in work add to the sums of the metrics. */
INLINE void add_metrics(int metrics, size_t count, const real *outputs, const real *targets, const real *counts,
    double *sums)
{
#if NN_HAS_METRICS
    measure(metrics, count, OUTPUTS, 0, outputs, OUTPUTS, 1, targets, TARGETS, 1, counts, sums);
#else
    (void) metrics, (void) count, (void) outputs, (void) targets, (void) counts, (void) sums;
#endif
}

static UNUSED void loss_tile(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t count, real *work, double *sums, int metrics, const real *counts)
{
    real loss = 0;
    for (size_t n = 0; n < count; n++) {
        real *const outputs = work + n*OUTPUTS;
        outputs_of(parameters, inputs + n*INPUTS, outputs);
        for (size_t j = 0; j < OUTPUTS; j++) {
            const real error = outputs[j] - targets[n*TARGETS + j];
            loss += weights[n]*error*error/2;
        }
    }
    sums[0] += (double) loss;
    add_metrics(metrics, count, work, targets, counts, sums + SUMS);
}

/* The rows of a companion, of which the headers of companions need a kernel: here they hold the outputs alone. */
static UNUSED void jacobian_tile(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t count, real *work, real *outputs)
{
    for (size_t n = 0; n < count; n++)
        outputs_of(parameters, inputs + n*INPUTS, outputs + n*OUTPUTS);
    (void) targets, (void) weights, (void) work;
}

/* The derivatives of the loss of one sample by one unit: its output, by its sum (times weight), by its scale. */
typedef struct {
    real output, by_sum, by_scale, loss;
} unit;

INLINE unit derive_unit(real sum, real scale, real target, real weight, real noise)
{
    const real squash = squashed(sum), hidden = squash*(1 + noise), output = scale*hidden, error = output - target;
    return (unit) {output, weight*error*scale*(1 + noise)*(1 - squash*squash), weight*error*hidden,
        weight*error*error/2};
}

INLINE real trained_sum(const real *parameters, const real *x, size_t j)
{
    real sum = parameters[BIAS + j];
    for (size_t i = 0; i < INPUTS; i++)
        sum += parameters[TRAINED_PLACE(j, i)]*x[i];
    return sum;
}

/* Sets a sum to a value, or adds ``more`` times the value to it. */
INLINE void put(real *to, real value, real more)
{
    *to = more != 0 ? *to + more*value : value;
}

static UNUSED void gradient_tile(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t count, real *work, int with_loss, int alone, real scale, double *sums, real *whole, real *partials,
    int metrics, const real *counts,
    const details *restrict more)
{
    (void) more;
    real loss = 0, d[PARAMETERS] = {0};
    for (size_t n = 0; n < count; n++) {
        const real *const x = inputs + n*INPUTS;
        for (size_t j = 0; j < OUTPUTS; j++) {
            const unit u = derive_unit(trained_sum(parameters, x, j), parameters[SCALE + j], targets[n*TARGETS + j],
                weights[n], NOISE_OF(n, j));
            work[n*OUTPUTS + j] = u.output;
            loss += u.loss;
            for (size_t i = 0; i < INPUTS; i++)
                d[TRAINED_PLACE(j, i)] += u.by_sum*x[i];
            d[BIAS + j] += u.by_sum;
            d[SCALE + j] += u.by_scale;
        }
    }
    if (with_loss)
        sums[0] += (double) loss;
    sums[1] += (double) d[SCALE];
    sums[2] += (double) d[SCALE + 1];
    for (size_t p = 0; p < SCALE; p++)
        put(whole + p, d[p], scale);
    add_metrics(metrics, count, work, targets, counts, sums + SUMS);
    (void) alone;
    (void) partials;
}

static UNUSED void gradient_finish(const real *parameters, const double *sums, const real *whole, real *work,
    real *gradient)
{
    gradient[SCALE] = (real) sums[1];
    gradient[SCALE + 1] = (real) sums[2];
    (void) parameters;
    (void) whole;
    (void) work;
}

/* The derivatives of one sample, those by scales as well where the gradient is. */
static UNUSED void gradient_sample(const real *parameters, const real *inputs, const real *targets, real weight,
    real *work, int with_loss, real scale, double *sums, real *whole, int metrics, const real *counts,
    const details *restrict more)
{
    (void) more;
    unit u[OUTPUTS];
    for (size_t j = 0; j < OUTPUTS; j++) {
        u[j] = derive_unit(trained_sum(parameters, inputs, j), parameters[SCALE + j], targets[j], weight,
            NOISE_OF(0, j));
        work[j] = u[j].output;
    }
    for (size_t j = 0; j < OUTPUTS; j++) {
        if (with_loss)
            sums[0] += (double) u[j].loss;
        for (size_t i = 0; i < INPUTS; i++)
            put(whole + TRAINED_PLACE(j, i), u[j].by_sum*inputs[i], scale);
        put(whole + BIAS + j, u[j].by_sum, scale);
        put(whole + SCALE + j, u[j].by_scale, scale);
    }
    add_metrics(metrics, 1, work, targets, counts, sums + SUMS);
}

/* What keeps the parameters in registers, where it does. */
typedef struct {
    real w[PARAMETERS];
} __attribute__((may_alias)) point;

static UNUSED real next_point(const point *w, const real *inputs, const real *targets, const double *options,
    point *next, real *outputs, real *not_finite)
{
    const real learning_rate = (real) options[0];
    real loss = 0;
    *not_finite = 0;
    *next = *w;
    for (size_t j = 0; j < OUTPUTS; j++) {
        real sum = w->w[BIAS + j];
        for (size_t i = 0; i < INPUTS; i++)
            sum += w->w[PLACE(j, i)]*inputs[i];
        const unit u = derive_unit(sum, w->w[SCALE + j], targets[j], 1, 0);
        outputs[j] = u.output;
        loss += u.loss;
        for (size_t i = 0; i < INPUTS; i++)
            next->w[PLACE(j, i)] -= learning_rate*u.by_sum*inputs[i];
        next->w[BIAS + j] -= learning_rate*u.by_sum;
        next->w[SCALE + j] -= learning_rate*u.by_scale;
    }
    for (size_t p = 0; p < PARAMETERS; p++)
        *not_finite += next->w[p]*0;
    return loss;
}

/* One parameter after the other, each with the gradient at what those before it have become. */
static UNUSED real update_sequentially(const point *w, const real *inputs, const real *targets, const double *options,
    point *next, real *outputs, real *not_finite)
{
    real first = 0;
    *next = *w;
    for (size_t p = 0; p < PARAMETERS; p++) {
        point all;
        real seen[OUTPUTS], unused;
        const real loss = next_point(next, inputs, targets, options, &all, seen, &unused);
        for (size_t j = 0; j < OUTPUTS && p == 0; j++)
            outputs[j] = seen[j];
        first = p == 0 ? loss : first;
        next->w[p] = all.w[p];
    }
    *not_finite = 0;
    for (size_t p = 0; p < PARAMETERS; p++)
        *not_finite += next->w[p]*0;
    return first;
}

static UNUSED double largest_change(const point *w, const point *next)
{
    double largest = 0;
    for (size_t p = 0; p < PARAMETERS; p++)
        largest = larger(largest, fabs((double) (next->w[p] - w->w[p])));
    return largest;
}

static UNUSED void store_point(const point *w, volatile real *parameters)
{
    for (size_t p = 0; p < PARAMETERS; p++)
        parameters[p] = w->w[p];
}

#if NN_HAS_MANY
#include "nncodegen/products/group.h"

/* The derivatives of up to GROUP_TILE samples of each model: the loss first among the sums. */
static UNUSED void group_gradient(int more, int with_loss, const real *parameters, const real *x, const real *y,
    real weight, size_t count, real *values, real *sums)
{
    real *const d = sums + MODELS;
    for (size_t m = 0; m < MODELS; m++) {
        sums[m] = more || !with_loss ? sums[m] : 0;
        for (size_t p = 0; p < PARAMETERS && !more; p++)
            d[p*MODELS + m] = 0;
    }
    for (size_t n = 0; n < count; n++) {
        for (size_t j = 0; j < OUTPUTS; j++) {
            for (size_t m = 0; m < MODELS; m++) {
                real sum = parameters[(BIAS + j)*MODELS + m];
                for (size_t i = 0; i < INPUTS; i++)
                    sum += parameters[PLACE(j, i)*MODELS + m]*x[(n*INPUTS + i)*MODELS + m];
                const unit u = derive_unit(sum, parameters[(SCALE + j)*MODELS + m], y[(n*TARGETS + j)*MODELS + m],
                    weight, 0);
                if (with_loss)
                    sums[m] += u.loss;
                for (size_t i = 0; i < INPUTS; i++)
                    d[PLACE(j, i)*MODELS + m] += u.by_sum*x[(n*INPUTS + i)*MODELS + m];
                d[(BIAS + j)*MODELS + m] += u.by_sum;
                d[(SCALE + j)*MODELS + m] += u.by_scale;
            }
        }
    }
    (void) values;
}
#endif

/* One step of a sequence: the probabilities of two tokens, a value that is carried on, and a row of two values. */
enum { STEP_TOKENS = 2, STEP_PROBABILITIES = 2, STEP_CARRIED = 1, STEP_ARRAYS = 1, STEP_POSITIONS = 4, STEP_STATE = 11,
    STEP_RESULTS = 5, STEP_WORK = 0 };
static const size_t step_rows[STEP_ARRAYS] = {2};
#define LIBM(function) function##_of

static UNUSED void step_kernel(const real *p, const real *inputs, size_t rows, real *outputs, real *work)
{
    (void) work;
    outputs[0] = p[0]/(p[0] + inputs[2] + (real) rows);
    outputs[1] = 1 - outputs[0];
    outputs[2] = outputs[3] = outputs[4] = inputs[0];
}

/* The outputs of one sample of each fit, and the derivatives of their sum, each output times its seed. */
static UNUSED void group_rows(const real *parameters, const real *x, const real *seeds, real *values, real *rows)
{
    for (size_t m = 0; m < NN_FITS; m++) {
        real *const derivatives = rows + OUTPUTS*NN_FITS + m;
        for (size_t j = 0; j < OUTPUTS; j++) {
            const real scale = parameters[(SCALE + j)*NN_FITS + m], seed = seeds[j*NN_FITS + m];
            real sum = parameters[(BIAS + j)*NN_FITS + m];
            for (size_t i = 0; i < INPUTS; i++)
                sum += parameters[PLACE(j, i)*NN_FITS + m]*x[i*NN_FITS + m];
            const real squash = squashed(sum), by_sum = seed*scale*(1 - squash*squash);
            rows[j*NN_FITS + m] = scale*squash;
            for (size_t i = 0; i < INPUTS; i++)
                derivatives[PLACE(j, i)*NN_FITS] = by_sum*x[i*NN_FITS + m];
            derivatives[(BIAS + j)*NN_FITS] = by_sum;
            derivatives[(SCALE + j)*NN_FITS] = seed*squash;
        }
    }
    (void) values;
}

#endif
