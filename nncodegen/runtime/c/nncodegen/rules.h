/* The loops of the update rules over all parameters, for a single model.

   Needs optimizers.h, and NN_OWN_RULES if a model has additional rules. Gives update, variables_of_state, is_linear. */

#ifndef NNCODEGEN_RULES_H
#define NNCODEGEN_RULES_H

#include "optimizers.h"

#ifndef NN_OWN_RULES
#define NN_OWN_RULES(RULE)
#endif

/* Expands RULE(number, rule, variables, linear) for each rule. */
#define ALL_RULES(RULE) NN_RULES(RULE) NN_OWN_RULES(RULE)

/* One update of the parameters first <= p < last by a rule: next contains their gradient at first, and their next
   values afterwards. Returns whether one of these is not finite. */
#define UPDATE(number, rule, variables, linear) \
    static HOT int update_##rule(size_t first, size_t last, const double *restrict options, double t, \
        const real *restrict parameters, real *restrict state, real *restrict next) \
    { \
        const rule##_numbers numbers = rule##_prepare(options, t); \
        const real learning_rate = (real) options[0]; \
        word check = 0; \
        for (size_t p = first; p < last; p++) { \
            next[p] = rule##_step(numbers, learning_rate, parameters[p], next[p], state + p, PARAMETERS); \
            check |= beyond(next[p]); \
        } \
        return (int) (check >> FIRST_BIT); \
    }

ALL_RULES(UPDATE)

#define CASE_OF_UPDATE(number, rule, variables, linear) \
    case number: \
        return update_##rule(first, last, options, t, parameters, state, next);

/* Does one update by the optimizer of the given number. */
static UNUSED int update(int optimizer, size_t first, size_t last, const double *restrict options, double t,
    const real *restrict parameters, real *restrict state, real *restrict next)
{
    switch (optimizer) {
        ALL_RULES(CASE_OF_UPDATE)
    }
    return 1;
}

#define VARIABLES_OF_RULE(number, rule, variables, linear) variables,
#define LINEAR_RULE(number, rule, variables, linear) linear,

/* Returns the number of values that an optimizer keeps for each parameter. */
static UNUSED size_t variables_of_state(int optimizer)
{
    static const size_t variables[] = {ALL_RULES(VARIABLES_OF_RULE)};
    return variables[optimizer];
}

/* Returns whether the next parameter is a multiple of the current one plus a term: one that is not finite remains
   so. */
static UNUSED int is_linear(int optimizer)
{
    static const int linear[] = {ALL_RULES(LINEAR_RULE)};
    return linear[optimizer];
}

#endif
