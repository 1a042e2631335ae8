/* The shipped perceptron, trained as one would write it by hand in C: the gradient derived on paper, every value in a
   local variable, exp from libm.

   REAL is double or float, EXP the exponential for it. Parameters lie in the order w0 w13 w14 w23 w24 w35 w45. */

#include <math.h>
#include <stddef.h>

static inline REAL logistic(REAL z)
{
    return 1 / (1 + EXP(-z));
}

/* Gradient descent on one sample: all parameters change at once. */
void simultaneous(REAL *p, const REAL *x, REAL y, REAL rate, size_t iterations)
{
    const REAL x1 = x[0], x2 = x[1];
    REAL w0 = p[0], w13 = p[1], w14 = p[2], w23 = p[3], w24 = p[4], w35 = p[5], w45 = p[6];
    for (size_t i = 0; i < iterations; i++) {
        const REAL bias = 2 * w0;
        const REAL f3 = logistic(w13 * x1 + w23 * x2 + bias);
        const REAL f4 = logistic(w14 * x1 + w24 * x2 + bias);
        const REAL f5 = logistic(w35 * f3 + w45 * f4 + bias);
        const REAL d5 = f5 - y;
        const REAL d3 = d5 * w35 * f3 * (1 - f3);
        const REAL d4 = d5 * w45 * f4 * (1 - f4);
        w0 -= rate * 2 * (d3 + d4 + d5);
        w13 -= rate * d3 * x1;
        w14 -= rate * d4 * x1;
        w23 -= rate * d3 * x2;
        w24 -= rate * d4 * x2;
        w35 -= rate * d5 * f3;
        w45 -= rate * d5 * f4;
    }
    p[0] = w0, p[1] = w13, p[2] = w14, p[3] = w23, p[4] = w24, p[5] = w35, p[6] = w45;
}

/* One parameter after the other: only the neurons that the last change has reached are computed again. */
void sequential(REAL *p, const REAL *x, REAL y, REAL rate, size_t iterations)
{
    const REAL x1 = x[0], x2 = x[1];
    REAL w0 = p[0], w13 = p[1], w14 = p[2], w23 = p[3], w24 = p[4], w35 = p[5], w45 = p[6];
    REAL f3 = logistic(w13 * x1 + w23 * x2 + 2 * w0);
    REAL f4 = logistic(w14 * x1 + w24 * x2 + 2 * w0);
    REAL f5 = logistic(w35 * f3 + w45 * f4 + 2 * w0);
    for (size_t i = 0; i < iterations; i++) {
        w0 -= rate * 2 * (f5 - y) * (w35 * f3 * (1 - f3) + w45 * f4 * (1 - f4) + 1);
        f3 = logistic(w13 * x1 + w23 * x2 + 2 * w0);
        f4 = logistic(w14 * x1 + w24 * x2 + 2 * w0);
        f5 = logistic(w35 * f3 + w45 * f4 + 2 * w0);
        w13 -= rate * (f5 - y) * w35 * f3 * (1 - f3) * x1;
        f3 = logistic(w13 * x1 + w23 * x2 + 2 * w0);
        f5 = logistic(w35 * f3 + w45 * f4 + 2 * w0);
        w14 -= rate * (f5 - y) * w45 * f4 * (1 - f4) * x1;
        f4 = logistic(w14 * x1 + w24 * x2 + 2 * w0);
        f5 = logistic(w35 * f3 + w45 * f4 + 2 * w0);
        w23 -= rate * (f5 - y) * w35 * f3 * (1 - f3) * x2;
        f3 = logistic(w13 * x1 + w23 * x2 + 2 * w0);
        f5 = logistic(w35 * f3 + w45 * f4 + 2 * w0);
        w24 -= rate * (f5 - y) * w45 * f4 * (1 - f4) * x2;
        f4 = logistic(w14 * x1 + w24 * x2 + 2 * w0);
        f5 = logistic(w35 * f3 + w45 * f4 + 2 * w0);
        w35 -= rate * (f5 - y) * f3;
        f5 = logistic(w35 * f3 + w45 * f4 + 2 * w0);
        w45 -= rate * (f5 - y) * f4;
        f5 = logistic(w35 * f3 + w45 * f4 + 2 * w0);
    }
    p[0] = w0, p[1] = w13, p[2] = w14, p[3] = w23, p[4] = w24, p[5] = w35, p[6] = w45;
}

/* Many models, of shape (models, 7), one after the other. */
void ensemble(REAL *p, size_t models, const REAL *x, REAL y, REAL rate, size_t iterations)
{
    for (size_t m = 0; m < models; m++)
        simultaneous(p + 7 * m, x, y, rate, iterations);
}
