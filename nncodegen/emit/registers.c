
/* One epoch of batches of one sample. Returns a status. */
static inline __attribute__((always_inline)) int epoch_in_registers(@name@_training *run, point *w,
    const int sequential, double *loss)
{
    double largest = 0;
    *loss = 0;
    @SIMULTANEOUS@(void) sequential;
    if (run->shuffle)
        shuffle(run->order, run->samples, &run->random);
    for (size_t n = 0; n < run->samples; n++) {
        const size_t row = run->shuffle ? run->order[n] : n;
        const real *const inputs = run->inputs + row*INPUTS, *const targets = run->targets + row*TARGETS;
        point gradient, next = *w;
        real present, check;
        @SEQUENTIAL@if (sequential)
        @SEQUENTIAL@    check = update_in_turn(&next, inputs, targets, run->options, &present);
        @SEQUENTIAL@else {
            present = sample_gradient(w, inputs, targets, &gradient);
            check = next_point(w, &gradient, run->options, &next);
        @SEQUENTIAL@}
        if (!(present*0 + check == 0))
            return @name@_DIVERGED;
        if (run->tolerance > 0)
            largest = larger(largest, largest_change(w, &next));
        *w = next;
        *loss += (double) present;
        run->updates += 1;
        if (stopped(&run->poll, COST))
            return @name@_INTERRUPTED;
    }
    *loss /= (double) run->samples;
    return largest < run->tolerance ? @name@_CONVERGED : @name@_COMPLETED;
}

/* The loop over epochs, for each order of updates by itself. The parameters stay in registers. */
static inline __attribute__((always_inline)) void epochs_in_registers(@name@_training *run, const int sequential)
{
    point w = *(const point *) run->parameters;
    for (size_t epoch = 0; run->epochs < run->until; epoch++) {
        double loss;
        run->status = epoch_in_registers(run, &w, sequential, &loss);
        if (run->status == @name@_DIVERGED || run->status == @name@_INTERRUPTED)
            break;
        run->history[epoch] = loss;
        run->epochs++;
        if (run->status == @name@_CONVERGED)
            break;
    }
    volatile real *const parameters = run->parameters; /* stored one by one: as a vector they would be one all along */
    @STORES@
}

/* Training on batches of one sample by gradient descent. Returns 0 for any other. */
static int train_in_registers(@name@_training *run)
{
    if (run->batch != 1 || run->optimizer != @NUMBER@)
        return 0;
    if (!run->sequential)
        epochs_in_registers(run, 0);
    else
        @SEQUENTIAL@epochs_in_registers(run, 1);
        @SIMULTANEOUS@return 0;
    return 1;
}
