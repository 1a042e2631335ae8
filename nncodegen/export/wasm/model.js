/** Loads the model: its WebAssembly and its parameters, as they are or by the URL (in Node also the path) of a file. */
export async function load(wasm = new URL("./@NAME@.wasm", import.meta.url), parameters = PARAMETERS) {
  const [bytes, numbers] = await Promise.all([content(wasm), content(parameters)]);
  const { instance } = await WebAssembly.instantiate(bytes, { Math });
  return new Model(instance.exports, numbers instanceof ArrayBuffer ? new Real(numbers) : numbers);
}

/** The bytes of a file; anything but a URL or path is returned as it is. */
async function content(source) {
  if (typeof source !== "string" && !(source instanceof URL)) return source;
  if (globalThis.process?.versions?.node && !/^https?:/.test(source)) {
    const { buffer, byteOffset, byteLength } = await (await import("node:fs/promises")).readFile(source);
    return buffer.slice(byteOffset, byteOffset + byteLength);
  }
  const response = await fetch(source);
  if (!response.ok) throw new Error(`${source} cannot be loaded: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

/** A loaded model. Every call works in the memory of the WebAssembly, where nothing is kept for the next. */
class Model {
  constructor(wasm, parameters) {
    Object.assign(this, { wasm, parameters: parameters && vector(parameters) });
  }

  /** The outputs for inputs: rows for rows, else one array with all numbers, row by row. */
  predict(inputs, parameters = this.parameters) {
    const [X, rows] = table(inputs, SIZES.inputs, "inputs"), Y = new Real(rows*SIZES.outputs);
    const [p, x, y, work] = this.place(vector(parameters), X, Y, new Real(SIZES.predictWork));
    this.wasm.@NAME@_predict_batch(p, rows, x, y, work);
    this.take(Y, y);
    return isRows(inputs) ? Array.from(inputs, (_, n) => Y.slice(n*SIZES.outputs, (n + 1)*SIZES.outputs)) : Y;
  }

  /** Copies arrays into the memory, which grows where it must, one behind the other; returns their addresses. */
  place(...arrays) {
    const addresses = [Math.ceil(this.wasm.__heap_base.value/8)*8];
    for (const { byteLength } of arrays) addresses.push(Math.ceil((addresses.at(-1) + byteLength)/8)*8);
    const { memory } = this.wasm, missing = addresses.at(-1) - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing/65536));
    arrays.forEach((array, k) => new array.constructor(memory.buffer, addresses[k], array.length).set(array));
    return addresses;
  }

  /** Copies what is at an address into an array. */
  take(array, address) {
    array.set(new array.constructor(this.wasm.memory.buffer, address, array.length));
  }
}

const isRows = (data) => typeof data[0] === "object";

/** Data as one array, row by row, and the number of rows. */
function table(data, width, what) {
  const rows = isRows(data) ? data.length : width ? data.length/width : 1;
  if (isRows(data) ? data.some((row) => row.length !== width) : !Number.isInteger(rows))
    throw new RangeError(`@NAME@: ${what} are rows of ${width} numbers`);
  const all = new Real(rows*width);
  isRows(data) ? data.forEach((row, n) => all.set(row, n*width)) : all.set(data);
  return [all, rows];
}

/** A copy of parameters in the model's type. */
function vector(parameters) {
  if (parameters?.length === SIZES.parameters) return Real.from(parameters);
  throw new RangeError(`@NAME@ needs ${SIZES.parameters} parameters, where it is loaded or in this call`);
}
