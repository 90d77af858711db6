import { join } from "node:path";
import { type Dataset, take } from "../../src/data/index.ts";
import { open, save } from "../../src/onnx/index.ts";
import { quantize } from "../../src/quantize/index.ts";
import { openTask } from "../../src/task/index.ts";
import { fromNumbers, toNumbers } from "../../src/tensor/convert.ts";
import type { Batch } from "../../src/tensor/types.ts";
import { writeNpz } from "../lib/npz.ts";
import { line, table } from "../lib/print.ts";
import { type FormatsSettings, type FormatsTable, needed, peer } from "./table.ts";

interface Measured {
  readonly model: string;
  readonly data: string;
  readonly preprocess?: string;
  /** Test samples. */
  readonly samples: number;
}

/** Models of the static scheme, with data. */
export const models: Readonly<Record<string, Measured>> = {
  resnet20: { model: "resnet20.onnx", data: "cifar10", preprocess: "imagenet", samples: 900 },
  squeezenet: { model: "squeezenet1.0_deepcompression.onnx", data: "images/imagenet", samples: 250 },
  mobilenetv2: { model: "mobilenetv2.onnx", data: "images/imagenet", samples: 250 },
  bert_sst2: { model: "bert_sst2/onnx/model.onnx", data: "text/sst2_dev.tsv", samples: 700 },
};
export const calibrate = 100;
const tokens = 128;
const wanted = 0.97;

/** One file of one tool, as static_latency.py describes it. */
interface Row {
  readonly name: string;
  /** Times as fast as float32, with the 95 % interval of the median. */
  readonly speed: readonly [median: number, low: number, high: number];
  readonly milliseconds: number;
  readonly right: number;
  readonly agree: number;
  readonly divergence: number;
  readonly bytes: number;
  /** Nodes of the graph that the runtime made of it. */
  readonly operators: Readonly<Record<string, number>>;
}

interface Found {
  readonly version: string;
  readonly load: readonly number[];
  /** Of the float model, the ninth decile of its times over the first. */
  readonly spread: number;
  readonly rows: readonly Row[];
}

export const staticLatency: FormatsTable = {
  title: "Static int8: latency and accuracy",
  async run(settings) {
    for (const [name, one] of Object.entries(models)) {
      if (settings.models !== undefined && !settings.models.includes(name)) continue;
      await measure(name, one, settings);
    }
  },
};

async function measure(name: string, one: Measured, settings: FormatsSettings): Promise<void> {
  const path = needed(`data/models/${one.model}`);
  const { preprocess } = one;
  const task = await openTask(await open(path), {
    ...{ data: needed(`data/${one.data}`), calibrate },
    ...(preprocess === undefined ? {} : { preprocess }),
  });
  const file = (what: string): string => join(settings.folder, `${name}.${what}`);
  await writeSamples(file("calibration.npz"), task.calibrate ?? task.test, calibrate);
  await writeSamples(file("test.npz"), task.test, one.samples);
  const model = await open(path);
  const started = performance.now();
  const { misses } = await quantize(model, { scheme: "static", data: task.calibrate, samples: calibrate });
  const seconds = (performance.now() - started) / 1000;
  await save(model, file("pith.onnx"));
  line(
    `\n${name}: ${task.preprocessing}; quantized in ${seconds.toFixed(1)} s, ${misses.length} operators stay in float`,
  );
  const given = [path, file("pith.onnx"), file("calibration.npz"), file("test.npz"), `${settings.rounds}`];
  const found = peer<Found>(settings, "static_latency.py", ["onnxruntime", "onnx", "nncf"], given);
  if (found === undefined)
    return line("  No Python with onnxruntime, onnx and nncf was found: nothing to compare with.");
  const { rows, spread, load } = found;
  const digits = (value: number): string => value.toFixed(2);
  table(
    [">of the best", "file", ">× float32", "interval", ">ms", ">top 1, %", ">agree, %", ">KL", ">kB"],
    rows.map(({ name: file, speed, milliseconds, right, agree, divergence, bytes }) => [
      file === "float32" ? "" : digits(speed[0] / best(rows)),
      file,
      digits(speed[0]),
      `${digits(speed[1])} … ${digits(speed[2])}`,
      digits(milliseconds),
      (100 * right).toFixed(1),
      (100 * agree).toFixed(1),
      divergence.toPrecision(2),
      Math.round(bytes / 1000).toString(),
    ]),
  );
  const ours = rows.find(({ name: file }) => file === "pith")?.speed[0] ?? 0;
  const noisy = spread > 1.5 ? ", the machine is too busy for times" : "";
  line(`  ${found.version}; load ${load.map(digits).join(" → ")}; float32 varies by ${digits(spread)} ×${noisy}`);
  line(`  at least ${wanted} of the best: ${ours >= wanted * best(rows) ? "met" : "MISSED"}`);
  graphs(rows);
}

const best = (rows: readonly Row[]): number =>
  Math.max(...rows.flatMap(({ name, speed }) => (name === "float32" || name === "pith" ? [] : speed[0])));

/** Operators of the optimized graphs beside each other. */
function graphs(rows: readonly Row[]): void {
  const all = [...new Set(rows.flatMap(({ operators }) => Object.keys(operators)))].sort();
  table(
    ["operator", ...rows.map(({ name }) => `>${name}`)],
    all.map((operator) => [operator, ...rows.map(({ operators }) => `${operators[operator] ?? ""}`)]),
  );
}

/** Samples one by one, each as long as it is; `time/…` is the one to time, text of so many tokens. */
async function writeSamples(path: string, data: Dataset, count: number): Promise<void> {
  const arrays: Record<string, Batch[string]> = {};
  let at = 0;
  const all: Batch[] = [];
  for await (const batch of take(data, count).batches({ size: 1 })) {
    all.push(batch);
    for (const [name, dense] of Object.entries(batch)) arrays[`${at}/${name}`] = dense;
    at++;
  }
  for (const [name, dense] of Object.entries(all[0] ?? {})) {
    if (name === "label") continue;
    const isText = dense.type === "int64" && dense.dims.length === 2;
    const numbers = all.flatMap((batch) => toNumbers(batch[name] ?? dense).slice(0, isText ? undefined : 0));
    arrays[`time/${name}`] = isText ? fromNumbers("int64", [1, tokens], numbers.slice(0, tokens)) : dense;
  }
  writeNpz(path, arrays);
}
