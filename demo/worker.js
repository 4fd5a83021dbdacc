// Adds noise and restores, beside the page, so that the page never waits.

import { env, InferenceSession, Tensor } from "./ort/ort.wasm.bundle.min.mjs";
import { groups, joined, separated } from "./channels.js";
import { finding, sentence, statistics } from "./domain.js";
import { clip, noisy } from "./noise.js";
import { psnr } from "./quality.js";
import { keep, read, tiles } from "./tiles.js";

const SIDE = 384; // pixels of a tile: about half a second, after which a newer request comes first

env.wasm.numThreads = 1; // more want headers that plain servers of files do not send
env.wasm.wasmPaths = { wasm: new URL("./ort/ort-wasm-simd-threaded.wasm", import.meta.url).href };

const sessions = new Map(); // file of a graph -> promise of its session
let latest = 0; // the id of the newest request: older ones are dropped
let last = Promise.resolve();

onmessage = ({ data: request }) => {
  latest = request.id;
  last = last.then(() => answer(request));
};

/** Post what `restored` gives for a request, or an error; nothing if a newer request has come. */
async function answer(request) {
  const { id } = request;
  if (id !== latest) return;
  try {
    const result = await restored(request);
    if (result !== null) postMessage({ id, ...result });
  } catch (error) {
    postMessage({ id, error: `The model could not be run: ${error.message ?? error}` });
  }
}

/** The noisy and the restored image with what is measured on them; null if a newer request has come. */
async function restored({ id, model, image, sigma, seed, invert, isOfStrokes }) {
  const input = noisy(image.values, sigma, seed);
  const session = await sessionOf(model.file);
  const given = invert ? negative(input) : input;
  const output = new Float32Array(input.length);
  const pixels = image.width * image.height;
  const plane = (values, channel) => values.subarray(channel * pixels, (channel + 1) * pixels);
  const together = groups(model.channels, image.channels);
  const parts = tiles(image.height, image.width, model.reach, SIDE);
  let [milliseconds, done] = [0, 0];
  if (parts.length > 1) postMessage({ id, done });
  for (const channels of together) {
    for (const part of parts) {
      const started = performance.now();
      const tile = joined(channels.map((channel) => read(plane(given, channel), image.width, part)));
      const planes = separated(await run(session, tile, channels.length, part), channels);
      for (const [channel, values] of planes) keep(plane(output, channel), image.width, part, values);
      milliseconds += performance.now() - started;
      done += 1 / (parts.length * together.length);
      if (parts.length === 1) continue;
      postMessage({ id, done });
      await new Promise((resolve) => setTimeout(resolve)); // lets requests come in
      if (id !== latest) return null;
    }
  }
  const unusual = model.profile && finding(model.profile, statistics(given, output, image));
  const clean = invert ? negative(output) : output;
  return {
    noisy: input,
    restored: clean,
    milliseconds,
    decibels: { noisy: psnr(input, image.values), restored: psnr(clean, image.values) },
    warning: unusual ? sentence(unusual, isOfStrokes) : null,
  };
}

/** A restored tile [channels, height, width], clipped to [0, 1]. */
async function run(session, values, channels, { rows, columns }) {
  const input = new Tensor("float32", values, [1, channels, rows.to - rows.from, columns.to - columns.from]);
  const results = await session.run({ [session.inputNames[0]]: input });
  return results[session.outputNames[0]].data.map(clip);
}

function sessionOf(file) {
  if (!sessions.has(file)) {
    const created = InferenceSession.create(new URL(file, import.meta.url).href, { executionProviders: ["wasm"] });
    created.catch(() => sessions.delete(file)); // so that the next request tries again
    sessions.set(file, created);
  }
  return sessions.get(file);
}

function negative(values) {
  return values.map((value) => 1 - value);
}
