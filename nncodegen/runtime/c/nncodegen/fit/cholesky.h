/* Systems of equations with a symmetric positive matrix, one system in each lane: factors without square roots,
   solutions, the inverse.

   Needs fits_lanes.h. Gives factor, solve_factored, invert.

   A = L*D*L' with ones on the diagonal of L. Setting the inverse of a pivot to 0 removes a variable from the system:
   its column of L is then 0, and so is its value in the solution. */

#ifndef NNCODEGEN_CHOLESKY_H
#define NNCODEGEN_CHOLESKY_H

#include "nncodegen/fit/fits_lanes.h"

/* Replaces a triangle, stored by rows, by L, and computes the inverses of D. A variable is removed from the system if
   it is not free, or if its pivot has lost all digits: almost nothing is left of the diagonal. row has room for
   PARAMETERS vectors. Returns the number of variables in each lane that remain. */
INLINE vector factor(real *restrict triangle, const words *free, real *restrict inverses, real *restrict row)
{
    const real lost = (PARAMETERS + 2)*EPSILON;
    vector rank = {0};
    FEW_ROUNDS
    for (size_t i = 0; i < PARAMETERS; i++) {
        const vector diagonal = get(triangle, place_of(i, i));
        vector pivot = diagonal;
        FEW_ROUNDS
        for (size_t j = 0; j < i; j++) {
            vector sum = get(triangle, place_of(i, j));
            FEW_ROUNDS
            for (size_t k = 0; k < j; k++)
                sum -= get(row, k)*get(triangle, place_of(j, k));
            const vector scaled = sum*get(inverses, j);
            *at(row, j) = sum;
            *at(triangle, place_of(i, j)) = scaled;
            pivot -= sum*scaled;
        }
        words stays = (words) (pivot > lost*diagonal);
        if (free)
            stays &= free[i];
        const vector one = (vector) {0} + 1, inverse = where(stays, one/pivot, (vector) {0});
        *at(inverses, i) = inverse;
        rank += where(stays, one, (vector) {0});
    }
    return rank;
}

/* Replaces b by the solution of A*x = b. */
INLINE void solve_factored(const real *restrict triangle, const real *restrict inverses, real *restrict b)
{
    FEW_ROUNDS
    for (size_t i = 0; i < PARAMETERS; i++) {
        vector sum = get(b, i);
        FEW_ROUNDS
        for (size_t k = 0; k < i; k++)
            sum -= get(triangle, place_of(i, k))*get(b, k);
        *at(b, i) = sum;
    }
    FEW_ROUNDS
    for (size_t i = PARAMETERS; i-- > 0;) {
        vector sum = get(b, i)*get(inverses, i);
        FEW_ROUNDS
        for (size_t k = i + 1; k < PARAMETERS; k++)
            sum -= get(triangle, place_of(k, i))*get(b, k);
        *at(b, i) = sum;
    }
}

/* Computes the inverse of A as a triangle, stored by rows; x has room for PARAMETERS vectors. The entries of variables
   that were removed from the system are 0. */
INLINE void invert(const real *restrict triangle, const real *restrict inverses, real *restrict x,
    real *restrict inverse)
{
    for (size_t j = 0; j < PARAMETERS; j++) {
        for (size_t i = 0; i < PARAMETERS; i++)
            *at(x, i) = (vector) {0} + (real) (i == j);
        solve_factored(triangle, inverses, x);
        for (size_t i = j; i < PARAMETERS; i++)
            *at(inverse, place_of(i, j)) = get(x, i);
    }
}

#endif
