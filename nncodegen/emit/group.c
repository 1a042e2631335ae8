/* Many models at once: a group of them side by side, in whole vectors. */
enum { MODELS = @MODELS@, GROUP_TILE = @SAMPLES@, VALUES = @VALUES@, GROUP_SUMS = @SUMS@ };

/* A loop over the models of a group, which do not depend on each other. */
#if defined(NNCODEGEN_SIMD) && !defined(__clang__)
#define MODELS_LOOP PRAGMA(omp simd)
#else
#define MODELS_LOOP
#endif

