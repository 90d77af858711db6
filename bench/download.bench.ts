/**
 * Bytes on the wire of int8 files with low-entropy values (rounding method rdoq), next to int8 as before, 4 bits and palettes.
 *
 *     npm run bench -- download [--models resnet20,cct_cifar10] [--schemes weights,static] [--seed 0]
 *
 * The distortion is the largest with 97.5 % of the predictions unchanged on validation samples, which the network was not trained on, or with a loss at most 0.7 % higher on training
 * samples. A second result has the least distortion within the target of bytes. Both are chosen with the first scheme, and measured on the
 * other samples. Sizes are those of whole files (gzip 9, brotli 11). Speed is on one thread, relative to float. Missed targets are printed.
 */
import { parseArgs } from "node:util";
import { createEngine } from "../src/core/engine/index.ts";
import type { Model } from "../src/core/graph/model.ts";
import { bytes, figureText, percent, times } from "../src/core/numbers.ts";
import { encodedSource } from "../src/core/onnx/encode.ts";
import { open } from "../src/core/onnx/index.ts";
import { completeContext } from "../src/core/pass/run-pass.ts";
import { draw } from "../src/data/batches/select.ts";
import { latency, size } from "../src/judge/index.ts";
import type { HoldoutComparison } from "../src/judge/measure/holdout.ts";
import { PairedMetrics, type PairedResult } from "../src/judge/measure/paired-metrics.ts";
import type { Spread } from "../src/runtime/run/latency.ts";
import { timedFeeds, timedShapes } from "../src/runtime/run/timed-inputs.ts";
import { type QuantizeOptions, quantize } from "../src/techniques/quantize/index.ts";
import { distortions } from "../src/techniques/quantize/precision-fallback.ts";
import { filesOf, type Network, networks } from "./compress/networks.ts";
import { taskOf } from "./compress/task.ts";
import { heading, line, points, table, target } from "./lib/print.ts";

const { values } = parseArgs({
  allowPositionals: true,
  options: {
    models: { type: "string", default: "resnet20,cct_cifar10" },
    schemes: { type: "string", default: "weights,static" },
    seed: { type: "string", default: "0" },
  },
});
type Scheme = "weights" | "static" | "dynamic";
const seed = Number(values.seed);
const engine = createEngine();
const context = completeContext({ engine, seed });
/** Training samples that choose the distortion of a network without predictions of classes. */
const choosing = 1000;
/** Limits on the samples that choose the distortion. The test samples must meet 97 % and 1 % of the loss. */
const [leastUnchanged, mostLoss] = [0.975, 0.007];
/** Target share of the int8 bytes, by network. */
const shares: Readonly<Record<string, number>> = {
  llama260k: 0.55,
  llama_shakespeare: 0.55,
  squeezenet: 0.72,
  mobilenetv2: 0.72,
};

const compressed = async (model: Model) => size(await encodedSource(model));

/** Returns the share of unchanged predictions, or the relative increase of the loss. */
function changeOf({ agreement, comparison }: HoldoutComparison): {
  readonly text: string;
  readonly enough: boolean;
  readonly clear: boolean;
} {
  if (comparison.unit === "share" && agreement !== undefined) {
    const { value } = agreement;
    return { text: `${percent(value)} unchanged`, enough: value >= 0.97, clear: value >= leastUnchanged };
  }
  const rise = (comparison.candidate.value - comparison.original.value) / comparison.original.value;
  return { text: `${percent(rise, 2)} loss`, enough: rise <= 0.01, clear: rise <= mostLoss };
}

interface Made extends Partial<Awaited<ReturnType<typeof compressed>>> {
  readonly model: Model;
  readonly result: PairedResult;
}

/** Returns the first value that holds, if all after it do as well. */
async function firstIn<T>(all: readonly T[], holds: (one: T) => Promise<boolean>): Promise<T | undefined> {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const element = all[middle];
    if (element !== undefined && (await holds(element))) high = middle;
    else low = middle + 1;
  }
  return all[low];
}

function targetsOf(name: string, result: PairedResult, ratio: number, most: number): readonly string[] {
  const { difference, unit } = result.comparison;
  const { text, enough } = changeOf(result);
  return [
    target(`${name}: brotli ${times(ratio)} of int8 (at most ${times(most)})`, ratio <= most, true),
    ...(unit === "share"
      ? [target(`${name}: within 0.5 points`, -difference.value <= 0.005, -difference.low <= 0.005)]
      : []),
    target(`${name}: ${text} (at least 97 %, or a loss at most 1 % higher)`, enough, true),
  ];
}

async function benchOf(network: Network): Promise<void> {
  const files = filesOf(network);
  if (files === undefined) return line(`${network.name}: not here`);
  const original = await open(files.model);
  // Unchanged predictions have a separate column.
  const { metric: usual, ...labeled } = network;
  const judged = usual === "agreement" ? labeled : network;
  const { calibrate, train, test, metric } = await taskOf(original, files.data, judged, seed);
  if (calibrate === undefined) return line(`${network.name}: no samples to calibrate on`);
  const settings = { batch: undefined, output: undefined };
  const judge = await PairedMetrics.create(original, { test, metric }, { ...settings, choice: true }, context);
  const samples = train === undefined ? calibrate : draw(train, choosing, seed + 1);
  const onTraining =
    metric.unit === "share"
      ? undefined
      : await PairedMetrics.create(original, { test: samples, metric }, settings, context);
  const make = async (options: Partial<QuantizeOptions>): Promise<Made> => {
    const model = original.clone();
    await quantize(model, { data: calibrate, samples: 256, ...options } as QuantizeOptions, context);
    return { model, result: await judge.compare(model), ...(await compressed(model)) };
  };
  const timed = async (models: readonly Model[]) => {
    const [shapes = {}] = await timedShapes(engine, models.slice(0, 1), { sizes: new Map(), seed });
    const feeds = timedFeeds(original, shapes, seed);
    const { models: timings } = await latency(engine, models, feeds, { threads: 1, seconds: 60 });
    return timings.map(({ speedup }) => speedup);
  };
  /** Returns whether the change on the choosing samples is within the limits. */
  const isClear = async ({ model, result }: Made): Promise<boolean> =>
    changeOf(onTraining === undefined ? (result.validation ?? result) : await onTraining.compare(model)).clear;
  const rows: { readonly name: string; readonly made: Made }[] = [];
  const add = (name: string, made: Made): void => void rows.push({ name, made });
  const textOf = (name: string, { result, ...made }: Made, speed: Spread | undefined): string[] => {
    const { difference, unit, candidate } = result.comparison;
    const change = unit === "share" ? points(difference, 1) : figureText(unit, difference.value);
    const sizes = [made.bytes, made.gzip, made.brotli].map((size = Number.NaN) => bytes(size));
    return [
      name,
      ...sizes,
      times(speed?.median ?? Number.NaN),
      figureText(unit, candidate.value),
      change,
      changeOf(result).text,
    ];
  };
  add("float", { model: original, result: await judge.compare(original), ...(await compressed(original)) });
  const targets: string[] = [];
  const chosen: number[] = [];
  for (const scheme of (values.schemes ?? "").split(",") as Scheme[]) {
    const plain = await make({ scheme });
    add(`int8 ${scheme}`, plain);
    const most = shares[network.name] ?? 0.3;
    const ratioOf = ({ brotli = Number.NaN }: Made): number => brotli / (plain.brotli ?? Number.NaN);
    const results = new Map<number, Made>();
    const at = async (distortion: number): Promise<Made> => {
      const result = results.get(distortion) ?? (await make({ scheme, rounder: "rdoq", distortion }));
      results.set(distortion, result);
      return result;
    };
    if (chosen.length === 0) {
      const largest = await firstIn(distortions, async (distortion) => isClear(await at(distortion)));
      if (largest === undefined) targets.push(target(`${scheme}: a distortion that meets the goal`, false, true));
      else chosen.push(largest);
      const tooLarge = await firstIn(distortions, async (distortion) => ratioOf(await at(distortion)) > most);
      const within = distortions.slice(0, tooLarge === undefined ? undefined : distortions.indexOf(tooLarge)).at(-1);
      if (within !== undefined && within !== largest) chosen.push(within);
    }
    for (const distortion of chosen) {
      const name = `${scheme}, distortion ${distortion}`;
      const result = await at(distortion);
      add(`rdoq ${name}`, result);
      targets.push(...targetsOf(name, result.result, ratioOf(result), most));
      if (scheme === "weights") continue;
      const [, speed] = await timed([plain.model, result.model]);
      const { median, low, high } = speed ?? { median: Number.NaN, low: Number.NaN, high: Number.NaN };
      const text = `${name}: ${times(median)} as fast as int8 (${low.toFixed(2)} … ${high.toFixed(2)})`;
      targets.push(target(text, median >= 0.97 && median <= 1.03, low >= 0.97 && high <= 1.03));
    }
  }
  const lowBitFormats = [
    ["4 bits", { scheme: "weights", bits: 4 }],
    ["palettes of 4 bits", { scheme: "weights", weights: "palette", bits: 4 }],
  ] as const;
  for (const [name, options] of lowBitFormats) add(name, await make(options));
  const speeds = await timed(rows.map(({ made }) => made.model));
  line();
  line(`${network.name}, ${metric.name}, n = ${judge.original.comparison.original.count}`);
  const titles = ["", ">bytes", ">gzip", ">brotli", ">speed", `>${metric.name}`, ">change", ">predictions"];
  table(
    titles,
    rows.map(({ name, made }, at) => textOf(name, made, speeds[at])),
  );
  for (const text of targets) line(`  ${text}`);
}

heading("Bytes on the wire: low-entropy int8", seed);
for (const name of (values.models ?? "").split(",")) {
  const network = networks.find((one) => one.name === name);
  if (network === undefined)
    throw new Error(`There is no network "${name}", only ${networks.map((one) => one.name).join(", ")}.`);
  await benchOf(network);
}
