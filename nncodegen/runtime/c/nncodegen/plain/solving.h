/* What the solvers of differential equations read of their headers' beginning: the bits of a number, and small
   functions. */
#if NN_BITS == 64
typedef uint64_t word;
#else
typedef uint32_t word;
#endif

INLINE real absolute(real value)
{
    return value < 0 ? -value : value;
}

INLINE double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Returns whether all values are finite. */
INLINE int all_finite(const real *values, size_t count)
{
    real sum = 0;
    for (size_t k = 0; k < count; k++)
        sum += values[k]*0;
    return sum == 0;
}
