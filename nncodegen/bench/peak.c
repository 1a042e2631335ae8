/* The peak of one core: fused multiply-adds in twelve independent chains, which is more than a core can have under
   way at once, and leaves room in sixteen registers. REAL is double or float. */

#include <stddef.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

typedef REAL vector __attribute__((vector_size(BYTES)));

/* Floating-point operations of one round. */
size_t operations(void)
{
    return 2 * 12 * BYTES / sizeof(REAL);
}

/* a = a*factor + term in each chain, so often; the sum of all, so that nothing is left out. */
double chains(size_t rounds, double factor, double term)
{
    const vector f = (vector){0} + (REAL)factor, t = (vector){0} + (REAL)term;
    vector a0 = t, a1 = t + 1, a2 = t + 2, a3 = t + 3, a4 = t + 4, a5 = t + 5;
    vector a6 = t + 6, a7 = t + 7, a8 = t + 8, a9 = t + 9, a10 = t + 10, a11 = t + 11;
    for (size_t i = 0; i < rounds; i++) {
        a0 = a0 * f + t, a1 = a1 * f + t, a2 = a2 * f + t, a3 = a3 * f + t;
        a4 = a4 * f + t, a5 = a5 * f + t, a6 = a6 * f + t, a7 = a7 * f + t;
        a8 = a8 * f + t, a9 = a9 * f + t, a10 = a10 * f + t, a11 = a11 * f + t;
    }
    const vector sum = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;
    double total = 0;
    for (size_t k = 0; k < BYTES / sizeof(REAL); k++)
        total += (double)sum[k];
    return total;
}
