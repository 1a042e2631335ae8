/* Work memory: the sums, then their partial sums, the rows and weights of a tile, and the arrays of the kernels. */
typedef struct {
    double *sums;
    real *partials;
    size_t *rows;
    real *weights;
    real *arrays;
    @NOISE@randomness noise;
} memory;

static size_t padded_bytes(size_t bytes)
{
    return (bytes + 63)/64*64;
}

static memory carve(void *work)
{
    char *next = (char *) (((uintptr_t) work + 63)/64*64);
    memory m;
    @NOISE@m.noise = (randomness) {0, 0};
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

size_t @name@_outputs_size(void)
{
    return (size_t) TILE*OUTPUTS;
}

size_t @name@_first_not_finite(const real *values, size_t count)
{
    size_t k = 0;
    while (k < count && isfinite(values[k]))
        k++;
    return k;
}

/* Whether the caller wants the call to end. The clock is read after some million operations, and the caller
   asked every 30 ms or so, since asking may mean to wait for a lock. */
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
    if (now - poll->asked < poll->interval && now >= poll->asked)
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

static double total_weight(const real *weights, size_t samples)
{
    if (!weights)
        return (double) samples;
    double total = 0;
    for (size_t n = 0; n < samples; n++)
        total += (double) weights[n];
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

int @name@_loss(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t samples, void *work, double *loss, @name@_poll *poll)
{
    const memory m = carve(work);
    const double total = total_weight(weights, samples);
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

/* The loss over a batch of samples whose weights are divided by their total, and its gradient. */
static int batch_gradient(const real *parameters, const real *inputs, const real *targets, const real *weights,
    const size_t *order, size_t begin, size_t samples, double total, memory m, double *loss, real *gradient,
    @name@_poll *poll)
{
    for (size_t k = 0; k < SUMS; k++)
        m.sums[k] = 0;
    for (size_t first = 0; first < samples; first += TILE) {
        const size_t count = samples - first < TILE ? samples - first : TILE;
        fill(m, order, weights, total, begin + first, count);
        gradient_tile(parameters, inputs, targets, m.rows, m.weights, count, m.arrays, m.sums, m.partials@NOISE_ARGUMENT@);
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
    const double total = total_weight(weights, samples);
    return batch_gradient(parameters, inputs, targets, weights, NULL, 0, samples, total, m, loss, gradient, poll);
}
