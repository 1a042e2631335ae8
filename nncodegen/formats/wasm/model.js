/** Loads the model: its WebAssembly and its parameters, as they are or by the URL (in Node also the path) of a file. */
export async function load(wasm = new URL("./@NAME@.wasm", import.meta.url), parameters = PARAMETERS) {
  const [bytes, given] = await Promise.all([content(wasm), content(parameters)]);
  const { instance } = await WebAssembly.instantiate(bytes, { Math });
  const model = Object.assign(new Model(), { wasm: instance.exports });
  if (!given) return model;
  const numbers = given.byteLength !== undefined && !ArrayBuffer.isView(given) ? new Real(given) : given;
  model.parameters = model.loaded = new Real(checked("parameters", numbers));
  model.call("predict_rows", [model.parameters, []]); // checks their number
  return model;
}

/** The bytes of a file, by its URL or (in Node) path; anything else is returned as it is. */
async function content(source) {
  if (typeof source !== "string" && !(source instanceof URL)) return source;
  const files = globalThis.process?.versions?.node && !/^https?:/.test(source) && import("node:fs/promises");
  const response = files ? new Response(await (await files).readFile(source)) : await fetch(source);
  if (response.ok) return response.arrayBuffer();
  throw new Error(`${source} cannot be loaded: ${response.status} ${response.statusText}`);
}

const isArray = (data) => typeof data === "object" && Number.isInteger(data?.length);
const isRows = (data) => typeof data[0] === "object";

const described = (value) => (typeof value === "string" ? JSON.stringify(value).slice(0, 40)
  : value && typeof value === "object" ? Object.prototype.toString.call(value) : String(value));

/** Returns data: an array of finite numbers, or rows of these. Throws what is wrong with them, and where. */
function checked(name, data) {
  const wrong = (Kind, place, value, is) =>
    new Kind(`@NAME@: ${name}${place} is ${described(value)}, ${is}`);
  if (!isArray(data)) throw wrong(TypeError, "", data, "not an array of numbers");
  const rows = isRows(data);
  for (let n = 0; n < (rows ? data.length : 1); n++) {
    const array = rows ? data[n] : data, row = rows ? `[${n}]` : "";
    if (!isArray(array)) throw wrong(TypeError, row, array, "not an array of numbers");
    for (let k = 0; k < array.length; k++) {
      const value = array[k];
      if (typeof value === "boolean") continue;
      if (typeof value !== "number") throw wrong(TypeError, `${row}[${k}]`, value, "not a number");
      if (!Number.isFinite(value)) throw wrong(RangeError, `${row}[${k}]`, value, "not a finite number");
      if (Real === Float32Array && !Number.isFinite(Math.fround(value)))
        throw wrong(RangeError, `${row}[${k}]`, value, "too large for float32");
      // begin of ranges
      const column = k%SIZES.inputs, range = RANGES.find(({ first, end }) => first <= column && column < end);
      if (name === "inputs" && range && !(Number.isInteger(value) && range.least <= value && value <= range.most))
        throw wrong(RangeError, `${row}[${k}]`, value, `not a whole number from ${range.least} to ${range.most}`);
      // end of ranges
    }
  }
  return data;
}

/** The number of rows, and the length of the longest. One array with all numbers is 0 rows. */
const shape = (data) =>
  isRows(data) ? [data.length, data.reduce((most, row) => Math.max(most, row.length), 0)] : [0, data.length];

// begin of steps
/** Returns a whole number in a range. Throws what is wrong with it. */
function integer(name, value, least, most) {
  if (Number.isInteger(value) && least <= value && value <= most) return value;
  const Kind = typeof value === "number" ? RangeError : TypeError;
  throw new Kind(`@NAME@: ${name} is ${described(value)}, not a whole number from ${least} to ${most}`);
}

// end of steps
/** A loaded model. Every call works in the memory of the WebAssembly, where nothing is kept for the next. */
class Model {
  predict(inputs = SIZES.inputs ? undefined : [], parameters = this.parameters ?? []) {
    const { length } = checked("inputs", inputs);
    if (SIZES.inputs && !length) throw new RangeError("@NAME@: inputs are empty");
    if (parameters !== this.loaded) checked("parameters", parameters);
    const all = this.call("predict_rows", [parameters, inputs]), width = SIZES.outputs;
    return isRows(inputs) ? Array.from(inputs, (_, n) => all.slice(n*width, (n + 1)*width)) : all;
  }

  /** Calls a function with copies of data, one array after the other. Returns what it gives; throws what is wrong. */
  call(name, data, ...numbers) {
    const arrays = data.flatMap((each) => (isRows(each) ? each : [each]));
    let end = this.wasm.place_for(arrays.reduce((sum, array) => sum + array.length, 0));
    for (const array of arrays) {
      new Real(this.wasm.memory.buffer, end, array.length).set(array);
      end += array.length*Real.BYTES_PER_ELEMENT;
    }
    const length = this.wasm[name](end, ...data.flatMap(shape), ...numbers), { buffer } = this.wasm.memory;
    if (length >= 0) return new Real(buffer, end, length).slice();
    throw new RangeError(new TextDecoder().decode(new Uint8Array(buffer, end, -length)));
  }
  // begin of steps

  step(token, state = [], parameters = this.parameters ?? []) {
    integer("token", token, 0, SIZES.tokens - 1);
    if (parameters !== this.loaded) checked("parameters", parameters);
    const found = this.call("step_token", [parameters, checked("state", state)], token);
    return { probabilities: found.slice(0, SIZES.probabilities), state: found.slice(SIZES.probabilities) };
  }

  generate(prompt, steps, { temperature = 1, topK, stop, seed = 0, parameters = this.parameters ?? [] } = {}, row = 0) {
    if (isArray(prompt) && isRows(prompt)) {
      const options = { temperature, topK, stop, seed, parameters };
      return Array.from(prompt, (each, number) => this.generate(each, steps, options, number));
    }
    const { length } = checked("prompt", prompt);
    for (let k = 0; k < length; k++) integer(`prompt[${k}]`, prompt[k], 0, SIZES.tokens - 1);
    integer("steps", steps, 0, 2**31 - 1);
    if (!(typeof temperature === "number" && temperature >= 0 && temperature < Infinity))
      throw new RangeError(`@NAME@: temperature is ${described(temperature)}, not a finite number from 0 on`);
    const most = topK === undefined ? 0 : integer("topK", topK, 1, SIZES.probabilities);
    const last = stop === undefined ? -1 : integer("stop", stop, 0, SIZES.probabilities - 1);
    integer("seed", seed, 0, Number.MAX_SAFE_INTEGER);
    if (parameters !== this.loaded) checked("parameters", parameters);
    return this.call("generate_tokens", [parameters, prompt], steps, temperature, most, last, seed, row);
  }
  // end of steps
  // begin of training

  trainer(inputs = [], targets = [], { parameters = this.parameters ?? [], ...options } = {}) {
    const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
    if (unknown) throw new RangeError(`there is no option ${unknown}; there are: ${OPTIONS.join(", ")}`);
    const value = (given) => WORDS[given ?? ""] ?? (/^(number|boolean)$/.test(typeof given) ? given : NaN);
    const settings = OPTIONS.map((name) => value(options[name])), losses = [];
    const data = structuredClone([checked("inputs", inputs), checked("targets", targets)]);
    checked("parameters", parameters);
    let now = this.call("begin_training", [parameters, ...data], ...settings);
    return {
      losses,
      get parameters() { return now.slice(2, 2 + SIZES.parameters); },
      get done() { return now[1] === 1; },
      step: () => {
        now = this.call("train_epoch", [now, ...data], losses.length, ...settings);
        losses.push(now[0]);
        return now[0];
      },
    };
  }

  train(...data) {
    const trainer = this.trainer(...data);
    while (!trainer.done) trainer.step();
    return trainer;
  }
  // end of training
}
