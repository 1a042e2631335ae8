/* What JavaScript calls to train a model: an order of the samples, and the gradient of a batch of them.

   Needs real, PARAMETERS, INPUTS, TARGETS, and ADD_GRADIENT, the function of the model that does so. */

/* A random order of the samples, from the state of a generator, which is changed. */
void order_samples(size_t *order, size_t samples, uint64_t *random)
{
    shuffle(order, samples, random);
}

/* The mean loss of samples, which are given by their numbers, and its gradient. Noise depends on seed and update. */
real batch_gradient(const real *parameters, size_t samples, const size_t *order, const real *inputs,
    const real *targets, real *gradient, double seed, double update, real *work)
{
    const uint64_t noise = (uint64_t) seed*UINT64_C(0xD1342543DE82EF95) + ((uint64_t) update << 32);
    real loss = 0;
    (void) noise;
    for (size_t p = 0; p < PARAMETERS; p++)
        gradient[p] = 0;
    for (size_t n = 0; n < samples; n++) {
        const real *const x = inputs + order[n]*INPUTS, *const y = targets + order[n]*TARGETS;
        loss += ADD_GRADIENT(parameters, x, y, 1/(real) samples, gradient, noise + n, work);
    }
    return loss;
}

/* Gradient descent of one parameter after the other, each with a new gradient. Returns the loss before. */
real update_sequentially(real *parameters, size_t samples, const size_t *order, const real *inputs,
    const real *targets, real *gradient, double seed, double update, real *work, double learning_rate)
{
    real loss = 0;
    for (size_t p = 0; p < PARAMETERS; p++) {
        const real now = batch_gradient(parameters, samples, order, inputs, targets, gradient, seed, update, work);
        loss = p == 0 ? now : loss;
        parameters[p] = -gradient[p]*(real) learning_rate + parameters[p];
    }
    return loss;
}
