
INLINE void store_point(const point *w, volatile real *parameters)
{
    /* one by one: as a vector they would be one all along */
    @STORES@
}

/* The updates of one epoch of batches of one sample, or of what is left of it. Returns a status. */
INLINE int samples_in_registers(@name@_training *run, point *w,
    const int sequential)
{
    double largest = run->largest, loss = run->epoch_loss;
    int status = @name@_COMPLETED;
    size_t n = run->begin;
    const size_t samples = run->data.samples;
    const double share = 1/(double) samples;
    @SIMULTANEOUS@(void) sequential;
    while (n < samples && status == @name@_COMPLETED) {
        const size_t row = run->shuffle ? run->order[n] : n;
        const real *const inputs = run->data.inputs + row*INPUTS, *const targets = run->data.targets + row*TARGETS;
        point next;
        real present, check, outputs[OUTPUTS + 1];
        @SEQUENTIAL@if (sequential)
        @SEQUENTIAL@    present = update_in_turn(w, inputs, targets, run->options, &next, outputs, &check);
        @SEQUENTIAL@else
            present = next_point(w, inputs, targets, run->options, &next, outputs, &check);
        if (!(present*0 + check == 0)) {
            status = @name@_DIVERGED;
            break;
        }
        if (run->tolerance > 0)
            largest = larger(largest, largest_change(w, &next));
        *w = next;
        loss += (double) present*share;
        @METRICS@if (run->metrics) {
        @METRICS@    const real one = 1;
        @CLASSES@    measure_classes(run->metrics, 1, @COMPARED@, &one, run->measures);
        @METRICS@    measure_errors(run->metrics, 1, OUTPUTS, 0, @COMPARED@, &one, run->measures);
        @METRICS@}
        run->updates += 1;
        n++;
        if (run->poll.spent + COST >= 1e6)
            store_point(w, run->parameters); /* which whoever is asked may look at */
        if (stopped(&run->poll, COST))
            status = @name@_INTERRUPTED;
    }
    run->largest = largest;
    run->epoch_loss = loss;
    run->begin = n;
    return status;
}

/* The next update by the loops of a tile, which nobody stops. What is not finite in the short chains of the registers may
   be so in the order of the gradient: an overflow that it does not know is no divergence. Returns a status. */
static COLD int update_by_loops(@name@_training *run)
{
    memory m = carve(run->work);
    clear(m);
    copy_row(run->parameters, m.parameters, PARAMETERS);
    run->present = m.parameters;
    const @name@_poll poll = run->poll;
    run->poll.stop = NULL;
    const int status = train_next(run, &m, NULL, (double) run->data.samples, 0);
    run->poll = poll;
    copy_row(run->present, run->parameters, PARAMETERS);
    run->present = run->parameters;
    return status;
}

/* The loop over epochs, for each order of updates by itself. The parameters stay in registers. */
INLINE void epochs_in_registers(@name@_training *run, const int sequential)
{
    point w = *(const point *) run->parameters;
    run->status = @name@_COMPLETED;
    for (size_t epoch = 0; run->epochs < run->until && run->status == @name@_COMPLETED; epoch++) {
        uint64_t random = run->random;
        if (run->shuffle)
            shuffle(run->order, run->data.samples, &random);
        for (;;) {
            run->status = samples_in_registers(run, &w, sequential);
            if (run->status != @name@_DIVERGED)
                break;
            store_point(&w, run->parameters);
            run->status = update_by_loops(run);
            w = *(const point *) run->parameters;
            if (run->status != @name@_COMPLETED)
                break;
        }
        if (run->status != @name@_COMPLETED && run->begin < run->data.samples)
            break;
        const int interrupted = run->status == @name@_INTERRUPTED;
        if (run->columns > 1 || run->monitor >= 0) {
            store_point(&w, run->parameters);
            run->status = end_epoch(run, carve(run->work), NULL, epoch, random);
            run->status = interrupted ? @name@_INTERRUPTED : run->status;
            continue;
        }
        run->history[epoch] = run->epoch_loss;
        run->status = interrupted ? @name@_INTERRUPTED
            : run->largest < run->tolerance ? @name@_CONVERGED : @name@_COMPLETED;
        run->random = random;
        run->begin = 0;
        run->epoch_loss = run->largest = 0;
        run->epochs++;
    }
    store_point(&w, run->parameters);
}

/* Plain training on batches of one sample by gradient descent. Returns 0 for any other. */
static HOT int train_in_registers(@name@_training *run)
{
    if (!is_plain(run) || run->data.weights || run->factors || run->batch != 1 || run->optimizer != @NUMBER@ || run->sweep != 0)
        return 0;
    @SIMULTANEOUS@if (run->sequential)
    @SIMULTANEOUS@    return 0;
    run->present = run->parameters;
    @SEQUENTIAL@if (run->sequential)
    @SEQUENTIAL@    epochs_in_registers(run, 1);
    @SEQUENTIAL@else
        epochs_in_registers(run, 0);
    run->present = NULL;
    return 1;
}
