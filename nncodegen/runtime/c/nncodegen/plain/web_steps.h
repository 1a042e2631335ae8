/* The functions that JavaScript calls for sequences of tokens: one step, and the generation of tokens. JavaScript checks
   what it passes, and keeps the states.

   Needs web_rows.h, generate.h, STEP, the model's function, TOKENS, POSITIONS, STATE, PROBABILITIES and STEP_WORK. */

/* Does one step from a state, which is stored after the parameters; none is that before the first step. The results are
   the probabilities of the next token, and the next state. */
SMALL int step_token(real *result, size_t vectors, size_t parameters, size_t rows, size_t length, double token)
{
    real *const state = result + PROBABILITIES;
    if (vectors || parameters != PARAMETERS)
        return wrong(result, wrong_parameters);
    if (rows || (length && length != STATE))
        return wrong(result, MODEL ": a state is what a step has returned");
    if (!reserve(result, PROBABILITIES + STATE + STEP_WORK))
        return wrong(result, no_memory);
    for (size_t k = 0; k < STATE; k++)
        state[k] = length ? __heap_base[PARAMETERS + k] : 0;
    if (POSITIONS && !(state[1] < POSITIONS))
        return wrong(result, MODEL " has " NUMBER(POSITIONS) " positions, which the steps before have taken");
    STEP(__heap_base, (size_t) token, state, result, state + STATE);
    return PROBABILITIES + STATE;
}

/* Generates tokens after a prompt, which is stored after the parameters. */
SMALL int generate_tokens(real *result, size_t vectors, size_t parameters, size_t rows, size_t length, double steps,
    double temperature, double top_k, double stop, double seed, double row)
{
    const real *const prompt = __heap_base + PARAMETERS;
    if (vectors || parameters != PARAMETERS)
        return wrong(result, wrong_parameters);
    if (rows || !length)
        return wrong(result, MODEL ": a prompt is at least one token");
    if (POSITIONS && length + (steps > 1 ? steps - 1 : 0) > POSITIONS)
        return wrong(result, MODEL " has " NUMBER(POSITIONS) " positions: prompt and steps need more");
    if (!reserve(result, steps*(1 + 4.0/sizeof(real)) + 1 + STATE + STEP_WORK))
        return wrong(result, no_memory);
    real *const state = result + (size_t) steps, *const work = state + STATE;
    int32_t *const tokens = (int32_t *) (work + STEP_WORK);
    uint64_t random = begin_of_seed((uint64_t) seed) + (uint64_t) row;
    for (size_t k = 0; k < STATE; k++)
        state[k] = 0;
    for (size_t n = 0; n < length; n++)
        step_forward(__heap_base, (size_t) prompt[n], state, work, work + STEP_RESULTS);
    const size_t count = go_on(__heap_base, (size_t) steps, 0, (real) temperature, (size_t) top_k, (int32_t) stop,
        &random, tokens, state, work, work + STEP_RESULTS);
    for (size_t n = 0; n < count; n++)
        result[n] = (real) tokens[n];
    return (int) count;
}
