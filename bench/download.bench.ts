/**
 * Bytes on the wire of int8 files with low-entropy values (rounding method rdoq), next to int8 as before, 4 bits and palettes.
 *
 *     npm run bench -- download [--models resnet20,cct_cifar10] [--schemes weights,static] [--seed 0]
 *
 * Calibration only. The distortion is chosen on training samples: the largest with 98 % of the predictions unchanged, or a loss at most 0.7 %
 * higher. The result is measured on test samples. Sizes are those of whole files (gzip 9, brotli 11). Targets that are missed are printed.
 */
import { parseArgs } from "node:util";
import { draw } from "../src/data/select.ts";
import { createEngine } from "../src/engine/index.ts";
import { latency, size } from "../src/evaluate/index.ts";
import { bytes, figure, percent, times } from "../src/evaluate/numbers.ts";
import { timedFeeds, timedShapes } from "../src/evaluate/timed-inputs.ts";
import type { Model } from "../src/graph/model.ts";
import { encodedSource, open } from "../src/onnx/index.ts";
import { completeContext } from "../src/passes/index.ts";
import { type QuantizeOptions, quantize } from "../src/quantize/index.ts";
import { milderSettings } from "../src/quantize/milder.ts";
import { PairedMetrics, type PairedResult } from "../src/recipe/paired-metrics.ts";
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
const seed = Number(values.seed);
const engine = createEngine();
const context = completeContext({ engine, seed });
/** Samples that choose the distortion. */
const choosing = 1000;
/** On the samples that choose; 97 % and 1 % of the loss are required on the test samples. */
const [leastUnchanged, mostLoss] = [0.98, 0.007];
/** Share of the bytes of int8, by network. */
const shares: Readonly<Record<string, number>> = {
  llama260k: 0.55,
  llama_shakespeare: 0.55,
  squeezenet: 0.72,
  mobilenetv2: 0.72,
};

const compressed = async (model: Model) => size(await encodedSource(model));

/** Share of unchanged predictions, or the relative rise of the loss. */
function changeOf({ agreement, comparison }: PairedResult): {
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

async function benchOf(network: Network): Promise<void> {
  const files = filesOf(network);
  if (files === undefined) return line(`${network.name}: not here`);
  const original = await open(files.model);
  const { calibrate, train, test, metric } = await taskOf(original, files.data, network, seed);
  if (calibrate === undefined) return line(`${network.name}: no samples to calibrate on`);
  const settings = { batch: undefined, output: undefined };
  const samples = train === undefined ? calibrate : draw(train, choosing, seed + 1);
  const chosenOn = await PairedMetrics.create(original, { test: samples, metric }, settings, context);
  const judge = await PairedMetrics.create(original, { test, metric }, settings, context);
  const make = async (options: Partial<QuantizeOptions>): Promise<Model> => {
    const model = original.clone();
    await quantize(model, { data: calibrate, samples: 256, ...options } as QuantizeOptions, context);
    return model;
  };
  const rows: string[][] = [];
  const found: {
    readonly name: string;
    readonly model: Model;
    readonly brotli: number;
    readonly result: PairedResult;
  }[] = [];
  const add = async (name: string, model: Model): Promise<void> => {
    const result = await judge.compare(model);
    const { bytes: raw, gzip = Number.NaN, brotli = Number.NaN } = await compressed(model);
    found.push({ name, model, brotli, result });
    const { difference, unit, candidate } = result.comparison;
    const change = unit === "share" ? points(difference, 1) : figure(unit, difference.value);
    rows.push([
      name,
      bytes(raw),
      bytes(gzip),
      bytes(brotli),
      figure(unit, candidate.value),
      change,
      changeOf(result).text,
    ]);
  };
  await add("float", original);
  const targets: string[] = [];
  for (const scheme of (values.schemes ?? "").split(",") as ("weights" | "static" | "dynamic")[]) {
    await add(`int8 ${scheme}`, await make({ scheme }));
    const plain = found.at(-1);
    let best: { readonly model: Model; readonly distortion: unknown } | undefined;
    const ladder = milderSettings({ rounder: "rdoq" }, true);
    for (let [low, high] = [0, ladder.length]; low < high; ) {
      const middle = Math.floor((low + high) / 2);
      const { distortion } = ladder[middle] ?? {};
      const model = await make({ scheme, rounder: "rdoq", distortion: Number(distortion) });
      if (changeOf(await chosenOn.compare(model)).clear) {
        best = { model, distortion };
        high = middle;
      } else low = middle + 1;
    }
    if (best === undefined) {
      targets.push(target(`${scheme}: a distortion that meets the goal`, false, true));
      continue;
    }
    await add(`rdoq ${scheme}, distortion ${best.distortion}`, best.model);
    const own = found.at(-1);
    if (own === undefined || plain === undefined) continue;
    const most = shares[network.name] ?? 0.3;
    const ratio = own.brotli / plain.brotli;
    targets.push(target(`${scheme}: brotli ${times(ratio)} of int8 (at most ${times(most)})`, ratio <= most, true));
    const { difference, unit } = own.result.comparison;
    if (unit === "share")
      targets.push(target(`${scheme}: within 0.5 points`, -difference.value <= 0.005, -difference.low <= 0.005));
    const { text, enough } = changeOf(own.result);
    targets.push(target(`${scheme}: ${text} (at least 97 %, or a loss at most 1 % higher)`, enough, true));
    if (scheme === "weights") continue;
    const [shapes = {}] = await timedShapes(engine, [plain.model], { sizes: new Map(), seed });
    const feeds = timedFeeds(plain.model, shapes, seed);
    const { models } = await latency(engine, [plain.model, own.model], feeds, { threads: 1 });
    const { median, low, high } = models[1]?.speedup ?? { median: Number.NaN, low: Number.NaN, high: Number.NaN };
    const text2 = `${scheme}: ${times(median)} as fast as int8 (${low.toFixed(2)} … ${high.toFixed(2)})`;
    targets.push(target(text2, low <= 1.03 && high >= 0.97, true));
  }
  for (const [name, options] of [
    ["4 bits", { scheme: "weights", bits: 4 }],
    ["palettes of 4 bits", { scheme: "weights", weights: "palette", bits: 4 }],
  ] as const)
    await add(name, await make(options));
  line();
  line(`${network.name}, ${metric.name}, n = ${judge.original.comparison.original.count}`);
  table(["", ">bytes", ">gzip", ">brotli", `>${metric.name}`, ">change", ">predictions"], rows);
  for (const text of targets) line(`  ${text}`);
}

heading("Bytes on the wire: low-entropy int8, calibration only", seed);
for (const name of (values.models ?? "").split(",")) {
  const network = networks.find((one) => one.name === name);
  if (network === undefined)
    throw new Error(`There is no network "${name}", only ${networks.map((one) => one.name).join(", ")}.`);
  await benchOf(network);
}
