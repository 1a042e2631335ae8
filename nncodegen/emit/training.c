
/* --- training --- */

/* The next update of an epoch, whose number in this call is row, or a sweep of sequential ones. A weight counts by its ratio
   to the mean weight of all samples, so that the gradients of the batches are together the gradient of the weighted mean.
   Returns a status; COMPLETED: go on. */
static COLD int train_next(@name@_training *run, memory *m, team *threads, double total, size_t row)
{
    const size_t all = run->data.samples;
    const size_t samples = all - run->begin < run->batch ? all - run->begin : run->batch;
    const double share = (double) samples/(double) all;
    const double factor = factor_of_update(run, row);
    if (run->sequential) {
        while (run->sweep < PARAMETERS) {
            @STRAIGHT@const size_t p = run->sweep;
            @TURNED@const size_t p = place_of(run->sweep);
            double loss;
            const int status = train_batch(run, *m, threads, samples, total*share, p, p + 1, factor, &loss);
            if (status != @name@_COMPLETED)
                return status;
            run->present[p] = m->next[p];
            run->batch_loss = p == 0 ? loss : run->batch_loss;
            run->sweep++;
        }
        run->sweep = 0;
    } else {
        const int status = train_batch(run, *m, threads, samples, total*share, 0, PARAMETERS, factor, &run->batch_loss);
        if (status != @name@_COMPLETED)
            return status;
        real *const before = run->present;
        run->present = m->next;
        m->next = before;
    }
    count_update(run, samples, share);
    return @name@_COMPLETED;
}

/* The updates of one epoch, or of what is left of it: every sample once. row is the number of the epoch in this call. */
static COLD int train_samples(@name@_training *run, memory *m, team *threads, double total, size_t row)
{
    int status = @name@_COMPLETED;
    @DESCENT@int descent = descends(run); /* -1: again after the next update */
    while (run->begin < run->data.samples && status == @name@_COMPLETED) {
        @DESCENT@if (descent > 0) {
        @DESCENT@    status = descend(run, *m, total, row, &descent);
        @DESCENT@    continue;
        @DESCENT@}
        status = train_next(run, m, threads, total, row);
        @DESCENT@descent = descent != 0;
    }
    return status;
}

@METRICS@/* Accuracy, mean absolute error, and R2 (the mean over outputs), as far as they are wanted, from their sums. */
@METRICS@static COLD void finish_metrics(int metrics, const @name@_data *data, const double *sums, double *figures)
@METRICS@{
@METRICS@    const double total = total_weight(data->counts, data->samples);
@METRICS@    figures[@name@_ACCURACY] = sums[@name@_ACCURACY]/(LABELS ? 1 : OUTPUTS)/total;
@METRICS@    figures[@name@_MEAN_ABSOLUTE_ERROR] = sums[@name@_MEAN_ABSOLUTE_ERROR]/OUTPUTS/total;
@METRICS@    double explained = 0;
@METRICS@    for (size_t k = 0; metrics & WANTS_R2 && k < OUTPUTS; k++) {
@METRICS@        const double squares = sums[@name@_R2 + k];
@METRICS@        if (data->spread[k] > 0)
@METRICS@            explained += 1 - squares/data->spread[k];
@METRICS@        else
@METRICS@            explained += squares == 0; /* a target that is the same everywhere is explained, or not */
@METRICS@    }
@METRICS@    figures[@name@_R2] = explained/OUTPUTS;
@METRICS@}
@METRICS@
/* The columns of the history after an epoch. Returns 1 if stopped. */
static COLD int measure_epoch(@name@_training *run, memory m, team *threads, double *figures)
{
    const @name@_data *data = &run->validation;
    figures[@name@_LOSS] = run->epoch_loss;
    @METRICS@if (run->metrics)
    @METRICS@    finish_metrics(run->metrics, &run->data, run->measures, figures + @name@_METRICS);
    if (data->samples) {
        @TURNED@arrange(run->present, m.next, 1);
        @STRAIGHT@const real *const parameters = run->present;
        @TURNED@const real *const parameters = m.next;
        const batch all = {.forward = 1, .metrics = run->metrics, .parameters = parameters,
            .inputs = data->inputs, .targets = data->targets, .weights = data->weights, .counts = data->counts,
            .samples = data->samples, .total = total_weight(data->weights, data->samples)};
        const double *const sums = sum_batch(&all, m, threads, &run->poll);
        if (!sums)
            return 1;
        figures[@name@_VALIDATION_LOSS] = sums[place_of_loss(&all)];
        @METRICS@if (run->metrics)
        @METRICS@    finish_metrics(run->metrics, data, sums + SUMS, figures + @name@_VALIDATION_METRICS);
    }
    return 0;
}

/* Keeps the parameters of the best epoch. Returns a status: STOPPED_EARLY when patience is at its end. */
static COLD int compare_epoch(@name@_training *run, const double *figures)
{
    const double figure = run->higher ? -figures[run->monitor] : figures[run->monitor];
    if (figure < run->best_figure - run->min_delta) { /* of the first epoch, if it is finite */
        run->best_figure = figure;
        run->best_epoch = run->epochs + 1;
        @STRAIGHT@memcpy(run->best, run->present, PARAMETERS*sizeof(real));
        @TURNED@arrange(run->present, run->best, 1);
    }
    const size_t waited = run->epochs + 1 - run->best_epoch;
    return run->patience && waited >= run->patience ? @name@_STOPPED_EARLY : @name@_COMPLETED;
}

/* The end of an epoch, whose number in this call is row. Nothing of it is kept before all of it is done. Returns a
   status. */
static COLD int end_epoch(@name@_training *run, memory m, team *threads, size_t row, uint64_t random)
{
    double *const figures = run->history + row*run->columns;
    int status = @name@_COMPLETED;
    if (run->columns == 1)
        figures[@name@_LOSS] = run->epoch_loss;
    else if (measure_epoch(run, m, threads, figures))
        return @name@_INTERRUPTED;
    if (run->monitor >= 0)
        status = compare_epoch(run, figures);
    if (run->largest < run->tolerance)
        status = @name@_CONVERGED;
    run->random = random;
    run->begin = 0;
    run->epoch_loss = run->largest = 0;
    @METRICS@for (size_t k = 0; run->metrics && k < MEASURES; k++)
    @METRICS@    run->measures[k] = 0;
    run->epochs++;
    return status;
}

/* One epoch, or what is left of it. */
static COLD int train_epoch(@name@_training *run, memory *m, team *threads, double total, size_t row)
{
    uint64_t random = run->random;
    if (run->shuffle)
        shuffle(run->order, run->data.samples, &random);
    const int status = train_samples(run, m, threads, total, row);
    return status == @name@_COMPLETED ? end_epoch(run, *m, threads, row, random) : status;
}

void @name@_present(const @name@_training *run, real *parameters)
{
    @STRAIGHT@memcpy(parameters, run->present ? run->present : run->parameters, PARAMETERS*sizeof(real));
    @TURNED@if (run->present)
    @TURNED@    arrange(run->present, parameters, 1);
    @TURNED@else
    @TURNED@    memcpy(parameters, run->parameters, PARAMETERS*sizeof(real));
}

@TURNED@/* The state of the optimizer in the order of the loops of the gradient, or back from it. */
@TURNED@static void arrange_state(@name@_training *run, memory m, int back)
@TURNED@{
@TURNED@    static const size_t variables[] = {@VARIABLES@};
@TURNED@    for (size_t k = 0; k < variables[run->optimizer]; k++) {
@TURNED@        real *const state = run->state + k*PARAMETERS;
@TURNED@        arrange(state, m.next, back);
@TURNED@        copy_row(m.next, state, PARAMETERS);
@TURNED@    }
@TURNED@}
@TURNED@
@REGISTERS@static HOT int train_in_registers(@name@_training *run);
@REGISTERS@
COLD void @name@_train(@name@_training *run)
{
@FLUSH@    FLUSH_SUBNORMALS
    @REGISTERS@if (train_in_registers(run))
    @REGISTERS@    return;
    memory m = carve(run->work);
    clear(m);
    @SINGLE@for (size_t k = 0; k < ARRAYS; k++)
    @SINGLE@    m.arrays[k] = 0; /* the vectors of single samples compute with what pads a row, and nothing hangs on it */
    @STRAIGHT@copy_row(run->parameters, m.parameters, PARAMETERS);
    @TURNED@arrange(run->parameters, m.parameters, 0);
    @TURNED@arrange_state(run, m, 0);
    run->present = m.parameters;
    const double total = total_weight(run->data.weights, run->data.samples);
    run->status = @name@_COMPLETED;
    team all, *threads = NULL;
    if (run->threads > 1) {
        gather_team(&all, run->threads, run->work);
        threads = all.count > 1 ? &all : NULL;
    }
    for (size_t row = 0; run->epochs < run->until && run->status == @name@_COMPLETED; row++)
        run->status = train_epoch(run, &m, threads, total, row);
    @name@_present(run, run->parameters);
    @TURNED@arrange_state(run, m, 1);
    run->present = NULL;
    if (run->threads > 1)
        dismiss_team(&all);
}
