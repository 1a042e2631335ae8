/* Work memory: the sums, then their partial sums, the rows and weights of a tile, and the arrays of the kernels. */
typedef struct {
    double *sums;
    real *partials;
    size_t *rows;
    real *weights;
    real *arrays;
} memory;

static size_t padded_bytes(size_t bytes)
{
    return (bytes + 63)/64*64;
}

static memory carve(void *work)
{
    char *next = (char *) (((uintptr_t) work + 63)/64*64);
    memory m;
    m.sums = (double *) next;
    next += padded_bytes((SUMS + 1)*sizeof(double));
    m.partials = (real *) next;
    next += padded_bytes((PARTIALS + 1)*LANES*sizeof(real));
    m.rows = (size_t *) next;
    next += padded_bytes(TILE*sizeof(size_t));
    m.weights = (real *) next;
    next += padded_bytes(TILE*sizeof(real));
    m.arrays = (real *) next;
    return m;
}

static void clear(memory m)
{
    for (size_t k = 0; k < (PARTIALS + 1)*LANES; k++)
        m.partials[k] = 0;
}

size_t @name@_work_size(void)
{
    return 64 + padded_bytes((SUMS + 1)*sizeof(double)) + padded_bytes((PARTIALS + 1)*LANES*sizeof(real))
        + padded_bytes(TILE*sizeof(size_t)) + padded_bytes(TILE*sizeof(real)) + padded_bytes((ARRAYS + 1)*sizeof(real));
}

size_t @name@_state_size(void)
{
    return (size_t) STATE*PARAMETERS;
}

size_t @name@_first_not_finite(const real *values, size_t count)
{
    size_t k = 0;
    while (k < count && isfinite(values[k]))
        k++;
    return k;
}

/* Whether the caller wants the call to end. The clock is read after some million operations, and the caller
   asked every 30 ms, since asking may mean to wait for a lock. */
static int stopped(@name@_poll *poll, double operations)
{
    poll->spent += operations;
    if (poll->spent < 1e6)
        return 0;
    poll->spent = 0;
    if (!poll->stop)
        return 0;
    struct timespec clock;
    timespec_get(&clock, TIME_UTC);
    const double now = (double) clock.tv_sec + 1e-9*(double) clock.tv_nsec;
    if (now - poll->asked < 0.03 && now >= poll->asked)
        return 0;
    poll->asked = now;
    return poll->stop(poll->context);
}

/* The rows and weights of the samples of a tile: from the given order, or one after the other. A tile is padded to
   whole vectors with its last sample, which then has the weight 0. */
static void fill(memory m, const size_t *order, const real *weights, double total, size_t first, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        m.rows[n] = order ? order[first + n] : first + n;
        m.weights[n] = (real) ((weights ? (double) weights[m.rows[n]] : 1)/total);
    }
    for (size_t n = count; n%PAD != 0; n++) {
        m.rows[n] = m.rows[count - 1];
        m.weights[n] = 0;
    }
}

static double total_weight(const size_t *order, const real *weights, size_t first, size_t count)
{
    if (!weights)
        return (double) count;
    double total = 0;
    for (size_t n = first; n < first + count; n++)
        total += (double) weights[order ? order[n] : n];
    return total;
}

int @name@_predict(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs,
    @name@_poll *poll)
{
    const memory m = carve(work);
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        fill(m, NULL, NULL, 1, first, count);
        predict_tile(parameters, inputs, NULL, m.rows, m.weights, count, m.arrays, outputs + first*OUTPUTS);
        if (stopped(poll, (double) COST*(double) count))
            return 1;
    }
    return 0;
}

/* Whether all values are finite: the sum of their products with 0 is 0, and not NaN. */
static int all_finite(const real *values, size_t count)
{
    real check = 0;
    SUM_LOOP(check)
    for (size_t k = 0; k < count; k++)
        check += values[k]*0;
    return check == 0;
}

int @name@_predict_few(const real *parameters, const real *inputs, size_t samples, void *work, real *outputs)
{
    if (!all_finite(parameters, PARAMETERS) || !all_finite(inputs, samples*INPUTS))
        return 0;
    const memory m = carve(work);
    @ROW@for (size_t n = 0; n < samples; n++)
    @ROW@    predict_row(parameters, inputs + n*INPUTS, m.arrays, outputs + n*OUTPUTS);
    @NO_ROW@fill(m, NULL, NULL, 1, 0, samples);
    @NO_ROW@predict_tile(parameters, inputs, NULL, m.rows, m.weights, samples, m.arrays, outputs);
    return 1;
}

int @name@_loss(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t samples, void *work, double *loss, @name@_poll *poll)
{
    const memory m = carve(work);
    const double total = total_weight(NULL, weights, 0, samples);
    m.sums[0] = 0;
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        fill(m, NULL, weights, total, first, count);
        loss_tile(parameters, inputs, targets, m.rows, m.weights, count, m.arrays, m.sums);
        if (stopped(poll, (double) COST*(double) count))
            return 1;
    }
    *loss = m.sums[0];
    return 0;
}

/* The mean loss over a batch of samples, and its gradient. */
static int batch_gradient(const real *parameters, const real *inputs, const real *targets, const real *weights,
    const size_t *order, size_t begin, size_t samples, memory m, double *loss, real *gradient, @name@_poll *poll)
{
    const double total = total_weight(order, weights, begin, samples);
    for (size_t k = 0; k < SUMS; k++)
        m.sums[k] = 0;
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        fill(m, order, weights, total, begin + first, count);
        gradient_tile(parameters, inputs, targets, m.rows, m.weights, count, m.arrays, m.sums, m.partials);
        @BLOCKS@if ((first/TILE + 1)%64 == 0) /* before so many samples are in a sum that single precision shows */
        @BLOCKS@    flush(m.partials, m.sums);
        if (stopped(poll, (double) COST*(double) count))
            return 1;
    }
    @BLOCKS@flush(m.partials, m.sums);
    gradient_finish(parameters, m.sums, m.arrays, gradient);
    *loss = m.sums[BLOCKED];
    return 0;
}

int @name@_loss_and_gradient(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t samples, void *work, double *loss, real *gradient, @name@_poll *poll)
{
    const memory m = carve(work);
    clear(m);
    return batch_gradient(parameters, inputs, targets, weights, NULL, 0, samples, m, loss, gradient, poll);
}

/* A pseudo-random number: SplitMix64 (Steele, Lea and Flood, 2014). */
static uint64_t random_number(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30)*UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27)*UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* A random order of the samples (Fisher and Yates). The bias of the remainder is below samples/2^64. */
static void shuffle(size_t *order, size_t samples, uint64_t *random)
{
    for (size_t n = samples; n > 1; n--) {
        const size_t other = (size_t) (random_number(random)%n);
        const size_t row = order[n - 1];
        order[n - 1] = order[other];
        order[other] = row;
    }
}

/* The largest change of a parameter in an update. */
static double largest_step(const real *before, const real *after, size_t first, size_t last)
{
    double largest = 0;
    for (size_t p = first; p < last; p++) {
        const double step = fabs((double) after[p] - (double) before[p]);
        largest = step > largest ? step : largest;
    }
    return largest;
}

/* Updates the parameters first <= p < last by the gradient of a batch. Returns a status; COMPLETED: go on. */
static int train_batch(@name@_training *run, memory m, size_t begin, size_t samples, size_t first, size_t last,
    double *loss, double *largest)
{
    const size_t *order = run->shuffle ? run->order : NULL;
    if (batch_gradient(run->parameters, run->inputs, run->targets, NULL, order, begin, samples, m, loss,
            run->gradient, &run->poll))
        return @name@_INTERRUPTED;
    if (!isfinite(*loss))
        return @name@_DIVERGED;
    const real check = update(run->optimizer, first, last, run->options, run->updates + 1, run->parameters,
        run->gradient, run->state, run->next);
    if (!(check == 0))
        return @name@_DIVERGED;
    if (run->tolerance > 0) {
        const double step = largest_step(run->parameters, run->next, first, last);
        *largest = step > *largest ? step : *largest;
    }
    return @name@_COMPLETED;
}

/* One epoch: every sample once. */
static int train_epoch(@name@_training *run, memory m, double *loss)
{
    double largest = 0;
    *loss = 0;
    if (run->shuffle)
        shuffle(run->order, run->samples, &run->random);
    for (size_t begin = 0; begin < run->samples; begin += run->batch) {
        const size_t samples = run->samples - begin < run->batch ? run->samples - begin : run->batch;
        double batch_loss = 0;
        if (run->sequential) {
            for (size_t p = 0; p < PARAMETERS; p++) {
                double present;
                const int status = train_batch(run, m, begin, samples, p, p + 1, &present, &largest);
                if (status != @name@_COMPLETED)
                    return status;
                run->parameters[p] = run->next[p];
                batch_loss = p == 0 ? present : batch_loss;
            }
        } else {
            const int status = train_batch(run, m, begin, samples, 0, PARAMETERS, &batch_loss, &largest);
            if (status != @name@_COMPLETED)
                return status;
            real *const parameters = run->parameters;
            run->parameters = run->next;
            run->next = parameters;
        }
        run->updates += 1;
        *loss += batch_loss*((double) samples/(double) run->samples);
    }
    return largest < run->tolerance ? @name@_CONVERGED : @name@_COMPLETED;
}

@REGISTERS@static int train_in_registers(@name@_training *run);
@REGISTERS@
void @name@_train(@name@_training *run)
{
    @REGISTERS@if (train_in_registers(run))
    @REGISTERS@    return;
    const memory m = carve(run->work);
    clear(m);
    for (size_t epoch = 0; run->epochs < run->until; epoch++) {
        double loss;
        run->status = train_epoch(run, m, &loss);
        if (run->status == @name@_DIVERGED || run->status == @name@_INTERRUPTED)
            return;
        run->history[epoch] = loss;
        run->epochs++;
        if (run->status == @name@_CONVERGED)
            return;
    }
}
