/* Calls all functions of an export for CasADi, with arguments, results and work memory of just the right size. */
#include MODEL_H

#include <stdlib.h>

static size_t stored(const casadi_int *pattern)
{
    return (size_t) (pattern[2] ? pattern[0]*pattern[1] : pattern[2 + pattern[1]]);
}

static casadi_real *allocated(size_t count)
{
    casadi_real *values = malloc(count*sizeof(casadi_real));
    for (size_t k = 0; k < count; k++)
        values[k] = 0.25 + 0.125*(double) (k % 5);
    return values;
}

typedef int Evaluate(const casadi_real **, casadi_real **, casadi_int *, casadi_real *, int);
typedef int Work(casadi_int *, casadi_int *, casadi_int *, casadi_int *);
typedef const casadi_int *Sparsity(casadi_int);

static int run(Evaluate *evaluate, Work *work, Sparsity *sparsity_in, Sparsity *sparsity_out)
{
    casadi_int given = 0, found = 0, integers = 0, size = 0;
    work(&given, &found, &integers, &size);
    const casadi_real **arg = malloc((size_t) given*sizeof(casadi_real *));
    casadi_real **res = malloc((size_t) found*sizeof(casadi_real *)), *w = allocated((size_t) size);
    for (casadi_int k = 0; k < given; k++)
        arg[k] = allocated(stored(sparsity_in(k)));
    for (casadi_int k = 0; k < found; k++)
        res[k] = allocated(stored(sparsity_out(k)));
    const int failed = evaluate(arg, res, NULL, w, 0);
    for (casadi_int k = 0; k < given; k++)
        free((void *) arg[k]);
    for (casadi_int k = 0; k < found; k++)
        free(res[k]);
    free(arg);
    free(res);
    free(w);
    return failed;
}

#define RUN_NAMED(name) run(name, name##_work, name##_sparsity_in, name##_sparsity_out)
#define RUN(name) RUN_NAMED(name)
#define JOINED(a, b) a##b
#define WITH(prefix, name) JOINED(prefix, name)

int main(void)
{
    return RUN(MODEL) || RUN(WITH(jac_, MODEL)) || RUN(WITH(adj1_, MODEL)) || RUN(WITH(jac_adj1_, MODEL)) ||
        RUN(WITH(jac_jac_, MODEL));
}
