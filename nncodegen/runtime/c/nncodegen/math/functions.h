/* The functions that loops call, in the precision of the model.

   Needs NN_BITS. Gives what functions64.h or functions32.h gives; where the bits of results must not depend on the CPU
   and the compiler, with products and sums that are fused by the text (fused64.h, fused32.h), and powers (powers.h). */

#include "nncodegen/base/same_bits.h"

#if NN_SAME_BITS && NN_BITS == 64
#include "nncodegen/math/fused64.h"
#elif NN_SAME_BITS
#include "nncodegen/math/fused32.h"
#elif NN_BITS == 64
#include "nncodegen/math/functions64.h"
#else
#include "nncodegen/math/functions32.h"
#endif

#if NN_SAME_BITS
#include "nncodegen/math/powers.h"
#endif
