/* @MARK@. Do not edit: change the model and build it again. */

#include "@name@.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef @REAL@ real;

enum {
@CONSTANTS@
};

/* A sum in a loop that may be taken in any fixed order, where the compiler is told so. */
#if defined(NNCODEGEN_SIMD) && !defined(__clang__) /* Clang warns where it cannot follow */
#define PRAGMA(text) _Pragma(#text)
#define SUM_LOOP(variable) PRAGMA(omp simd reduction(+ : variable))
#else
#define SUM_LOOP(variable)
#endif

