// The page: what its controls do. All computing is in worker.js.

import { image, opened, show } from "./images.js";

const LARGE = 200; // pixels of a side: from there on, pixels are not shown as squares
const QUIET_MS = 500; // after the last change, before a screen reader is told

const at = (id) => document.getElementById(id);
const worker = new Worker("worker.js", { type: "module" });

const { models } = await (await fetch("models.json")).json();
let source = null; // what is to be restored: {content, width, height, name, isDrawable}
let seed = 1;
let asked = null; // the newest request, as the worker got it
let [frame, announcing] = [0, 0];

at("model").append(
  ...models.map(({ name, size }, i) => new Option(size ? `${name} (${size[1]} x ${size[0]} pixels only)` : name, i)),
);
const hasDigits = at("digits") !== null; // only on the page of MNIST; any other begins when an image is opened
const examples = hasDigits ? await (await import("./digits.js")).digits({ take, source: () => source, update }) : null;
listen();

function listen() {
  at("sigma").addEventListener("input", update);
  at("invert").addEventListener("change", update);
  at("model").addEventListener("change", update);
  at("save").addEventListener("click", save);
  at("again").addEventListener("click", () => {
    seed += 1;
    update();
  });
  at("file").addEventListener("change", ({ target }) => {
    if (target.files.length > 0) openFile(target.files[0]);
    target.value = ""; // so that the same file can be opened again
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length > 0) openFile(event.dataTransfer.files[0]);
  });
  worker.addEventListener("message", ({ data }) => {
    if (data.id === asked.id) tell(data);
  });
  worker.addEventListener("error", () => complain("This browser cannot start what restores images."));
}

// Where images come from

function take(taken) {
  source = taken;
  document.querySelector("main").classList.remove("empty");
  at("original").classList.toggle("drawable", source.isDrawable);
  complain(null);
  update();
}

async function openFile(file) {
  try {
    const content = await opened(file);
    examples?.unchoose();
    take({ content, width: content.width, height: content.height, name: file.name, isDrawable: false });
  } catch (error) {
    complain(error.message);
  }
}

// What is asked of the worker

/** Ask for what the controls say; at most once for each frame that the screen shows. */
function update() {
  at("figures").setAttribute("aria-busy", "true");
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(ask);
}

function ask() {
  const model = models[at("model").value];
  const [height, width] = model.size ?? [source.height, source.width];
  asked = {
    id: (asked?.id ?? 0) + 1,
    model,
    image: image(source.content, width, height),
    sigma: Number(at("sigma").value),
    seed,
    invert: at("invert").checked,
    isOfStrokes: hasDigits,
  };
  at("sigma-says").textContent = asked.sigma.toFixed(2);
  show(at("original"), asked.image.values, asked.image);
  at("figures").classList.toggle("large", Math.max(width, height) > LARGE);
  at("original").setAttribute("aria-label", `Original: ${source.name}`);
  at("original-says").textContent = source.isDrawable ? `${source.name} · draw here` : `${source.name} · ${width} x ${height}`;
  note(model, width, height);
  worker.postMessage(asked);
}

/** Say what differs from what people may expect. */
function note(model, width, height) {
  const notes = [];
  if (source.width !== width || source.height !== height) {
    const size = `${width} x ${height}`;
    notes.push(`Resized from ${source.width} x ${source.height} to ${size} pixels: ${model.name} takes no other size.`);
  }
  if (asked.sigma === 0) notes.push("No noise is added, so PSNR only says how much restoring changes this image.");
  at("note").textContent = notes.join(" ");
  at("note").hidden = notes.length === 0;
}

// What comes back

function tell(answer) {
  const isUnderWay = answer.done !== undefined;
  at("figures").classList.toggle("waiting", isUnderWay); // what they show is of an earlier image
  at("figures").setAttribute("aria-busy", String(isUnderWay));
  at("progress").hidden = !isUnderWay;
  if (isUnderWay) at("progress").value = answer.done;
  else if (answer.error !== undefined) complain(answer.error);
  else present(answer);
}

function present({ noisy, restored, milliseconds, decibels, warning }) {
  const before = `${decibels.noisy.toFixed(1)} dB`;
  const after = `${decibels.restored.toFixed(1)} dB`;
  const time = milliseconds < 100 ? `${milliseconds.toFixed(1)} ms` : `${Math.round(milliseconds)} ms`;
  show(at("noisy"), noisy, asked.image);
  show(at("restored"), restored, asked.image);
  at("noisy-psnr").textContent = before;
  at("noisy-says").textContent = asked.sigma === 0 ? "as it is" : `σ = ${asked.sigma.toFixed(2)}`;
  at("restored-psnr").textContent = after;
  at("restored-says").textContent = `${asked.model.name} · ${time}`;
  at("warning").textContent = warning ?? "";
  at("warning").hidden = warning === null;
  at("save").disabled = false;
  announce(`${asked.model.name} restored ${source.name} in ${time}: PSNR ${before} noisy, ${after} restored.`, warning);
}

/** Tell screen readers, once no more changes come. */
function announce(text, warning) {
  clearTimeout(announcing);
  const all = [text, warning, at("note").textContent].filter(Boolean).join(" ");
  announcing = setTimeout(() => (at("status").textContent = all), QUIET_MS);
}

/** Show an error in one sentence; null takes it away. */
function complain(text) {
  at("error").textContent = text ?? "";
  at("error").hidden = text === null;
}

function save() {
  at("restored").toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "restored.png" });
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
