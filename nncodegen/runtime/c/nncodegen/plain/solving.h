/* The solver of differential equations begins here. It solves samples in several lanes of vectors as well, but here
   there is one lane, and arrays over lanes have one value. The loop over steps is inline, so that it calls its parts
   directly. */
#ifdef __GNUC__
#define IN_LOOP INLINE __attribute__((always_inline))
#else
#define IN_LOOP INLINE
#endif

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

INLINE real root(real value)
{
    return (real) sqrt((double) value);
}
