/* Many models at once: a group of them side by side, in whole vectors. */
enum { MODELS = @MODELS@, GROUP_TILE = @SAMPLES@, VALUES = @VALUES@, GROUP_SUMS = @SUMS@ };
_Static_assert(TILE%GROUP_TILE == 0, "sums over a tile are sums over whole tiles of a group");

/* A loop over the models of a group, which do not depend on each other. */
#if defined(NNCODEGEN_SIMD) && !defined(__clang__)
#define MODELS_LOOP PRAGMA(omp simd)
#else
#define MODELS_LOOP
#endif

