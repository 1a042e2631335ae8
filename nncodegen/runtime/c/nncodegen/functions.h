/* The functions that loops call, in the precision of the model. */

#if NN_BITS == 64
#include "functions64.h"
#else
#include "functions32.h"
#endif
