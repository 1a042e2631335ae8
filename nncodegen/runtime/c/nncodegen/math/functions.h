/* The functions that loops call, in the precision of the model.

   Needs NN_BITS. Gives what functions64.h or functions32.h gives, and powers (powers.h) where the bits of results must
   not depend on the CPU and the compiler. */

#include "nncodegen/base/same_bits.h"

#if NN_BITS == 64
#include "nncodegen/math/functions64.h"
#else
#include "nncodegen/math/functions32.h"
#endif

#if NN_SAME_BITS
#include "nncodegen/math/powers.h"
#endif
