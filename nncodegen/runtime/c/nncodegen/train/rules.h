/* The loops of the update rules over all parameters, for a single model.

   Needs optimizers.h, and NN_OWN_RULES if a model has additional rules. Gives update, variables_of_state, and
   OWN_RULES, the initial value of the structure of additional rules (calls.h). */

#ifndef NNCODEGEN_RULES_H
#define NNCODEGEN_RULES_H

#include "nncodegen/base/calls.h"
#include "nncodegen/train/optimizers.h"

/* One update of the parameters first <= p < last by a rule: next contains their gradient at first, and their next
   values afterwards. Returns whether one of these is not finite. */
#define UPDATE(number, rule, variables, linear) \
    static HOT int update_##rule(size_t first, size_t last, const double *restrict options, double t, \
        const real *restrict parameters, real *restrict state, real *restrict next) \
    { \
        const rule##_numbers numbers = rule##_prepare(options, t); \
        const real learning_rate = (real) options[0]; \
        const size_t stride = PARAMETERS; \
        word check = 0; \
        for (size_t p = first; p < last; p++) { \
            next[p] = rule##_step(numbers, learning_rate, parameters[p], next[p], state + p, stride); \
            check |= beyond(next[p]); \
        } \
        return (int) (check >> FIRST_BIT); \
    }

#define CASE_OF_UPDATE(number, rule, variables, linear) \
    case number: \
        return update_##rule(first, last, options, t, parameters, state, next);

#define CASE_OF_VARIABLES(number, rule, variables, linear) \
    case number: \
        return variables;

#ifdef NNCODEGEN_LIBRARY
#define own_rules MODEL.rules
#else
#ifdef NN_OWN_RULES
NN_OWN_RULES(UPDATE)

static int own_update(int optimizer, size_t first, size_t last, const double *restrict options, double t,
    const real *restrict parameters, real *restrict state, real *restrict next)
{
    switch (optimizer) {
        NN_OWN_RULES(CASE_OF_UPDATE)
    }
    return 1;
}

static size_t own_variables(int optimizer)
{
    switch (optimizer) {
        NN_OWN_RULES(CASE_OF_VARIABLES)
    }
    return 0;
}

#define OWN_RULES {own_update, own_variables}
#else
#define OWN_RULES {NULL, NULL}
#endif
static UNUSED const rule_kernels own_rules = OWN_RULES;
#endif

#if defined(NNCODEGEN_LIBRARY) || !defined(NNCODEGEN_LINKED)
NN_RULES(UPDATE)

/* Does one update by the optimizer of the given number. */
static UNUSED int update(int optimizer, size_t first, size_t last, const double *restrict options, double t,
    const real *restrict parameters, real *restrict state, real *restrict next)
{
    switch (optimizer) {
        NN_RULES(CASE_OF_UPDATE)
    }
    return !own_rules.update || own_rules.update(optimizer, first, last, options, t, parameters, state, next);
}

/* Returns the number of values that an optimizer keeps for each parameter. */
static UNUSED size_t variables_of_state(int optimizer)
{
    switch (optimizer) {
        NN_RULES(CASE_OF_VARIABLES)
    }
    return own_rules.variables ? own_rules.variables(optimizer) : 0;
}
#endif

#endif
