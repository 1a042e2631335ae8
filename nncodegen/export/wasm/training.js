
/** A training, which goes on by an epoch at a time. */
class Trainer {
  constructor(model, inputs, targets, options = {}) {
    const { optimizer = Object.keys(RULES)[0], parameters = model.parameters, ...chosen } = options;
    check(optimizer in RULES, `there is no optimizer ${optimizer}; there are: ${Object.keys(RULES).join(", ")}`);
    const rule = RULES[optimizer], [X, given] = table(inputs ?? [], SIZES.inputs, "inputs");
    const [Y, wanted] = table(oneHot(targets ?? [], given), SIZES.targets, "targets");
    const rows = SIZES.inputs ? given : wanted;
    const fit = rows > 0 && (rows === wanted || !SIZES.targets);
    check(fit, `there are ${given} rows of inputs, and ${wanted} of targets`);
    const defaults = { learningRate: 0.01, epochs: 100, batchSize: rows, shuffle: chosen.batchSize < rows, seed: 0,
      update: "simultaneous", ...rule.options };
    for (const [name, value] of Object.entries(chosen)) {
      check(name in defaults, `there is no option ${name}; there are: ${Object.keys(defaults).join(", ")}`);
      const least = { epochs: 1, batchSize: 1, seed: 0 }[name];
      const right = least === undefined ? value >= 0 : Number.isSafeInteger(value) && value >= least;
      check(name === "update" ? ["simultaneous", "sequential"].includes(value) : right, `${name} must not be ${value}`);
    }
    const settings = { ...defaults, ...chosen }, sequential = settings.update === "sequential";
    check(!sequential || rule.descent, `${optimizer} updates all parameters at once`);
    const state = Real.from(rule.state.flatMap((first) => Array(SIZES.parameters).fill(settings[first] ?? first)));
    const random = Uint32Array.of(settings.seed, settings.seed/2**32);
    const order = Uint32Array.from({ length: rows }, (_, n) => n);
    Object.assign(this, { model, X, Y, rows, optimizer, rule, options: settings, sequential, state, random, order });
    Object.assign(this, { parameters: vector(parameters), losses: [], updates: 0 });
  }

  /** Whether there have been as many epochs as were asked for. */
  get done() {
    return this.losses.length >= this.options.epochs;
  }

  /** An epoch: uses every sample once. Returns the mean loss, that of each batch before its update. */
  step() {
    const { model, model: { wasm }, X, Y, rows, rule, options, state, random, parameters } = this;
    const [p, s, r, o, x, y, g, work] = model.place(
      parameters, state, random, this.order, X, Y, new Real(SIZES.parameters), new Real(SIZES.trainWork));
    if (options.shuffle) wasm.order_samples(o, rows, r);
    let sum = 0, { updates } = this;
    for (let first = 0; first < rows; first += options.batchSize) {
      const count = Math.min(options.batchSize, rows - first);
      const values = { ...options, state: s, t: ++updates };
      const batch = [p, count, o + 4*first, x, y, g, options.seed, updates, work];
      if (this.sequential) sum += count*wasm.update_sequentially(...batch, options.learningRate);
      else {
        sum += count*wasm.batch_gradient(...batch);
        wasm[`@NAME@_${this.optimizer}`](p, g, ...rule.arguments.map((name) => values[name]));
      }
    }
    const next = new Real(SIZES.parameters);
    model.take(next, p);
    check(next.every(Number.isFinite), `the training diverged in epoch ${this.losses.length + 1}: lower learningRate`);
    parameters.set(next);
    model.take(state, s);
    model.take(random, r);
    this.updates = updates;
    this.losses.push(sum/rows);
    return sum/rows;
  }
}

/** Targets as rows, where they are the numbers of classes. */
function oneHot(targets, rows) {
  if (!CLASSES || isRows(targets) || targets.length !== rows) return targets;
  const isClass = (label) => Number.isInteger(label) && label >= 0 && label < SIZES.targets;
  check(targets.every(isClass), `classes are the numbers from 0 to ${SIZES.targets - 1}`);
  return Array.from(targets, (label) => Real.from({ length: SIZES.targets }, (_, k) => k === label));
}

function check(right, message) {
  if (!right) throw new RangeError(`@NAME@: ${message}`);
}

Object.assign(Model.prototype, {
  /** Begins a training, whose steps are left to the caller. */
  trainer(inputs, targets, options) {
    return new Trainer(this, inputs, targets, options);
  },

  /** Trains to the end. */
  train(inputs, targets, options) {
    const trainer = this.trainer(inputs, targets, options);
    while (!trainer.done) trainer.step();
    return trainer;
  },
});
