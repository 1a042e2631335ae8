/* Losses that reduce the effect of outliers, those of scipy.optimize.least_squares, and how they change the rows of
   a least-squares problem.

   Needs base.h and the header of the model. Gives add_robust. */

#ifndef NNCODEGEN_ROBUST_H
#define NNCODEGEN_ROBUST_H

#include "nncodegen/base/base.h"

/* A loss rho(z) of z = (residual/scale)^2, and its first two derivatives. */
typedef struct {
    double value, first, second;
} robust_loss;

INLINE robust_loss robust_loss_of(int kind, double z)
{
    if (kind == NN(HUBER)) {
        const double root = sqrt(z);
        return z <= 1 ? (robust_loss) {z, 1, 0} : (robust_loss) {2*root - 1, 1/root, -0.5/(z*root)};
    }
    const double t = 1 + z, root = sqrt(t);
    if (kind == NN(SOFT_L1))
        return (robust_loss) {2*(z/(root + 1)), 1/root, -0.5/(t*root)};
    if (kind == NN(CAUCHY))
        return (robust_loss) {same_log1p(z), 1/t, -1/(t*t)};
    return (robust_loss) {z, 1, 0};
}

/* Applies a loss to residuals. Adds the part of each to a cost of its own, which is half of scale^2 rho. Multiplies the
   factors of the rows of the Jacobian, and changes the residuals, so that with the resulting rows the cost has the
   gradient J^T residual, and approximately the Hessian J^T J (Triggs et al., Bundle Adjustment, 1999, section 4.3). The
   curvature of an outlier may be 0 or negative; then a hundredth of its slope is used instead, so that no residual
   becomes so large that the digits of the others are lost. */
INLINE void add_terms(const int kind, double scale, size_t count, double *restrict residuals, double *restrict factors,
    double *restrict costs)
{
    for (size_t n = 0; n < count; n++) {
        const double residual = residuals[n], z = (residual/scale)*(residual/scale);
        const robust_loss rho = robust_loss_of(kind, z);
        const double curvature = rho.first + 2*rho.second*z, least = 0.01*rho.first;
        const double factor = sqrt(curvature < least ? least : curvature);
        costs[n] += 0.5*scale*scale*rho.value;
        residuals[n] = residual*(rho.first/factor);
        factors[n] *= factor;
    }
}

/* Applies one of the losses, each of which has a loop of its own, in vectors. */
static HOT void add_robust(int kind, double scale, size_t count, double *residuals, double *factors, double *costs)
{
    switch (kind) {
    case NN(HUBER): add_terms(NN(HUBER), scale, count, residuals, factors, costs); break;
    case NN(SOFT_L1): add_terms(NN(SOFT_L1), scale, count, residuals, factors, costs); break;
    case NN(CAUCHY): add_terms(NN(CAUCHY), scale, count, residuals, factors, costs); break;
    default: add_terms(NN(LINEAR), scale, count, residuals, factors, costs);
    }
}

#endif
