/* Sums with a product, as their names say, which a compiler may round once. */
#define PLUS_TIMES(c, a, b) ((c) + (a)*(b))
#define MINUS_TIMES(c, a, b) ((c) - (a)*(b))
#define TIMES_PLUS(a, b, c) ((a)*(b) + (c))
#define TIMES_MINUS(a, b, c) ((a)*(b) - (c))
