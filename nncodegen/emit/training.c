
/* --- training --- */

/* A pseudo-random number: SplitMix64 (Steele, Lea and Flood, 2014). */
static uint64_t random_number(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30)*UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27)*UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* A random order of the samples (Fisher and Yates). The bias of the remainder is below samples/2^64. */
static HOT void shuffle(size_t *order, size_t samples, uint64_t *random)
{
    for (size_t n = 0; n < samples; n++)
        order[n] = n;
    for (size_t n = samples; n > 1; n--) {
        const size_t other = (size_t) (random_number(random)%n);
        const size_t row = order[n - 1];
        order[n - 1] = order[other];
        order[other] = row;
    }
}

/* The parameters that the penalties l1 and l2 are for: ranges of them. */
static const size_t penalized[][2] = {@PENALIZED@};

/* Adds the gradient of l1*sum |w| + l2/2*sum w^2 over the penalized parameters. */
static HOT void add_penalties(const real *restrict parameters, real *restrict gradient, real l1, real l2)
{
    for (size_t range = 0; range < sizeof penalized/sizeof *penalized; range++) {
        for (size_t p = penalized[range][0]; p < penalized[range][1]; p++) {
            const real w = parameters[p];
            gradient[p] += l2*w + (w > 0 ? l1 : w < 0 ? -l1 : 0);
        }
    }
}

/* Moves each value of the gradient into -bound to bound. Comparisons keep what is NaN. */
static HOT void clip_values(real *gradient, real bound)
{
    for (size_t p = 0; p < PARAMETERS; p++) {
        const real g = gradient[p];
        gradient[p] = g > bound ? bound : g < -bound ? -bound : g;
    }
}

/* The Euclidean norm of the gradient; its squares may overflow. */
static HOT double gradient_norm(const real *gradient)
{
    double squares = 0;
    SUM_LOOP(squares)
    for (size_t p = 0; p < PARAMETERS; p++)
        squares += (double) gradient[p]*(double) gradient[p];
    if (isfinite(squares))
        return sqrt(squares);
    double largest = 0;
    for (size_t p = 0; p < PARAMETERS; p++)
        largest = fabs((double) gradient[p]) > largest ? fabs((double) gradient[p]) : largest;
    squares = 0;
    for (size_t p = 0; p < PARAMETERS; p++)
        squares += (double) gradient[p]/largest*((double) gradient[p]/largest);
    return largest*sqrt(squares);
}

/* Scales the gradient so that its norm is at most bound. */
static HOT void clip_norm(real *gradient, double bound)
{
    const double norm = gradient_norm(gradient);
    if (!(norm > bound))
        return;
    const double scale = bound/norm;
    for (size_t p = 0; p < PARAMETERS; p++)
        gradient[p] = (real) ((double) gradient[p]*scale);
}

/* Takes a share of the parameters first <= p < last before the update from those after it. Returns whether one of the
   latter is no longer finite. */
static HOT int decay_weights(const real *restrict parameters, real *restrict next, size_t first, size_t last, real share)
{
    word check = 0;
    for (size_t p = first; p < last; p++) {
        next[p] -= share*parameters[p];
        check |= beyond(next[p]);
    }
    return (int) (check >> FIRST_BIT);
}

/* The largest change of a parameter in an update. */
static HOT double largest_step(const real *before, const real *after, size_t first, size_t last)
{
    real largest = 0;
    LARGEST_LOOP(largest)
    for (size_t p = first; p < last; p++) {
        const real change = after[p] - before[p], step = change < 0 ? -change : change;
        largest = step > largest ? step : largest;
    }
    return (double) largest;
}

/* Updates the parameters first <= p < last by the gradient of a batch. The sums of the metrics of an update are added
   to those of the epoch where it updates the first of the parameters. Returns a status; COMPLETED: go on. */
static COLD int train_batch(@name@_training *run, memory m, team *threads, size_t samples, double total, size_t first,
    size_t last, double factor, double *loss)
{
    const @name@_data *data = &run->data;
    const size_t *order = run->shuffle ? run->order : NULL;
    const batch part = {.without_loss = run->without_loss, .metrics = first == 0 ? run->metrics : 0,
        .parameters = run->present, .inputs = data->inputs, .targets = data->targets, .weights = data->weights,
        .counts = data->counts, .order = order, .begin = run->begin, .samples = samples, .total = total,
        @NOISE@.noise = {noise_of_update(run->seed, run->updates), 1},
    };
    m.gradient = m.next; /* each value until the update writes over it: the less memory, the more stays in the cache */
    m.whole = IN_PLACE ? m.gradient : m.whole;
    const double *const sums = sum_batch(&part, m, threads, &run->poll);
    if (!sums)
        return @name@_INTERRUPTED;
    gradient_finish(run->present, sums, m.whole, m.arrays, m.gradient);
    *loss = run->without_loss ? NAN : sums[place_of_loss(&part)];
    if (!run->without_loss && !isfinite(*loss))
        return @name@_DIVERGED;
    if (run->l1 > 0 || run->l2 > 0)
        add_penalties(run->present, m.gradient, (real) run->l1, (real) run->l2);
    if (run->clip_value > 0)
        clip_values(m.gradient, (real) run->clip_value);
    if (run->clip_norm > 0)
        clip_norm(m.gradient, run->clip_norm);
    const double *options = run->options;
    double scaled[OPTIONS];
    if (run->factors) {
        for (size_t k = 0; k < OPTIONS; k++)
            scaled[k] = run->options[k];
        scaled[0] *= factor;
        options = scaled;
    }
    int lost = update(run->optimizer, first, last, options, (double) run->updates + 1, run->present, run->state,
        m.next);
    if (run->weight_decay > 0)
        lost |= decay_weights(run->present, m.next, first, last, (real) (options[0]*run->weight_decay));
    if (lost)
        return @name@_DIVERGED;
    if (run->tolerance > 0) {
        const double step = largest_step(run->present, m.next, first, last);
        run->largest = step > run->largest ? step : run->largest;
    }
    @METRICS@for (size_t k = 0; part.metrics && k < MEASURES; k++)
    @METRICS@    run->measures[k] += sums[SUMS + k];
    return @name@_COMPLETED;
}

/* The updates of one epoch, or of what is left of it: every sample once. row is the number of the epoch in this call.
   A weight counts by its ratio to the mean weight of all samples, so that the gradients of the batches are
   together the gradient of the weighted mean. */
static COLD int train_samples(@name@_training *run, memory *m, team *threads, double total, size_t row)
{
    const size_t all = run->data.samples, batches = (all + run->batch - 1)/run->batch;
    while (run->begin < all) {
        const size_t samples = all - run->begin < run->batch ? all - run->begin : run->batch;
        const double share = (double) samples/(double) all;
        const size_t number = run->factors_of_updates ? row*batches + run->begin/run->batch : row;
        const double factor = run->factors ? run->factors[number] : 1;
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
            const int status = train_batch(run, *m, threads, samples, total*share, 0, PARAMETERS, factor,
                &run->batch_loss);
            if (status != @name@_COMPLETED)
                return status;
            real *const before = run->present;
            run->present = m->next;
            m->next = before;
        }
        run->updates++;
        run->epoch_loss += run->batch_loss*share;
        run->begin += samples;
    }
    return @name@_COMPLETED;
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
