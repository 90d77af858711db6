/**
 * `npm run demo`: trains a network on handwritten digits, makes it smaller in every way that Pith knows, and measures each on the file as
 * it would be shipped. Ends in one table, a report to open in a browser, and every model beside it, in `out/demo/`.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Context, open } from "pith";
import { collect, type Dataset, split } from "pith/data";
import { createEngine } from "pith/engine";
import { judge, latency } from "pith/evaluate";
import { reportPage, type StepRecord } from "pith/report";
import { train } from "pith/train";
import { saveAndMeasure } from "./demo/bench.ts";
import { type Attempt, runOf } from "./demo/record.ts";
import { line, percent, progress, table, whole } from "./demo/screen.ts";
import { originalNetwork, trainingFor, variants, type Workshop } from "./demo/variants.ts";
import { digits } from "./digits.ts";

const folder = join("out", "demo");
const seed = 1;
/** How much worse than the original the model that is named in the end may be. */
const goal = { maxDrop: 0.01 };
/** Training samples set aside to measure the ranges of activations with. */
const calibrationSamples = 500;

const date = new Date().toISOString();
const started = performance.now();
const secondsSince = (begin: number): number => (performance.now() - begin) / 1000;
const count = ({ count: samples }: Dataset): string => whole(samples ?? 0);
const fileOf = (name: string): string => join(folder, `${name.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.onnx`);
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
const original = await saveAndMeasure(engine, net, fileOf("original"), test);
line(`trained  784-128-10, ${training.epochs} epochs, ${percent(original.measured.estimate.value)}`);

const attempts: Attempt[] = [];
for (const { name, make } of variants) {
  const begin = performance.now();
  const steps: StepRecord[] = [];
  const workshop: Workshop = {
    train: ownPart,
    calibrate,
    training,
    original: original.file,
    async step(model, pass, options) {
      const stepBegin = performance.now();
      const { changes, misses, history } = await pass(model, options, contextFor(`${name}: ${pass.id}`));
      const seconds = secondsSince(stepBegin);
      const {
        measured: after,
        comparison,
        agreement,
      } = await saveAndMeasure(engine, model, fileOf(name), test, original);
      const used = Object.fromEntries(Object.entries(options).filter(([key]) => key !== "data"));
      const missed = misses.map(({ at, reason }) => ({ at, reason }));
      const record = { id: pass.id, name: pass.id, options: used, changes, misses: missed, history, seconds };
      steps.push({ ...record, after, comparison, agreement });
    },
  };
  const standing = await saveAndMeasure(engine, await make(net.clone(), workshop), fileOf(name), test, original);
  attempts.push({ name, steps, standing, verdict: judge(standing.comparison, goal) });
  const path = steps.map(({ id, after }) => `${id} ${percent(after?.estimate.value ?? Number.NaN)}`).join(" → ");
  line(`${secondsSince(begin).toFixed(1).padStart(5)} s  ${name}: ${path}`);
}

const standings = [original, ...attempts.map(({ standing }) => standing)];
const models = standings.map(({ model }) => model);
const { input } = await test.gather(Uint32Array.of(0));
if (input === undefined) throw new Error("The digits have no input.");
const watch = (done: number, total?: number): void => progress("timing", done, total);
const times = await latency(engine, models, { input }, { threads: 1, progress: watch });

line();
const rows = standings.map((standing, index) => {
  const name = index === 0 ? "original, 784-128-10" : (variants[index - 1]?.name ?? "");
  return { name, standing, latency: times.models[index] };
});
for (const text of table(rows)) line(text);
line();
line(`Intervals are of 95 %; changes are paired by sample; speed is of one digit on one thread, all models in turns.`);

const seconds = secondsSince(started);
const parts = { train: ownPart, calibrate, test };
const run = await runOf({ ...parts, date, seed, seconds, source, goal, original, attempts, times });
await writeFile(join(folder, "report.html"), reportPage(run));
const best = run.variants[run.chosen ?? -1];
if (best !== undefined) line(`Smallest that loses at most ${100 * goal.maxDrop} point: ${best.name}.`);
line(`${join(folder, "report.html")} and ${standings.length} models beside it, in ${Math.round(seconds)} s.`);
