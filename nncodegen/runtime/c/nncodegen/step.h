/* The steps of sequences, and their generation. The last line of NAME_step.c includes it.

   Needs kernel.h, the kernel step_kernel, and the sizes of a step (emit/stepwise.py). Gives all functions of steps that
   the header of the model declares. */

#ifndef NNCODEGEN_STEP_H
#define NNCODEGEN_STEP_H

#include "nncodegen/base/poll.h"

#define LIBM(function) function##_of
#include "nncodegen/predict/generate.h"

/* The tokens that are generated between two questions whether to stop. */
enum { BETWEEN_QUESTIONS = 64 };

void NN(step_sizes)(size_t *sizes)
{
    const size_t found[] = {STEP_TOKENS, STEP_POSITIONS, STEP_STATE, STEP_PROBABILITIES, STEP_RESULTS + STEP_WORK};
    memcpy(sizes, found, sizeof found);
}

void NN(one_step)(const real *parameters, const int32_t *tokens, size_t rows, real *states, real *probabilities,
    real *work)
{
    for (size_t n = 0; n < rows; n++) {
        step_forward(parameters, (size_t) tokens[n], states + n*STEP_STATE, work, work + STEP_RESULTS);
        memcpy(probabilities + n*STEP_PROBABILITIES, work, STEP_PROBABILITIES*sizeof(real));
    }
}

int NN(generate)(NN(generation) *run)
{
    real *const results = run->work, *const work = results + STEP_RESULTS;
    uint64_t random = begin_of_seed(run->seed) + run->row;
    memset(run->state, 0, STEP_STATE*sizeof(real));
    for (size_t n = 0; n < run->length; n++) {
        step_forward(run->parameters, (size_t) run->prompt[n], run->state, results, work);
        if (stopped(run->poll, (double) OPERATIONS))
            return 1;
    }
    for (run->count = 0; run->count < run->steps;) {
        const size_t rest = run->steps - run->count, count = rest < BETWEEN_QUESTIONS ? rest : BETWEEN_QUESTIONS;
        const size_t done = go_on(run->parameters, count, count < rest, (real) run->temperature, run->top_k, run->stop,
            &random, run->tokens + run->count, run->state, results, work);
        run->count += done;
        if (done < count)
            break;
        if (stopped(run->poll, (double) OPERATIONS*(double) count))
            return 1;
    }
    return 0;
}

#ifdef NNCODEGEN_APART
#define NN_PART NN_ENTRY_POINTS_FOR_STEP(NN_INITIAL)
#include "nncodegen/base/part.h"
#endif

#endif
