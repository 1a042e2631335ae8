/* The functions that loops call, in the precision of the model.

   Needs NN_BITS. Gives what functions64.h or functions32.h gives. */

#if NN_BITS == 64
#include "functions64.h"
#else
#include "functions32.h"
#endif
