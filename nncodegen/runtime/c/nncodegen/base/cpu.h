/* The features of the CPU that runs this, as far as kernels for x86-64 may need them.

   Compilers have __builtin_cpu_supports for that, but the library that it needs differs: Zig's knows no CPU. (Intel 64
   and IA-32 Architectures Software Developer's Manual, volume 1, sections 14.3 and 15.2.)

   Needs nothing. Gives CPU_HAS(feature), where feature is avx2, fma, avx512f, avx512dq, avx512bw or avx512vl. */

#ifndef NNCODEGEN_CPU_H
#define NNCODEGEN_CPU_H

#define CPU_HAS(feature) cpu_has(CPU_##feature)

/* Bit numbers: in ebx of leaf 7; or, plus 32, in ecx of leaf 1. */
enum {
    CPU_avx2 = 5, CPU_avx512f = 16, CPU_avx512dq = 17, CPU_avx512bw = 30, CPU_avx512vl = 31, CPU_fma = 32 + 12,
    CPU_asks_system = 32 + 27 /* whether xgetbv tells which registers the system saves */
};

#if defined(__x86_64__)
#include <cpuid.h>

static __attribute__((unused)) int cpu_has(int feature)
{
    const unsigned vectors = 0x06, long_vectors = 0xE6; /* the register sets of AVX, and of AVX-512 */
    unsigned a, b, ignored, first = 0, seventh = 0, saved;
    __get_cpuid(1, &a, &b, &first, &ignored);
    __get_cpuid_count(7, 0, &a, &seventh, &b, &ignored);
    if (!(first >> (CPU_asks_system - 32) & 1))
        return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(ignored) : "c"(0));
    const unsigned needed = feature >= CPU_avx512f && feature <= CPU_avx512vl ? long_vectors : vectors;
    const unsigned found = feature < 32 ? seventh >> feature : first >> (feature - 32);
    return (saved & needed) == needed && (found & 1);
}
#else
static __attribute__((unused)) int cpu_has(int feature)
{
    (void) feature;
    return 0;
}
#endif

#endif
