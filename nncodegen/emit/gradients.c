
/* The loss over a batch, and its gradient; by a team, if there is one, where there are chunks for it. */
static int batch_gradient(const batch *b, memory m, team *threads, double *loss, real *gradient, @name@_poll *poll)
{
    const double *sums = m.sums;
    prepare_batch(b, m);
    if (chunks_of(b) == 1) {
        if (sum_chunk(b, m, 0, poll))
            return 1;
    } else {
        for (size_t k = 0; k < SUMS; k++)
            m.totals[k] = 0;
        if (threads) {
            if (sum_by_team(threads, b, m.totals, poll))
                return 1;
        } else {
            for (size_t chunk = 0; chunk < chunks_of(b); chunk++) {
                if (sum_chunk(b, m, chunk, poll))
                    return 1;
                add_sums(m.sums, m.totals);
            }
        }
        sums = m.totals;
    }
    gradient_finish(b->parameters, sums, m.arrays, gradient);
    *loss = sums[WHOLE + ACROSS];
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
    return batch_gradient(&all, m, NULL, loss, gradient, poll);
}
