
/* --- one update --- */

/* A pseudo-random number: SplitMix64 (Steele, Lea and Flood, 2014). */
static uint64_t random_number(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30)*UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27)*UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* A random number below a bound, with a bias below bound/2^64: one of 64 bits, as a fraction, times the bound, which is
   faster than a remainder. The product is taken in two halves, for bounds of 32 bits. */
INLINE size_t random_below(uint64_t bound, uint64_t *state)
{
    const uint64_t z = random_number(state);
    if (bound >> 32)
        return (size_t) (z%bound);
    return (size_t) (((z >> 32)*bound + ((z & UINT32_MAX)*bound >> 32)) >> 32);
}

/* A random order of the samples (Fisher and Yates). */
static HOT void shuffle(size_t *order, size_t samples, uint64_t *random)
{
    for (size_t n = 0; n < samples; n++)
        order[n] = n;
    for (size_t n = samples; n > 1; n--) {
        const size_t other = random_below(n, random);
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

@PLAIN@/* Whether an update is the optimizer's alone: nothing else is done to gradients or parameters. */
@PLAIN@static int is_plain(const @name@_training *run)
@PLAIN@{
@PLAIN@    return !(run->l1 > 0 || run->l2 > 0 || run->clip_value > 0 || run->clip_norm > 0 || run->weight_decay > 0);
@PLAIN@}
@PLAIN@
/* What the learning rate is multiplied with in the next update, of the epoch of this number in this call. */
static double factor_of_update(const @name@_training *run, size_t row)
{
    const size_t batches = (run->data.samples + run->batch - 1)/run->batch;
    const size_t number = run->factors_of_updates ? row*batches + run->begin/run->batch : row;
    return run->factors ? run->factors[number] : 1;
}

/* So many samples of a training from its present one on, whose weights are divided by their total. */
static batch batch_of(const @name@_training *run, size_t samples, double total)
{
    const @name@_data *data = &run->data;
    return (batch) {.without_loss = run->without_loss, .metrics = run->metrics, .parameters = run->present,
        .inputs = data->inputs, .targets = data->targets, .weights = data->weights, .counts = data->counts,
        .order = run->shuffle ? run->order : NULL, .begin = run->begin, .samples = samples, .total = total,
        @NOISE@.noise = {noise_of_update(run->seed, run->updates), 1},
    };
}

@METRICS@/* Adds the sums for the metrics of an update, where there are any, to those of the epoch. */
@METRICS@static void add_measures(@name@_training *run, const batch *b, const double *sums)
@METRICS@{
@METRICS@    for (size_t k = 0; b->metrics && k < MEASURES; k++)
@METRICS@        run->measures[k] += sums[SUMS + k];
@METRICS@}
@METRICS@
/* Updates the parameters first <= p < last by the gradient of a batch. Where it updates the first of the parameters, the
   loss is that of the history, and the sums for metrics are added to those of the epoch. A training has diverged when a new
   parameter is not finite, or the loss of the history, whatever overflowed on the way to them: that is the rule of all
   loops of training. Returns a status; COMPLETED: go on. */
static COLD int train_batch(@name@_training *run, memory m, team *threads, size_t samples, double total, size_t first,
    size_t last, double factor, double *loss)
{
    batch part = batch_of(run, samples, total);
    part.metrics = first == 0 ? run->metrics : 0;
    m.gradient = m.next; /* each value until the update writes over it: the less memory, the more stays in the cache */
    const double *const sums = derive_batch(&part, m, threads, m.gradient, &run->poll);
    if (!sums)
        return @name@_INTERRUPTED;
    *loss = run->without_loss ? NAN : sums[place_of_loss(&part)];
    if (first == 0 && !run->without_loss && !isfinite(*loss))
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
    @METRICS@add_measures(run, &part, sums);
    return @name@_COMPLETED;
}

/* Takes note of an update, by so many samples, which are such a share of all. */
static void count_update(@name@_training *run, size_t samples, double share)
{
    run->updates++;
    run->epoch_loss += run->batch_loss*share;
    run->begin += samples;
}
