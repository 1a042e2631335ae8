/* What the solvers of differential equations read of their headers' beginning: one lane, the bits of a number, and
   small functions. */
enum { LANES = 1, lanes = 1 };
#define OF_LANES
#define IN(number)
#ifdef __GNUC__
#define IN_LOOP INLINE __attribute__((always_inline))
#endif
#define ALIGNED
#define LANES_LOOP
#define LARGEST_LOOP(variable)
#define FEW_ROUNDS
#define INDEPENDENT
#define HOT
#define COLD
#define SHARED INLINE
#define NN(name) name

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
