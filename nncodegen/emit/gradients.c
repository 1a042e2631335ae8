
/* The sums over a batch, besides the whole ones in m.gradient; by a team, if there is one, where there are chunks for it.
   NULL if stopped. */
static const double *sum_batch(const batch *b, memory m, team *threads, @name@_poll *poll)
{
    const size_t whole = b->forward ? 0 : WHOLE;
    prepare_batch(b, m);
    if (chunks_of(b) == 1)
        return sum_chunk(b, m, 0, poll) ? NULL : m.sums;
    for (size_t k = 0; k < WHOLE + ALL_SUMS; k++)
        m.totals[k] = 0;
    if (threads) {
        if (sum_by_team(threads, b, m.totals, poll))
            return NULL;
    } else {
        for (size_t chunk = 0; chunk < chunks_of(b); chunk++) {
            if (sum_chunk(b, m, chunk, poll))
                return NULL;
            add_sums(b, m, m.totals);
        }
    }
    for (size_t k = 0; k < whole; k++)
        m.gradient[k] = (real) m.totals[k];
    return m.totals + WHOLE;
}

@SINGLE@/* The gradient of a batch, all of it in m.gradient, sample by sample. Returns 1 if stopped. */
@SINGLE@static int derive_rows(const batch *b, memory m, @name@_poll *poll)
@SINGLE@{
@SINGLE@    for (size_t k = place_of_loss(b); k < ALL_SUMS; k++)
@SINGLE@        m.sums[k] = 0;
@SINGLE@    for (size_t n = b->begin; n < b->begin + b->samples; n++) {
@SINGLE@        const size_t sample = b->order ? b->order[n] : n;
@SINGLE@        const double weight = !b->weights ? 1 : (double) b->weights[sample];
@SINGLE@        m.counts[0] = !b->counts ? 1 : b->counts[sample];
@SINGLE@        @NOISE@m.rows[0] = sample;
@SINGLE@        gradient_row(b->parameters, rows_of(b->inputs, INPUTS, b->order, n, 1, 0, NULL),
@SINGLE@            rows_of(b->targets, TARGETS, b->order, n, 1, 0, NULL), (real) (weight/b->total), m.arrays,
@SINGLE@            !b->without_loss, n > b->begin ? 1 : b->more, m.sums, m.gradient, b->metrics, m.counts@NOISE_ARGUMENT@);
@SINGLE@    }
@SINGLE@    return stopped(poll, (double) COST*(double) b->samples);
@SINGLE@}
@SINGLE@
/* The gradient of a batch in m.gradient, but for what is not summed up there: that goes to rest, which may be m.gradient as
   well. Returns the other sums; NULL if stopped. */
static HOT const double *derive_batch(const batch *b, memory m, team *threads, real *rest, @name@_poll *poll)
{
    @SINGLE@if (b->samples <= ROWS)
    @SINGLE@    return derive_rows(b, m, poll) ? NULL : m.sums;
    const double *const sums = sum_batch(b, m, threads, poll);
    if (sums)
        gradient_finish(b->parameters, sums, m.gradient, m.arrays, rest);
    return sums;
}

@TURNED@/* The matrices of parameters whose columns lie side by side in the loops of the gradient: everywhere else their rows do. */
@TURNED@static const struct {size_t first, rows, columns;} turned[] = {@MATRICES@};
@TURNED@
@TURNED@/* Copies parameters, or a value of each of them, into the order of the loops of the gradient, or back. */
@TURNED@static void arrange(const real *restrict from, real *restrict to, int back)
@TURNED@{
@TURNED@    memcpy(to, from, PARAMETERS*sizeof(real));
@TURNED@    for (size_t k = 0; k < sizeof turned/sizeof *turned; k++) {
@TURNED@        const size_t first = turned[k].first, rows = back ? turned[k].columns : turned[k].rows;
@TURNED@        const size_t columns = back ? turned[k].rows : turned[k].columns;
@TURNED@        turn(columns, rows, from + first, columns, to + first, rows, rows);
@TURNED@    }
@TURNED@}
@TURNED@
@TURNED@/* Where a parameter lies in that order; the first of all stays where it is. */
@TURNED@static size_t place_of(size_t p)
@TURNED@{
@TURNED@    for (size_t k = 0; k < sizeof turned/sizeof *turned; k++) {
@TURNED@        const size_t first = turned[k].first, rows = turned[k].rows, columns = turned[k].columns;
@TURNED@        if (first <= p && p < first + rows*columns)
@TURNED@            return first + (p - first)%columns*rows + (p - first)/columns;
@TURNED@    }
@TURNED@    return p;
@TURNED@}
@TURNED@
int @name@_loss(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t samples, void *work, double *loss, @name@_poll *poll)
{
@FLUSH@    FLUSH_SUBNORMALS
    const batch all = {.forward = 1, .parameters = parameters, .inputs = inputs, .targets = targets,
        .weights = weights, .samples = samples, .total = total_weight(weights, samples)};
    const double *const sums = sum_batch(&all, carve(work), NULL, poll);
    if (!sums)
        return 1;
    *loss = sums[place_of_loss(&all)];
    return 0;
}

int @name@_loss_and_gradient(const real *parameters, const real *inputs, const real *targets, const real *weights,
    size_t samples, void *work, double *loss, real *gradient, @name@_poll *poll)
{
@FLUSH@    FLUSH_SUBNORMALS
    const memory m = carve(work);
    clear(m);
    @TURNED@arrange(parameters, m.parameters, 0);
    @TURNED@parameters = m.parameters;
    const batch all = {.parameters = parameters, .inputs = inputs, .targets = targets, .weights = weights,
        .samples = samples, .total = total_weight(weights, samples)};
    const double *const sums = sum_batch(&all, m, NULL, poll);
    if (!sums)
        return 1;
    gradient_finish(parameters, sums, m.gradient, m.arrays, m.gradient);
    @STRAIGHT@memcpy(gradient, m.gradient, PARAMETERS*sizeof(real));
    @TURNED@arrange(m.gradient, gradient, 1);
    *loss = sums[place_of_loss(&all)];
    return 0;
}
