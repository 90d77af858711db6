/**
 * `npm run demo`: trains a network on handwritten digits and makes it smaller, first by each technique alone, in one table, then by the search that
 * `pith compress` runs. Writes every model and the report of the search into `out/demo/`.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Context, open, save } from "pith";
import { reportPage, search } from "pith/compress";
import { collect, type Dataset, split } from "pith/data";
import { createEngine } from "pith/engine";
import { accuracy, latency } from "pith/evaluate";
import { train } from "pith/train";
import { measureFile, saveAndTest, type Tested } from "./demo/bench.ts";
import { line, percent, points, progress, table, whole } from "./demo/screen.ts";
import { originalNetwork, trainingFor, variants, type Workshop } from "./demo/variants.ts";
import { digits } from "./digits.ts";

const folder = join("out", "demo");
const seed = 1;
/** Training samples set aside to measure the ranges of activations with. */
const calibrationSamples = 500;
/** How much worse than the original the result of the search may be. */
const goal = { maxDrop: 0.01 };
/** Candidates that the search tries. */
const candidates = 7;

const started = performance.now();
const secondsSince = (begin: number): number => (performance.now() - begin) / 1000;
const count = ({ count: samples }: Dataset): string => whole(samples ?? 0);
const fileOf = (name: string): string => join(folder, `${name.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.onnx`);
const accuracyOf = ({ comparison }: Tested): string => percent(comparison.candidate.value);
const engine = createEngine();
const contextFor = (name: string): Partial<Context> => ({
  engine,
  seed,
  open,
  progress: (done, total) => progress(name, done, total),
});
await mkdir(folder, { recursive: true });

progress("looking for the digits");
const { source, train: all, test: rest } = await digits([1, 1, 28, 28]);
const share = calibrationSamples / (all.count ?? 1);
const [ownPart = all, calibrate = all] = split(await collect(all), [1 - share, share], seed);
const test = await collect(rest);
line(`data     ${source}`);
line(`         ${count(ownPart)} training, ${count(calibrate)} calibration, ${count(test)} test samples`);

const net = originalNetwork();
const training = trainingFor(ownPart);
// It sees digits shifted by up to a pixel, which its students learn from it: a teacher of the very images that they are shown says little more than labels.
await train(net, { ...training, data: ownPart, augment: "crop=1" }, contextFor("training 784-128-10"));
const original = await saveAndTest(engine, net, fileOf("original"), test);
line(`trained  784-128-10, ${training.epochs} epochs, ${accuracyOf(original)}`);

/** Sizes after brotli are computed while the next networks train. */
const measurements = [{ name: "original, 784-128-10", standing: measureFile(original) }];
for (const { name, make } of variants) {
  const begin = performance.now();
  const path: string[] = [];
  let last: Tested | undefined;
  const workshop: Workshop = {
    train: ownPart,
    calibrate,
    training,
    original: original.file,
    async step(model, pass, options) {
      await pass(model, options, contextFor(`${name}: ${pass.id}`));
      last = await saveAndTest(engine, model, fileOf(name), test, original);
      path.push(`${pass.id} ${accuracyOf(last)}`);
    },
  };
  await make(net.clone(), workshop);
  if (last === undefined) throw new Error(`${name} has no step.`);
  measurements.push({ name, standing: measureFile(last) });
  line(`${secondsSince(begin).toFixed(1).padStart(5)} s  ${name}: ${path.join(" → ")}`);
}

const rows = await Promise.all(measurements.map(async ({ name, standing }) => ({ name, standing: await standing })));
const { input } = await test.gather(Uint32Array.of(0));
if (input === undefined) throw new Error("The digits have no input.");
const times = await latency(
  engine,
  rows.map(({ standing }) => standing.model),
  { input },
  { threads: 1, progress: (done, total) => progress("timing", done, total) },
);

line();
for (const text of table(rows.map((row, index) => ({ ...row, latency: times.models[index] })))) line(text);
line();
line(
  "Intervals are at 95 %. Changes are in points, paired by sample. Speed is for one digit on one thread, with all models in turns.",
);

line();
line(
  `Searching ${candidates} combinations of these techniques for the smallest file that loses at most 1 point, as \`pith compress\` does:`,
);
const { run, result } = await search(
  await open(original.file),
  { train: ownPart, calibrate, test, metric: accuracy() },
  { goal, steps: candidates, purpose: "size" },
  contextFor("searching"),
);
await writeFile(join(folder, "report.html"), reportPage(run));
const kept = run.variants[run.chosen ?? -1];
if (result !== undefined && kept?.result !== undefined && kept.comparison !== undefined) {
  await save(result.model, fileOf("searched"));
  const { bytes } = kept.result;
  const { difference } = kept.comparison;
  line(`kept     ${kept.name}: ${whole(bytes)} bytes, ${(run.original.bytes / bytes).toFixed(1)} × smaller`);
  line(
    `change   ${points(difference, true)} points of accuracy, on ${whole(difference.count)} digits that the search did not use`,
  );
}
line(`report   ${join(folder, "report.html")}, with all models next to it, in ${Math.round(secondsSince(started))} s`);
line("next     npx --no-install pith compress model.onnx --data samples/ -o out/");
