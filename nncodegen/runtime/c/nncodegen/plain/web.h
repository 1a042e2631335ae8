/* A replacement for the library of mathematics in WebAssembly: its instructions, and the functions of JavaScript's
   Math, in double precision, of which a module imports those that it calls. */

#define UNUSED __attribute__((unused))
#define HOT UNUSED
#define HUGE_VALF __builtin_huge_valf()
#define HUGE_VAL __builtin_huge_val()
#define NAN __builtin_nanf("")
#define LIBM(function) function##_of
#define fabs(x) __builtin_fabs(x)
#define fabsf(x) __builtin_fabsf(x)
#define sqrt(x) __builtin_sqrt(x)
#define sqrtf(x) __builtin_sqrtf(x)
#define root_of(x) __builtin_sqrt(x)
#define copysign(x, sign) __builtin_copysign(x, sign)
#define copysignf(x, sign) __builtin_copysignf(x, sign)

#define MATH(name) __attribute__((import_module("Math"), import_name(#name)))
MATH(sin) double sin(double x);
MATH(cos) double cos(double x);
MATH(tan) double tan(double x);
MATH(asin) double asin(double x);
MATH(acos) double acos(double x);
MATH(atan) double atan(double x);
MATH(sinh) double sinh(double x);
MATH(cosh) double cosh(double x);
MATH(tanh) double tanh(double x);
MATH(asinh) double asinh(double x);
MATH(acosh) double acosh(double x);
MATH(atanh) double atanh(double x);
MATH(log2) double log2(double x);
MATH(log10) double log10(double x);
MATH(cbrt) double cbrt(double x);
MATH(atan2) double atan2(double y, double x);
MATH(hypot) double hypot(double x, double y);
MATH(pow) double pow_in_javascript(double x, double y);

/* As in C, 1 to any power is 1, and so is -1 to an infinite power; JavaScript gives NaN. */
INLINE double pow(double x, double y)
{
    return x == 1 || (x == -1 && fabs(y) == HUGE_VAL) ? 1 : pow_in_javascript(x, y);
}

INLINE double exp2(double x)
{
    return pow_in_javascript(2, x);
}

#define sinf(x) ((float) sin((double) (x)))
#define cosf(x) ((float) cos((double) (x)))
#define tanf(x) ((float) tan((double) (x)))
#define asinf(x) ((float) asin((double) (x)))
#define acosf(x) ((float) acos((double) (x)))
#define atanf(x) ((float) atan((double) (x)))
#define sinhf(x) ((float) sinh((double) (x)))
#define coshf(x) ((float) cosh((double) (x)))
#define tanhf(x) ((float) tanh((double) (x)))
#define asinhf(x) ((float) asinh((double) (x)))
#define acoshf(x) ((float) acosh((double) (x)))
#define atanhf(x) ((float) atanh((double) (x)))
#define log2f(x) ((float) log2((double) (x)))
#define log10f(x) ((float) log10((double) (x)))
#define cbrtf(x) ((float) cbrt((double) (x)))
#define exp2f(x) ((float) exp2((double) (x)))
#define atan2f(y, x) ((float) atan2((double) (y), (double) (x)))
#define hypotf(x, y) ((float) hypot((double) (x), (double) (y)))
#define powf(x, y) ((float) pow((double) (x), (double) (y)))
