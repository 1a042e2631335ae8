// Trains the model in the page: the module and the WebAssembly of the export, from the data that stand in the page.
const given = JSON.parse(document.getElementById("training-data").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
const box = document.querySelector(".train"), form = box.querySelector("form"), button = form.querySelector("button");
const find = (name) => box.querySelector(`[data-${name}]`);
const address = URL.createObjectURL(new Blob([given.script], { type: "text/javascript" }));
let model;

async function loaded() {
  if (!model) {
    const { load } = await import(address);
    model = await load(bytes(given.wasm), given.start ? bytes(given.start) : undefined);
  }
  return model;
}

/** A few numbers as text. */
const shown = (values) => Array.from(values).slice(0, 3).map((value) => value.toFixed(6)).join(", ") + (values.length > 3 ? ", …" : "");
const short = (value) => (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(1));

/** Draws figures over the epochs. */
function draw(chart, values, epochs, what) {
  const every = Math.ceil(values.length/400), points = values.map((value, k) => [k, value]).filter(([k]) => k % every === 0 || k === values.length - 1);
  const all = points.map(([, value]) => value), [low, high] = [Math.min(...all), Math.max(...all)], range = high - low || 1;
  const x = (k) => 60 + 470*k/Math.max(1, epochs), y = (value) => 210 - 180*(value - low)/range;
  const rules = [low, low + range/2, low + range].map((value) =>
    `<path class="rule" d="M60 ${y(value)}H530"/><text x="52" y="${y(value) + 4}" text-anchor="end">${short(value)}</text>`);
  const line = points.map(([k, value]) => `${x(k).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  chart.innerHTML = `<title>${what} over the epochs</title>${rules.join("")}<polyline class="curve" points="${line}"/>` +
    `<text x="60" y="232">0</text><text x="530" y="232" text-anchor="end">${epochs} epochs</text><text x="60" y="18">${what}</text>`;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const wrong = box.querySelector(".wrong"), fields = form.elements;
  wrong.textContent = "";
  button.disabled = true;
  try {
    const model = await loaded(), epochs = Number(fields.epochs.value), { X, Y } = given;
    const first = X.slice(0, 1), outputs = (parameters) => model.predict(first, parameters)[0];
    const trainer = model.trainer(X, Y ?? [], {
      optimizer: fields.optimizer.value, learningRate: Number(fields.rate.value), epochs, update: fields.update.value,
    });
    const before = outputs(model.parameters), path = before.length === 1 && X.length === 1 ? [before[0]] : null;
    find("before").textContent = shown(before);
    const frame = () => {
      try {
        const end = performance.now() + 12;
        while (!trainer.done && performance.now() < end) {
          trainer.step();
          path?.push(outputs(trainer.parameters)[0]);
        }
        const { losses } = trainer;
        find("epoch").textContent = losses.length;
        find("loss").textContent = short(losses.at(-1));
        find("after").textContent = shown(outputs(trainer.parameters));
        draw(box.querySelector("svg"), path ?? losses, epochs, path ? "output" : "loss");
        if (!trainer.done) return void requestAnimationFrame(frame);
        find("status").textContent = `Trained in ${losses.length} epochs: the output went from ${shown(before)} to ${shown(outputs(trainer.parameters))}.`;
      } catch (error) {
        wrong.textContent = error.message;
      }
      button.disabled = false;
    };
    requestAnimationFrame(frame);
  } catch (error) {
    wrong.textContent = error.message;
    button.disabled = false;
  }
});
