/* Functions of the C library that GCC may call for whole vectors.

   Needs base.h. Gives sin, cos, pow and others under their usual names, as macros, if the C library has vector
   versions: glibc for x86-64, under names that are derived from the usual ones. Their error is up to 4 units in the
   last place, that of the usual functions 1 (https://sourceware.org/glibc/wiki/libmvec). The functions that the
   macros call have separate names, because GCC would otherwise combine sin(x) and cos(x) into one call that has no
   vector version. */

#ifndef NNCODEGEN_LIBRARY_H
#define NNCODEGEN_LIBRARY_H

#include "nncodegen/base/base.h"

#if !NN_SAME_BITS && defined(__GLIBC__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define IN_VECTORS(name) __asm__(name) __attribute__((const, simd("notinbranch")))
#define OF_ONE(function, name) extern real function(real) IN_VECTORS(name);
#define OF_TWO(function, name) extern real function(real, real) IN_VECTORS(name);

#if __GLIBC_PREREQ(2, 22)
#if NN_BITS == 64
OF_ONE(sin_in_vectors, "sin")
OF_ONE(cos_in_vectors, "cos")
OF_TWO(pow_in_vectors, "pow")
#define sin sin_in_vectors
#define cos cos_in_vectors
#define pow pow_in_vectors
#else
OF_ONE(sinf_in_vectors, "sinf")
OF_ONE(cosf_in_vectors, "cosf")
OF_TWO(powf_in_vectors, "powf")
#define sinf sinf_in_vectors
#define cosf cosf_in_vectors
#define powf powf_in_vectors
#endif
#endif

#if __GLIBC_PREREQ(2, 35)
#if NN_BITS == 64
OF_ONE(tan_in_vectors, "tan")
OF_ONE(asin_in_vectors, "asin")
OF_ONE(acos_in_vectors, "acos")
OF_ONE(atan_in_vectors, "atan")
OF_ONE(sinh_in_vectors, "sinh")
OF_ONE(cosh_in_vectors, "cosh")
OF_ONE(asinh_in_vectors, "asinh")
OF_ONE(acosh_in_vectors, "acosh")
OF_ONE(atanh_in_vectors, "atanh")
OF_ONE(exp2_in_vectors, "exp2")
OF_ONE(log2_in_vectors, "log2")
OF_ONE(log10_in_vectors, "log10")
OF_ONE(cbrt_in_vectors, "cbrt")
OF_TWO(atan2_in_vectors, "atan2")
OF_TWO(hypot_in_vectors, "hypot")
#define tan tan_in_vectors
#define asin asin_in_vectors
#define acos acos_in_vectors
#define atan atan_in_vectors
#define sinh sinh_in_vectors
#define cosh cosh_in_vectors
#define asinh asinh_in_vectors
#define acosh acosh_in_vectors
#define atanh atanh_in_vectors
#define exp2 exp2_in_vectors
#define log2 log2_in_vectors
#define log10 log10_in_vectors
#define cbrt cbrt_in_vectors
#define atan2 atan2_in_vectors
#define hypot hypot_in_vectors
#else
OF_ONE(tanf_in_vectors, "tanf")
OF_ONE(asinf_in_vectors, "asinf")
OF_ONE(acosf_in_vectors, "acosf")
OF_ONE(atanf_in_vectors, "atanf")
OF_ONE(sinhf_in_vectors, "sinhf")
OF_ONE(coshf_in_vectors, "coshf")
OF_ONE(asinhf_in_vectors, "asinhf")
OF_ONE(acoshf_in_vectors, "acoshf")
OF_ONE(atanhf_in_vectors, "atanhf")
OF_ONE(exp2f_in_vectors, "exp2f")
OF_ONE(log2f_in_vectors, "log2f")
OF_ONE(log10f_in_vectors, "log10f")
OF_ONE(cbrtf_in_vectors, "cbrtf")
OF_TWO(atan2f_in_vectors, "atan2f")
OF_TWO(hypotf_in_vectors, "hypotf")
#define tanf tanf_in_vectors
#define asinf asinf_in_vectors
#define acosf acosf_in_vectors
#define atanf atanf_in_vectors
#define sinhf sinhf_in_vectors
#define coshf coshf_in_vectors
#define asinhf asinhf_in_vectors
#define acoshf acoshf_in_vectors
#define atanhf atanhf_in_vectors
#define exp2f exp2f_in_vectors
#define log2f log2f_in_vectors
#define log10f log10f_in_vectors
#define cbrtf cbrtf_in_vectors
#define atan2f atan2f_in_vectors
#define hypotf hypotf_in_vectors
#endif
#endif
#endif

#endif
