/* The linear equations of implicit steps, for Python: counts are size_t, other numbers those of the precision. */

#include "sample.h"

#include "nncodegen/solve/rosenbrock.h"

size_t most_lanes(void)
{
    return LANES;
}

/* Replaces b, the right-hand sides in all lanes, by the solutions of (shift - J) x = b. */
INLINE void solve_lanes(size_t lanes, size_t n, const real *jacobian, const real *shift, real *b, real *matrix,
    real *pivots)
{
    implicit_steps steps = { .matrix = matrix, .pivots = pivots };
    if (lanes == 1)
        factorize(n, jacobian, shift[0], matrix, pivots);
    else
        steps.swapped = factorize_lanes(IN(lanes) n, shift, jacobian, matrix, pivots);
    solve_block(IN(lanes) n, &steps, b);
}

/* The same in one lane, in the fewest of several, and in the most. */
void solve_equations(size_t lanes, size_t n, const real *jacobian, const real *shift, real *b, real *matrix,
    real *pivots)
{
    if (lanes == 1)
        solve_lanes(1, n, jacobian, shift, b, matrix, pivots);
    else if (lanes == NARROW)
        solve_lanes(NARROW, n, jacobian, shift, b, matrix, pivots);
    else
        solve_lanes(LANES, n, jacobian, shift, b, matrix, pivots);
}
