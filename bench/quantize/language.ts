/**
 * Experiment "language": the loss increase of low-bit language models in nats per token for every rounder, on separate test data. Also GPTQ on every
 * matrix product of one model, calibrated on half of the tokens: its error on the other half, relative to rounding to nearest.
 */
import { infer } from "../../src/core/analysis/infer.ts";
import { type Layer, layers } from "../../src/core/analysis/layers.ts";
import { weightMatrices } from "../../src/core/analysis/weight-matrix.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { pairedMeans } from "../../src/core/math/confidence-interval.ts";
import { type Matrix, matrix, multiplyInJs } from "../../src/core/math/matrix.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open } from "../../src/core/onnx/index.ts";
import { toFloat64 } from "../../src/core/tensor/convert.ts";
import { fixedDims } from "../../src/core/tensor/dims.ts";
import { random } from "../../src/core/tensor/random.ts";
import { isIndexed } from "../../src/data/batches/indexed.ts";
import { setAside } from "../../src/data/batches/select.ts";
import type { Dataset } from "../../src/data/index.ts";
import { evaluate } from "../../src/judge/index.ts";
import { openTask } from "../../src/judge/task/index.ts";
import { readStoredValue } from "../../src/rewrite/edit/stored-values.ts";
import { calibrate } from "../../src/techniques/calibrate/calibration.ts";
import { type Gram, gramMatrices } from "../../src/techniques/calibrate/gram.ts";
import type { LayerContext, Solver } from "../../src/techniques/calibrate/solver.ts";
import { blockGrid, nearestCode, slicedWeight } from "../../src/techniques/quantize/grid.ts";
import { type QuantizeOptions, quantize } from "../../src/techniques/quantize/index.ts";
import { gptq } from "../../src/techniques/quantize/rounders/gptq.ts";
import { rounders } from "../../src/techniques/quantize/rounders/index.ts";
import { nearest } from "../../src/techniques/quantize/rounders/nearest.ts";
import { shared } from "../../test/shared.ts";
import { type LanguageModel, languageModels } from "../lib/language-models.ts";
import { heading, line, table, target } from "../lib/print.ts";
import type { Settings } from "./static.ts";

const seed = 0;

interface Variant {
  readonly options: Pick<QuantizeOptions, "scheme" | "dtype" | "bits" | "weights" | "zeroPoints">;
  /** Maximum loss increase of the default rounder, as a share of the float32 loss. */
  readonly most?: number;
  readonly rounders: boolean;
}

const variants: Readonly<Record<string, Variant>> = {
  "weights, 8 bits": { options: { scheme: "weights" }, most: 0.002, rounders: false },
  dynamic: { options: { scheme: "dynamic" }, most: 0.005, rounders: false },
  static: { options: { scheme: "static" }, rounders: false },
  "4 bits": { options: { dtype: "q4" }, most: 0.012, rounders: true },
  "4 bits, zero points": { options: { dtype: "q4", zeroPoints: true }, rounders: true },
  "3 bits": { options: { scheme: "weights", bits: 3 }, most: 0.08, rounders: true },
  "3 bits, palette": { options: { scheme: "weights", weights: "palette", bits: 3 }, rounders: false },
};

const nearestCodes: NonNullable<Solver<Gram>["codes"]> = ({ matrices, sliceAt }, grid) =>
  matrices.map(({ rows, columns, data }, group) =>
    matrix(
      rows,
      columns,
      data.map((value, at) => nearestCode(grid, sliceAt(group, Math.floor(at / columns), at % columns), value)),
    ),
  );

const names = rounders.meanings.rows.map(([name]) => name);

export async function language(settings: Settings): Promise<boolean> {
  heading("Language models in few bits", seed);
  let met = true;
  for (const model of settings.smoke ? languageModels.slice(0, 1) : languageModels)
    met = (await losses(model, settings)) && met;
  return (await everyProduct(settings)) && met;
}

async function losses(
  { model: file, data, others, calibrate: count }: LanguageModel,
  { smoke, rounders: chosen = ["default", ...(smoke ? [] : names)] }: Settings,
): Promise<boolean> {
  line(`\n${file}`);
  const [path, texts, looked] = [
    shared(`data/models/${file}`),
    shared(`data/${data}`),
    shared(`data/${others ?? data}`),
  ];
  if (path === undefined || texts === undefined || looked === undefined) return missing();
  const engine = createEngine();
  const original = await open(path);
  const metric = "cross-entropy";
  const few = smoke ? { samples: 16 } : {};
  const task = await openTask(original, {
    data: texts,
    metric,
    ...few,
    ...(others === undefined ? { calibrate: count } : {}),
  });
  const samples =
    others === undefined
      ? task.calibrate
      : (await openTask(original, { data: looked, metric, calibrate: count })).calibrate;
  const float = await evaluate(engine, original, task.test, task.metric);
  const { value: before } = float.estimate;
  line(`  ${float.estimate.count} texts, ${count} others looked at; float32 ${before.toFixed(4)} nats a token`);
  const percent = (part: number): string => `${part > 0 ? "+" : ""}${((100 * part) / before).toFixed(2)}`;
  const rows: string[][] = [];
  const checks: (readonly [string, boolean, boolean])[] = [];
  for (const [variant, { options, most, rounders: by }] of Object.entries(variants)) {
    for (const rounder of by ? chosen : ["default"]) {
      const net = await open(path);
      try {
        const rounderOption = rounder === "default" ? {} : { rounder: rounder as "nearest" };
        await quantize(net, { ...options, ...rounderOption, data: samples, samples: count }, { seed });
        const evaluation = await evaluate(engine, net, task.test, task.metric);
        const { value, low, high } = pairedMeans(float.rows, evaluation.rows);
        const bytes = ((await encodeToBytes(net)).length / 1000).toFixed(0);
        rows.push([
          variant,
          rounder,
          evaluation.estimate.value.toFixed(4),
          percent(value),
          `${percent(low)} … ${percent(high)}`,
          bytes,
        ]);
        if (rounder === "default" && most !== undefined)
          checks.push([
            `${variant}: at most ${percent(most * before)} %`,
            value <= most * before,
            high <= most * before,
          ]);
      } catch (error) {
        rows.push([variant, rounder, error instanceof Error ? error.message.slice(0, 60) : `${error}`, "", "", ""]);
        if (rounder === "default" && most !== undefined) checks.push([variant, false, true]);
      }
    }
  }
  table(["", "rounder", ">nats", ">%", ">interval", ">kB"], rows);
  if (smoke) {
    line("  a smoke run: too few samples to judge by");
    return true;
  }
  for (const check of checks) line(`  ${target(...check)}`);
  return checks.every(([, reached]) => reached);
}

function missing(): true {
  line("  not measured: the shared folder (../shared, or PITH_SHARED) does not have it");
  return true;
}

/** Minimum share of layers with a lower error than rounding to nearest, and maximum geometric mean of the error ratio. */
const least = { layers: 0.95, ratio: 0.6 };

async function everyProduct({ smoke }: Settings): Promise<boolean> {
  line(
    "\nGPTQ, of llama260k every product, 4 bits in blocks of 32, error on tokens that it did not look at, over that of the nearest codes",
  );
  const path = shared("data/models/llama260k.onnx");
  const texts = shared("data/text/llama260k_eval_64x120_u16le.bin");
  if (path === undefined || texts === undefined) return missing();
  const model = await open(path);
  const { test } = await openTask(model, { data: texts, metric: "cross-entropy" });
  if (!isIndexed(test)) throw new Error("The texts are a stream.");
  const { drawn, rest } = setAside(test, test.count / 2, seed);
  const [looked, other] = [await gramsOf(model, drawn), await gramsOf(model, rest)];
  const rows: { readonly name: string; readonly ratio: number }[] = [];
  for (const [layer, evidence] of looked) {
    const judging = other.get(layer)?.groups;
    const dims = fixedDims(layer.effective.type?.dims);
    if (judging === undefined || dims === undefined || layer.role.kind === "lookup") continue;
    const numbers = toFloat64(await readStoredValue(model, layer.effective, createEngine()));
    const matrices = weightMatrices(layer.role, dims, numbers);
    const errorOf = async (solver: Solver<Gram>): Promise<number> =>
      errorBy(await rounded(solver, matrices, layer, evidence), matrices, judging);
    rows.push({ name: layer.name, ratio: (await errorOf(gptq)) / (await errorOf(nearest)) });
    if (smoke && rows.length === 3) break;
  }
  const ratios = rows.map(({ ratio }) => ratio).sort((a, b) => a - b);
  const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
  const below = ratios.filter((ratio) => ratio < 1).length / ratios.length;
  const worst = rows.toSorted((a, b) => b.ratio - a.ratio).slice(0, 3);
  line(
    `  ${rows.length} products: ${mean.toFixed(2)} in the geometric mean, ${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)}`,
  );
  line(`  the highest: ${worst.map(({ name, ratio }) => `${name} ${ratio.toFixed(2)}`).join(", ")}`);
  const checks = [
    target(`below on ${(100 * below).toFixed(0)} % of ${100 * least.layers}`, below >= least.layers, true),
    target(`geometric mean ${mean.toFixed(2)} of ${least.ratio}`, mean <= least.ratio, true),
  ];
  for (const text of checks) line(`  ${text}`);
  return below >= least.layers && mean <= least.ratio;
}

async function gramsOf(model: Model, data: Dataset): Promise<ReadonlyMap<Layer, Gram>> {
  const walk = await calibrate(model, { data, samples: data.count ?? 0 });
  const grams = new Map<Layer, Gram>();
  try {
    for (const layer of layers(model, infer(model))) {
      const gram = await walk.collect(layer, gramMatrices);
      if (!(gram instanceof Miss)) grams.set(layer, gram);
    }
  } finally {
    await walk.release();
  }
  return grams;
}

/** Returns the dequantized weights that a solver chooses. */
async function rounded(
  solver: Solver<Gram>,
  matrices: readonly Matrix[],
  layer: Layer,
  evidence: Gram,
): Promise<readonly Matrix[]> {
  const grid = blockGrid({ bits: 4, block: 32, symmetric: true });
  const outputs = matrices.reduce((sum, { rows }) => sum + rows, 0);
  const weight = slicedWeight(matrices, outputs, 32);
  const context: LayerContext<Gram> = { layer, evidence, random: random(seed, layer.name), multiply: multiplyInJs };
  const scales = (await solver.scales?.(weight, grid, context)) ?? [];
  const scaled = {
    ...grid,
    scale: Float32Array.from(scales, ({ scale }) => scale),
    zeroPoint: Int32Array.from(scales, ({ zeroPoint }) => zeroPoint),
  };
  const codes = await (solver.codes ?? nearestCodes)(weight, scaled, context);
  return codes.map(({ rows, columns, data }, group) =>
    matrix(
      rows,
      columns,
      data.map((code, at) => {
        const slice = weight.sliceAt(group, Math.floor(at / columns), at % columns);
        return (code - (scaled.zeroPoint[slice] ?? 0)) * (scaled.scale[slice] ?? 0);
      }),
    ),
  );
}

/** Returns Σ over groups of tr(D H Dᵀ), D = rounded − weight: the squared error of the layer outputs. */
async function errorBy(found: readonly Matrix[], weight: readonly Matrix[], grams: readonly Matrix[]): Promise<number> {
  let sum = 0;
  for (const [group, { rows, columns, data }] of found.entries()) {
    const difference = matrix(
      rows,
      columns,
      data.map((value, at) => value - (weight[group]?.data[at] ?? 0)),
    );
    const seen = await multiplyInJs(difference, grams[group] ?? matrix(columns, columns));
    sum += difference.data.reduce((all, value, at) => all + value * (seen.data[at] ?? 0), 0);
  }
  return sum;
}
