/* Generates sequences of tokens.

   The kernel step_kernel computes one step from a state: the last token, the number of its position, what the step before
   carries on, and the rows that are kept of all positions before. It gives STEP_PROBABILITIES probabilities of the next
   token, STEP_CARRIED values to carry on, and a row for each of STEP_ARRAYS arrays, of the lengths step_rows.

   Needs base.h, step_kernel and these sizes, and LIBM(exp) and LIBM(log), functions of a real. Gives step_forward,
   choose_token, begin_of_seed and go_on. */

#ifndef NNCODEGEN_GENERATE_H
#define NNCODEGEN_GENERATE_H

#include "nncodegen/base/base.h"

/* Does one step, at a token, and changes the state to that after it. The results begin with the probabilities of the
   next token. */
static UNUSED void step_forward(const real *parameters, size_t token, real *state, real *results, real *work)
{
    const size_t position = (size_t) state[1], carried = STEP_CARRIED, arrays = STEP_ARRAYS;
    state[0] = (real) token;
    step_kernel(parameters, state, position, results, work);
    const real *next = results + STEP_PROBABILITIES;
    real *kept = state + 2;
    for (size_t k = 0; k < carried; k++)
        *kept++ = *next++;
    for (size_t a = 0; a < arrays; a++) {
        for (size_t k = 0; k < step_rows[a]; k++)
            kept[position*step_rows[a] + k] = *next++;
        kept += STEP_POSITIONS*step_rows[a];
    }
    state[1] += 1;
}

/* The random numbers of a seed begin here: a finalizer of SplitMix64 (Steele, Lea and Flood, 2014). */
static UNUSED uint64_t begin_of_seed(uint64_t z)
{
    z = (z ^ z >> 30)*UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27)*UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* A random number from 0 to below 1: the first bits of SplitMix64, as many as a real holds. */
static UNUSED real next_fraction(uint64_t *random)
{
    *random += UINT64_C(0x9E3779B97F4A7C15);
    const uint64_t z = begin_of_seed(*random);
    if (sizeof(real) == 4)
        return (real) (uint32_t) (z >> 40)*(real) 5.9604644775390625e-8;
    return (real) (z >> 11)*(real) 1.1102230246251565e-16;
}

/* Chooses a token by the probabilities, whose place is then free: of the top_k most probable ones (0: of all), each with
   a probability to the power of 1/temperature; at the temperature 0, the most probable one. Of equal ones, the first
   count as more probable. */
static UNUSED size_t choose_token(real *probabilities, real temperature, size_t top_k, uint64_t *random)
{
    size_t best = 0;
    for (size_t k = 1; k < STEP_PROBABILITIES; k++)
        if (probabilities[k] > probabilities[best])
            best = k;
    if (!(temperature > 0) || top_k == 1)
        return best;
    const real largest = probabilities[best];
    if (top_k > 0 && top_k < STEP_PROBABILITIES) {
        real bound = 2, value = 0; /* the values from bound on have been counted; the next smaller one */
        size_t equal = 0, rest = top_k;
        while (rest > equal) {
            rest -= equal;
            value = -1, equal = 0;
            for (size_t k = 0; k < STEP_PROBABILITIES; k++) {
                if (probabilities[k] < bound && probabilities[k] > value)
                    value = probabilities[k], equal = 0;
                equal += probabilities[k] == value;
            }
            bound = value;
        }
        for (size_t k = 0; k < STEP_PROBABILITIES; k++) {
            if (probabilities[k] < value || (probabilities[k] == value && rest == 0))
                probabilities[k] = 0;
            else if (probabilities[k] == value)
                rest--;
        }
    }
    if (temperature < 1 || temperature > 1) {
        const real inverse = 1/temperature;
        for (size_t k = 0; k < STEP_PROBABILITIES; k++) {
            const real share = probabilities[k]/largest;
            probabilities[k] = share > 0 ? LIBM(exp)(LIBM(log)(share)*inverse) : 0;
        }
    }
    real total = 0;
    for (size_t k = 0; k < STEP_PROBABILITIES; k++)
        total += probabilities[k];
    real left = next_fraction(random)*total;
    for (size_t k = 0; k < STEP_PROBABILITIES; k++) {
        if (left < probabilities[k])
            return k;
        left -= probabilities[k];
    }
    return best; /* by rounding, or as the probabilities are no numbers */
}

/* Goes on after a step, whose results are given: chooses count tokens, or fewer if it chooses stop, which is not one of
   them; does the steps of all of them but of the last, whose step is done only if the sequence goes on. Returns the
   number of tokens, which is below count only after stop. */
static UNUSED size_t go_on(const real *parameters, size_t count, int goes_on, real temperature, size_t top_k, int32_t stop,
    uint64_t *random, int32_t *tokens, real *state, real *results, real *work)
{
    for (size_t n = 0; n < count; n++) {
        const size_t token = choose_token(results, temperature, top_k, random);
        if (stop >= 0 && token == (size_t) stop)
            return n;
        tokens[n] = (int32_t) token;
        if (goes_on || n + 1 < count)
            step_forward(parameters, token, state, results, work);
    }
    return count;
}

#endif
