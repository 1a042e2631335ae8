/* @MARK@. Do not edit: change the model and build it again. */

/* What makes a module of Python of the kernel, with the wrapper that is the same for every model, @WRAPPER@.pyx:
   the facts about the model, and the entry points. */

#include "@name@.h"

/* Names that are the same in every module are not seen outside of it. */
#define HIDDEN __attribute__((visibility("hidden")))
@MISSING@typedef struct {
@MEMBERS@
} @name@_entry_points;

extern HIDDEN const @name@_entry_points nncodegen_kernel;
extern HIDDEN const char *const nncodegen_facts[];
extern HIDDEN struct _object *PyInit_@WRAPPER@(void);
extern __attribute__((visibility("default"))) struct _object *PyInit_@name@(void);

const @name@_entry_points nncodegen_kernel = {
@INITIAL@
};

/* Python, in pieces of a length that every compiler takes. */
const char *const nncodegen_facts[] = {
@FACTS@
    NULL,
};

struct _object *PyInit_@name@(void)
{
    return PyInit_@WRAPPER@();
}
