
/* The loss over a batch, and its gradient, in m.gradient; by a team, if there is one, where there are chunks for it. */
static int batch_gradient(const batch *b, memory m, team *threads, double *loss, @name@_poll *poll)
{
    const size_t whole = WHOLE;
    const double *sums = m.sums;
    prepare_batch(b, m);
    if (chunks_of(b) == 1) {
        if (sum_chunk(b, m, 0, poll))
            return 1;
    } else {
        for (size_t k = 0; k < WHOLE + SUMS; k++)
            m.totals[k] = 0;
        if (threads) {
            if (sum_by_team(threads, b, m.totals, poll))
                return 1;
        } else {
            for (size_t chunk = 0; chunk < chunks_of(b); chunk++) {
                if (sum_chunk(b, m, chunk, poll))
                    return 1;
                add_sums(m, m.totals);
            }
        }
        for (size_t k = 0; k < whole; k++)
            m.whole[k] = (real) m.totals[k];
        sums = m.totals + WHOLE;
    }
    gradient_finish(b->parameters, sums, m.whole, m.arrays, m.gradient);
    *loss = sums[ACROSS];
    return 0;
}

int @name@_loss_and_gradient(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t samples, void *work, double *loss, real *gradient, @name@_poll *poll)
{
    const memory m = carve(work);
    clear(m);
    const double total = total_weight(weights, samples);
    const batch all = {.parameters = parameters, .inputs = inputs, .targets = targets, .weights = weights,
        .samples = samples, .total = total};
    if (batch_gradient(&all, m, NULL, loss, poll))
        return 1;
    memcpy(gradient, m.gradient, PARAMETERS*sizeof(real));
    return 0;
}
