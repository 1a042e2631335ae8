/** Loads the model: its WebAssembly and its parameters, as they are or by the URL (in Node also the path) of a file. */
export async function load(wasm = new URL("./@NAME@.wasm", import.meta.url), parameters = PARAMETERS) {
  const [bytes, given] = await Promise.all([content(wasm), content(parameters)]);
  const { instance } = await WebAssembly.instantiate(bytes, { Math });
  const model = Object.assign(new Model(), { wasm: instance.exports, parameters: given && new Real(given) });
  if (given) model.predict([]); // checks them
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

const isRows = (data) => typeof data[0] === "object";

/** The number of rows, and the length of the longest. One array with all numbers is 0 rows. */
const shape = (data) =>
  isRows(data) ? [data.length, data.reduce((most, row) => Math.max(most, row.length), 0)] : [0, data.length];

/** A loaded model. Every call works in the memory of the WebAssembly, where nothing is kept for the next. */
class Model {
  predict(inputs, parameters = this.parameters ?? []) {
    const all = this.call("predict_rows", [parameters, inputs]), width = SIZES.outputs;
    return isRows(inputs) ? Array.from(inputs, (_, n) => all.slice(n*width, (n + 1)*width)) : all;
  }

  /** Calls a function with copies of data, one array behind the other. Returns what it gives; throws what is wrong. */
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
  // begin of training

  trainer(inputs = [], targets = [], { parameters = this.parameters ?? [], ...options } = {}) {
    const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
    if (unknown) throw new RangeError(`there is no option ${unknown}; there are: ${OPTIONS.join(", ")}`);
    const settings = OPTIONS.map((name) => WORDS[options[name] ?? ""] ?? options[name]);
    const data = structuredClone([inputs, targets]), losses = [];
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
