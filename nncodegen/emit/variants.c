/* @MARK@. Do not edit: change the model and build it again. */

/* The kernel for several CPUs in one library. This file is compiled instead of the kernel's: once for each variant, with
   the options for its CPU and NNCODEGEN_VARIANT defined as its name, and once for the choice among them, with
   @WITH@ defined. */

#ifdef NNCODEGEN_VARIANT
#define NNCODEGEN_JOIN_EXPANDED(name, variant) name##_##variant
#define NNCODEGEN_JOIN(name, variant) NNCODEGEN_JOIN_EXPANDED(name, variant)
@RENAMED@
#include "@name@.c"
#else
#include "@name@.h"
#include <string.h>
#endif

/* The functions of a variant. */
typedef struct {
@MEMBERS@
} @name@_kernel;

#ifdef NNCODEGEN_VARIANT
extern const @name@_kernel NNCODEGEN_JOIN(@name@_kernel, NNCODEGEN_VARIANT);

const @name@_kernel NNCODEGEN_JOIN(@name@_kernel, NNCODEGEN_VARIANT) = {
@INITIAL@
};
#else
extern const @name@_kernel @KERNELS@;

static const @name@_kernel *chosen = &@name@_kernel_@PLAIN@;

int @name@_use(const char *variant)
{
    const @name@_kernel *found = NULL;
@CHOICES@
    if (strcmp(variant, @name@_kernel_@PLAIN@.variant()) == 0)
        found = &@name@_kernel_@PLAIN@;
    chosen = found ? found : chosen;
    return found != NULL;
}

@CALLS@
#endif
