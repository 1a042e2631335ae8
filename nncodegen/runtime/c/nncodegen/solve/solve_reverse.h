/* Differential equations whose rates have weights, which all samples share: their solutions, and the derivatives of
   these by the weights and by what is given, from the reverse of the steps that were taken.

   The derivatives are those of the steps with their lengths held fixed. A solution keeps the begins of its steps, and
   the reverse goes back through the stages of each, from the last one to the first. Memory does not grow with the
   number of steps: level 0 keeps a number of steps that follow each other, level 1 the first of each such run, level 2
   the first of each run of runs, and so on. Where a run is not kept any more, it is taken again from what the next
   level has. A step has the same bits each time, as it begins with the same numbers. So one solution may be reversed
   several times, for the derivatives of one observation after the other; the steps after an observation add nothing.

   Where rates or states change at the times of a sample, a step ends at each of them. The reverse then enters the
   intervals between times from the last one to the first, and goes back through the jump after each time, from the
   states that the solution has just before it.

   Records lie in memory of numbers in the precision of the model. So what is wider, times and counts, is copied there
   byte by byte, whatever the alignment of this memory is.

   Needs solve.h, in whose loop steps are taken, in one lane. Gives transposed_function, reverse_functions, weight_row,
   record_sizes, step_record, path_operands, reverse_arrays, NOT_GIVEN, record_of, solve_kept, reverse_path, copy_path,
   solve_weighted and reverse_weighted. */

#ifndef NNCODEGEN_SOLVE_REVERSE_H
#define NNCODEGEN_SOLVE_REVERSE_H

#include "nncodegen/solve/solve.h"

/* The derivatives of the sum of all rates, each times its factor: by the states, by what is given, by the weights. The
   weights lie after what is given, also where rates read them. */
typedef void (*transposed_function)(real t, const real *u, const real *given, const real *fixed, const real *factors,
    real *sums);

/* What the reverse of a path calls: these derivatives, and those of the states after a jump, which are by the states
   just before it and by what is given; NULL where none jumps. */
typedef struct {
    transposed_function rates, jump;
} reverse_functions;

/* The weights, which lie one after the other. */
typedef struct {
    const real *values;
    size_t count;
} weight_row;

/* Where a path ends: the time, the number of steps, and whether the time is the last one; and which steps are in its
   record: on each level, those of the run that has the step of the number held. */
typedef struct {
    double now;
    size_t steps, held;
    int solved;
} path_end;

/* Where a step begins: the time, the length that it is tried with, the logarithm of the norm of the error of the step
   before, to the base 2, at least STEP_NEAR, and whether a step was rejected since then. */
typedef struct {
    double now, h, before;
    int rejected;
} step_begin;

/* The record of a path: where it ends, a path_end; the begins of steps, with the states and the rates there, ``length``
   of them on each level; and the rates of all stages of the steps on level 0. */
typedef struct {
    size_t levels, length;
    real *end, *begins, *states, *stages;
} step_record;

/* The values that a step_begin takes in a record; a path_end takes no more. */
#define BEGIN_VALUES ((sizeof(step_begin) + sizeof(real) - 1)/sizeof(real))

/* The sizes of records: the levels, the steps on each, and the values that the record of a sample takes. */
typedef struct {
    size_t levels, length, values;
} record_sizes;

/* What the reverse of the path of a sample reads: its times; the values of these, for enter_interval; the states at
   each, if they jump; the factors of these. */
typedef struct {
    size_t times, next_time;
    const real *time, *values, *states;
    size_t states_time, states_item;
    const real *adjoint;
    size_t adjoint_time, adjoint_item;
} path_operands;

/* A number that no state has whose initial value is not given. */
#define NOT_GIVEN SIZE_MAX

/* The arrays of one sample: those of a step; the factors of the rates of its stages, the derivatives by the states at
   its end and at its begin, and those of one stage; those by all else. */
typedef struct {
    lane_arrays step;
    real *factors, *bar, *earlier, *sums, *total;
} reverse_arrays;

/* Copies bytes to memory that may be aligned otherwise. */
INLINE void copy_bytes(size_t count, const void *from, void *to)
{
    for (size_t k = 0; k < count; k++)
        ((unsigned char *) to)[k] = ((const unsigned char *) from)[k];
}

/* Sets values to 0. */
INLINE void clear_values(size_t count, real *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] = 0;
}

/* Returns the begin of a step at a place of a record. */
INLINE step_begin begin_of(const step_record *kept, size_t place)
{
    step_begin found;
    copy_bytes(sizeof found, kept->begins + place*BEGIN_VALUES, &found);
    return found;
}

/* Returns where a path ends. */
INLINE path_end end_of(const step_record *kept)
{
    path_end found;
    copy_bytes(sizeof found, kept->end, &found);
    return found;
}

/* Keeps where the step of a number begins on each of some levels that has it, and the rates of its stages. The length
   is that which the step was tried with before it was cut short to end at a time. */
INLINE void keep_step(const step_record *kept, size_t levels, size_t states, size_t stages, size_t number,
    step_begin from, const real *u, const real *k)
{
    if (levels > 0)
        copy_values(stages*states, k, kept->stages + number % kept->length*stages*states);
    for (size_t level = 0, run = 1; level < levels && number % run == 0; level++, run *= kept->length) {
        const size_t place = level*kept->length + number/run % kept->length;
        copy_bytes(sizeof from, &from, kept->begins + place*BEGIN_VALUES);
        copy_values(states, u, kept->states + 2*place*states);
        copy_values(states, k, kept->states + (2*place + 1)*states);
    }
}

/* The steps that are kept: the record, the levels that keep them, where the current one begins and its number, and the
   number after the last one. */
typedef struct {
    const step_record *kept;
    size_t levels;
    step_begin tried;
    size_t number, end;
} kept_steps;

/* Tries a step, as step_explicitly does, and notes where it begins. */
IN_LOOP int step_kept(OF_LANES const solver *s, paths *p)
{
    kept_steps *const steps = (kept_steps *) s->besides;
    steps->tried = (step_begin) {p->now[0], p->proposed_length[0], p->before[0], p->max_growth[0] < STEP_MOST};
    return step_explicitly(IN(lanes) s, p);
}

/* Keeps an accepted step, and goes on from it; the path ends after the last one. */
IN_LOOP int take_kept(OF_LANES const solver *s, paths *p)
{
    kept_steps *const steps = (kept_steps *) s->besides;
    if (p->good[0] > 0) {
        keep_step(steps->kept, steps->levels, s->own->states, s->with->stages, steps->number++, steps->tried, s->a->u,
            s->a->k);
        if (steps->number == steps->end)
            p->live[0] = 0;
    }
    take_rates(IN(lanes) s, p);
    return !(p->live[0] > 0);
}

#define KEPT_STEPS step_kept, observe_accepted, take_kept

/* Returns the time of a number. */
INLINE double time_of(const path_operands *path, size_t number)
{
    return (double) path->time[number*path->next_time];
}

/* Returns the place of a step on level 1, or of the run that begins with it; SIZE_MAX if it is not there. */
INLINE size_t place_of_run(const step_record *kept, size_t number, size_t held)
{
    const size_t length = kept->length;
    return kept->levels > 1 && number/length/length == held/length/length ? length + number/length % length : SIZE_MAX;
}

/* Makes steps as solve_paths does, and keeps them, from where p begins. */
INLINE void follow_kept(const equations *own, const method *with, const path_samples *all, kept_steps *steps,
    const lane_arrays *a, paths *p)
{
    const equations copy = *own;
    const lane_arrays shown = *a;
    const solver s = {own, &copy, BY(NULL) with, has_events(own), all, a, &shown, steps};
    follow_paths(IN(1) &s, KEPT_STEPS, p);
}

/* Takes the steps of a path again that follow a kept one, whose place in a record is given, and keeps them. */
INLINE void take_again(const equations *own, const method *with, size_t place, kept_steps *steps,
    const path_operands *path, const lane_arrays *a)
{
    const step_begin from = begin_of(steps->kept, place);
    const places there = {NULL, 0, 0};
    const path_samples all = {1, path->times, {path->time, path->next_time, 0}, there, there, a->error, 0, 1, 0};
    size_t done = path->times;
    while (done > 0 && time_of(path, done - 1) > from.now)
        done--;
    const observations seen = {path->times, done, path->next_time, path->time, a->error, 0, 1}; /* nobody reads these */
    copy_values(own->states, steps->kept->states + 2*place*own->states, a->u);
    copy_values(own->states, steps->kept->states + (2*place + 1)*own->states, a->k);
    enter_interval(own, done, path->values, a->fixed);
    paths p = NO_PATHS;
    p.begun = p.lanes = 1;
    p.done[0] = done;
    p.live[0] = 1;
    p.left[0] = (double) own->most;
    p.now[0] = p.end[0] = from.now;
    p.last[0] = p.final[0] = aim_of(own, &seen);
    p.upcoming[0] = HUGE_VAL;
    p.proposed_length[0] = from.h;
    p.max_growth[0] = from.rejected ? 1 : STEP_MOST;
    p.before[0] = from.before;
    follow_kept(own, with, &all, steps, a, &p);
}

/* Makes a step known: takes the steps of a run again, or first those of a run of runs, until level 0 has it. Each level
   has the whole run of its size around the step held. */
INLINE void hold_step(const equations *own, const method *with, const step_record *kept, size_t number, path_end *last,
    const path_operands *path, const lane_arrays *a)
{
    const size_t length = kept->length;
    while (number/length != last->held/length) {
        size_t level = 1, run = length;
        while (number/run/length != last->held/run/length) {
            level++;
            run *= length;
        }
        const size_t first = number - number % run, place = level*length + first/run % length;
        const size_t end = last->steps - first < run ? last->steps : first + run;
        kept_steps steps = {kept, level, {0, 0, 0, 0}, first, end};
        take_again(own, with, place, &steps, path, a);
        last->held = end - 1;
    }
}

/* Returns whether the states at the time of a number have factors that are not 0. */
INLINE int has_factors(const equations *own, const path_operands *path, size_t number)
{
    int found = 0;
    for (size_t i = 0; i < own->states; i++)
        found |= path->adjoint[number*path->adjoint_time + i*path->adjoint_item] != 0;
    return found;
}

/* Goes back through the stages of a step of length h: from the derivatives by the states at its end (bar), by the
   states in between (earlier), which are u and weighted rates (factors), to those by the states at its begin (bar). The
   last stage counts only if inner says that the rates at the end have factors. */
INLINE void reverse_stages(const equations *own, const method *with, transposed_function transposed, size_t others,
    double now, double h, int inner, const real *u, const real *k, const real *given, const real *fixed,
    const reverse_arrays *a)
{
    const size_t states = own->states, stages = with->stages;
    for (size_t s = stages; s-- > 0;) {
        real *const factors = a->factors + s*states;
        if (s + 1 < stages || inner) {
            for (size_t i = 0; i < states; i++) {
                real sum = 0;
                for (size_t j = 0; j < s; j++)
                    sum += with->rows[s][j]*k[j*states + i];
                a->step.after[i] = u[i] + (real) h*sum;
            }
            transposed((real) (now + (double) with->times[s]*h), a->step.after, given, fixed, factors, a->sums);
            for (size_t p = 0; p < others; p++)
                a->total[p] += a->sums[states + p];
        } else
            clear_values(states, a->sums);
        for (size_t i = 0; i < states; i++) {
            const real moved = s + 1 == stages ? a->sums[i] + a->bar[i] : a->sums[i];
            a->earlier[i] += moved;
            for (size_t j = 0; j < s; j++)
                a->factors[j*states + i] += (real) h*with->rows[s][j]*moved;
        }
    }
    copy_values(states, a->earlier, a->bar);
}

/* Adds the factors of the states at a time within a step to what they were computed from: the states at its begin
   (earlier) and the rates of all stages; at its end, to the states there (bar). */
INLINE void reverse_observation(const equations *own, const method *with, double x, double h, const real *adjoint,
    size_t next, const reverse_arrays *a)
{
    const size_t states = own->states;
    const real part = (real) x;
    real weights[MOST_STAGES][LANES];
    weights_in_lanes(IN(1) with->stages, with->degree, with, &part, weights);
    for (size_t i = 0; i < states; i++) {
        const real factor = adjoint[i*next];
        if (x == 1)
            a->bar[i] += factor;
        else {
            a->earlier[i] += factor;
            for (size_t j = 0; j < with->stages; j++)
                a->factors[j*states + i] += (real) h*weights[j][0]*factor;
        }
    }
}

/* Goes back through the jump after the time of a number, if there is one: from the derivatives by the states after it
   to those by the states before it (bar). */
INLINE void reverse_jump(const equations *own, transposed_function jump, size_t number, const path_operands *path,
    const real *given, real *fixed, const reverse_arrays *a)
{
    if (!jump)
        return;
    enter_interval(own, number, path->values, fixed);
    for (size_t i = 0; i < own->states; i++)
        a->step.after[i] = path->states[number*path->states_time + i*path->states_item];
    jump(path->time[number*path->next_time], a->step.after, given, fixed, a->bar, a->sums);
    copy_values(own->states, a->sums, a->bar);
    for (size_t p = 0; p < own->given; p++)
        a->total[p] += a->sums[own->states + p];
}

/* Writes the states of one sample at all of its times, as solve does, and keeps its steps on some levels. */
INLINE void solve_kept(const equations *own, const method *with, const step_record *kept, size_t levels,
    observations seen, const lane_arrays *a)
{
    const path_samples all = one_sample(&seen);
    kept_steps steps = {kept, levels, {0, 0, 0, 0}, 0, SIZE_MAX};
    paths p = NO_PATHS;
    follow_kept(own, with, &all, &steps, a, &p);
    if (levels > 0) {
        const size_t count = steps.number;
        const path_end end = {p.now[0], count, count > 0 ? count - 1 : 0, p.done[0] == seen.times};
        copy_bytes(sizeof end, &end, kept->end);
    }
}

/* Writes the derivatives of the sum of states, each times its factor at each time, to total: by what is given, and by
   the weights, from the record of a path that is solved. starts has the number of the given value that is the initial
   value of each state. */
INLINE void reverse_path(const equations *own, const method *with, reverse_functions back, size_t others,
    const size_t *starts, const step_record *kept, const path_operands *path, const reverse_arrays *a)
{
    const real *const given = a->step.given;
    real *const fixed = a->step.fixed;
    path_end last = end_of(kept);
    const size_t states = own->states, steps = last.steps;
    const int stops = has_events(own);
    clear_values(others, a->total);
    clear_values(states, a->bar);
    double end = last.now;
    size_t left = path->times, counted = path->times;
    while (counted > 0 && !has_factors(own, path, counted - 1))
        counted--;
    size_t number = counted > 0 ? steps : 0;
    while (number > 0) { /* steps, or whole runs of them, after all times with factors add nothing */
        const double until = time_of(path, counted - 1);
        const size_t back_in_run = (number - 1) % kept->length, run = place_of_run(kept, number - 1, last.held);
        if (run != SIZE_MAX && begin_of(kept, run).now >= until) {
            end = begin_of(kept, run).now;
            number -= back_in_run + 1;
            continue;
        }
        hold_step(own, with, kept, number - 1, &last, path, &a->step);
        if (begin_of(kept, back_in_run).now < until)
            break;
        end = begin_of(kept, back_in_run).now;
        number--;
    }
    while (left > counted && time_of(path, left - 1) > end)
        left--;
    while (number-- > 0) {
        hold_step(own, with, kept, number, &last, path, &a->step);
        const size_t place = number % kept->length;
        const int cut = stops ? left > 0 && end == time_of(path, left - 1) : number + 1 == steps;
        const step_begin from = begin_of(kept, place);
        const double now = from.now, h = cut ? end - now : from.h;
        const real *const u = kept->states + 2*place*states;
        clear_values(with->stages*states, a->factors);
        clear_values(states, a->earlier);
        int inner = 0;
        for (; left > 0 && time_of(path, left - 1) > now; left--) {
            const double at = time_of(path, left - 1), x = at == end ? 1 : (at - now)/h;
            inner |= x != 1;
            reverse_jump(own, back.jump, left - 1, path, given, fixed, a);
            reverse_observation(own, with, x, h, path->adjoint + (left - 1)*path->adjoint_time, path->adjoint_item, a);
        }
        enter_interval(own, left, path->values, fixed);
        const real *const k = kept->stages + place*with->stages*states;
        reverse_stages(own, with, back.rates, others, now, h, inner, u, k, given, fixed, a);
        end = now;
    }
    while (left-- > 0) {
        reverse_jump(own, back.jump, left, path, given, fixed, a);
        for (size_t i = 0; i < states; i++)
            a->bar[i] += path->adjoint[left*path->adjoint_time + i*path->adjoint_item];
    }
    copy_bytes(sizeof last, &last, kept->end);
    for (size_t i = 0; i < states; i++)
        if (starts[i] != NOT_GIVEN)
            a->total[starts[i]] += a->bar[i];
}

/* Returns the record of a sample in its values. */
INLINE step_record record_of(record_sizes sizes, size_t states, real *values)
{
    const size_t begins = sizes.levels*sizes.length;
    real *const first = values + BEGIN_VALUES, *const kept = first + begins*BEGIN_VALUES;
    return (step_record) {sizes.levels, sizes.length, values, first, kept, kept + 2*begins*states};
}

/* Copies the states of a sample at all times, one after the other, to memory (saves), or back from there. */
INLINE void copy_path(int saves, size_t times, size_t states, real *saved, real *out, size_t out_time, size_t out_state)
{
    for (size_t k = 0; k < times; k++)
        for (size_t i = 0; i < states; i++) {
            if (saves)
                saved[k*states + i] = out[k*out_time + i*out_state];
            else
                out[k*out_time + i*out_state] = saved[k*states + i];
        }
}

/* Solves equations with weights for count samples, and keeps their steps if keeps is set; those that pad a tile get the
   values of the last one. If saved is not NULL, it is memory for their states. These are copied there, and, if solved
   says that the last call was one for the same samples, back from there: their steps are kept as well. There is room
   for the records of all samples of a tile, then for the weights, both rows, and stages + 3 times the states in work,
   which is aligned as vectors are. */
INLINE void solve_weighted(equations own, const method *with, record_sizes sizes, int keeps, weight_row weights,
    size_t count, size_t padded, size_t times, places time, places given, places fixed, real *out, size_t out_time,
    size_t out_state, size_t out_sample, real *work, real *saved, int solved)
{
    real *const row = work + (keeps ? padded*sizes.values : 0), *const constants = row + own.given + weights.count;
    const lane_arrays a = arrays_alone(&own, row, constants, constants + own.fixed);
    const real *const values = own.at_times.values;
    const size_t returned = own.states - own.first;
    copy_values(weights.count, weights.values, row + own.given);
    for (size_t n = 0; n < count; n++) {
        real *const states = saved ? saved + n*times*returned : NULL;
        if (states && solved) {
            copy_path(0, times, returned, states, out + n*out_sample, out_time, out_state);
            continue;
        }
        const step_record kept = record_of(sizes, own.states, work + n*sizes.values);
        const observations seen = {times, 0, time.next, time.values + n*time.sample, out + n*out_sample, out_time,
            out_state};
        row_of(n, given, own.given, row);
        row_of(n, fixed, own.fixed - own.at_times.count, constants);
        own.at_times.values = values ? values + n*own.at_times.sample : NULL;
        solve_kept(&own, with, &kept, keeps ? sizes.levels : 0, seen, &a);
        if (states)
            copy_path(1, times, returned, states, out + n*out_sample, out_time, out_state);
    }
    pad_samples(&own, count, padded, times, out, out_time, out_state, out_sample);
}

/* Writes the derivatives of the weighted sums of the states of count samples by what is given, and by the weights: NaN
   where a path fails, and 0 for samples that pad a tile. solve_weighted has kept their steps, and has written path,
   which is read if states jump; the adjoint has the factors of the states. There is room for these records, then for
   the weights and both rows, for twice stages and 6 times the states, and twice for what is given and weights, in
   work. */
INLINE void reverse_weighted(equations own, const method *with, reverse_functions back, const size_t *starts,
    record_sizes sizes, weight_row weights, size_t count, size_t padded, size_t times, places time, places given,
    places fixed, const real *path, size_t path_time, size_t path_state, size_t path_sample, const real *adjoint,
    size_t adjoint_time, size_t adjoint_state, size_t adjoint_sample, real *out, size_t out_place, size_t out_sample,
    real *work)
{
    const size_t states = own.states, stages = with->stages, others = own.given + weights.count;
    real *const row = work + padded*sizes.values, *const constants = row + others;
    real *const u = constants + own.fixed, *const k = u + 3*states, *const bar = k + 2*stages*states;
    const reverse_arrays a = {arrays_alone(&own, row, constants, u), k + stages*states, bar, bar + states,
        bar + 2*states, bar + 3*states + others};
    const real *const values = own.at_times.values;
    copy_values(weights.count, weights.values, row + own.given);
    for (size_t n = 0; n < padded; n++) {
        const step_record kept = record_of(sizes, states, work + n*sizes.values);
        const int solved = n < count && end_of(&kept).solved;
        if (solved) {
            row_of(n, given, own.given, row);
            row_of(n, fixed, own.fixed - own.at_times.count, constants);
            own.at_times.values = values ? values + n*own.at_times.sample : NULL;
            const path_operands operands = {times, time.next, time.values + n*time.sample, own.at_times.values,
                path ? path + n*path_sample : NULL, path_time, path_state, adjoint + n*adjoint_sample, adjoint_time,
                adjoint_state};
            reverse_path(&own, with, back, others, starts, &kept, &operands, &a);
        }
        for (size_t p = 0; p < others; p++)
            out[n*out_sample + p*out_place] = n >= count ? 0 : solved ? a.total[p] : (real) NAN;
    }
}

#endif
