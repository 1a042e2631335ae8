/* Losses that reduce the effect of outliers, those of scipy.optimize.least_squares, and how they change the rows of
   a least-squares problem.

   Needs base.h and the header of the model. Gives robust_terms. */

#ifndef NNCODEGEN_ROBUST_H
#define NNCODEGEN_ROBUST_H

#include "base.h"

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
        return (robust_loss) {log1p(z), 1/t, -1/(t*t)};
    return (robust_loss) {z, 1, 0};
}

/* Applies a loss to a residual. Adds its part to the cost, which is half the sum of scale^2 rho. Returns the factor
   of the row of the Jacobian, and changes the residual, so that with the resulting rows the cost has the gradient
   J^T residual, and approximately the Hessian J^T J (Triggs et al., Bundle Adjustment, 1999, section 4.3). The
   curvature of an outlier may be 0 or negative; then a hundredth of its slope is used instead, so that no residual
   becomes so large that the digits of the others are lost. */
INLINE double robust_terms(int kind, double scale, double *residual, double *cost)
{
    const double z = (*residual/scale)*(*residual/scale);
    const robust_loss rho = robust_loss_of(kind, z);
    const double curvature = rho.first + 2*rho.second*z, least = 0.01*rho.first;
    const double factor = sqrt(curvature < least ? least : curvature);
    *cost += 0.5*scale*scale*rho.value;
    *residual *= rho.first/factor;
    return factor;
}

#endif
