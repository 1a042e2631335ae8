/* Vectors of at most four doubles: of eight, for CPUs with AVX-512, GCC 12 to 14 put some into a wrong order. */

#if defined(__GNUC__) && !defined(__clang__) && defined(__AVX512F__)
#pragma GCC target("prefer-vector-width=256")
#endif
