/**
 * Makes activations and the weights that read them easier to round, without changing what the model computes: factors move between neighbours
 * (`passes/migrate.ts`). An activation has one scale for all its channels, so a channel that reaches a hundred times as far as the others leaves them a
 * hundredth of the codes. Divided by
 *
 *     s_u = reach(x_u)^α / reach(w_u)^(1 - α)        SmoothQuant (Xiao et al. 2023, arXiv 2211.10438)
 *
 * for each unit u, part of that reach goes to the weights, which have a scale for each output. α is searched for each group of units: the one with the least
 * error of the layers that read it, on rows of their own inputs, both operands rounded. Factors are powers of two, so no number is rounded on the way.
 */
import { infer } from "../analysis/infer.ts";
import { type Layer, layers } from "../analysis/layers.ts";
import { type ScaledSlice, type ScaleGroup, scaleGroups } from "../analysis/scale-groups.ts";
import { ownOptions, selectLayers } from "../analysis/selection.ts";
import { weightMatrices } from "../analysis/weight.ts";
import { calibrate } from "../calibrate/calibration.ts";
import { observe } from "../calibrate/observe.ts";
import { columnReach, type Reach } from "../calibrate/reach.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { trainPart } from "../data/open.ts";
import type { Dataset } from "../data/types.ts";
import { engineMultiply } from "../engine/multiply.ts";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import {
  frobenius,
  type Matrix,
  type Multiply,
  matrix,
  type QuantizationRange,
  quantizationRange,
  scaleAndZeroPoint,
  scaleColumns,
  subtract,
  transpose,
} from "../math/index.ts";
import { migrate } from "../passes/migrate.ts";
import type { LayerSelection } from "../passes/options.ts";
import type { Change, Context } from "../passes/pass.ts";
import { readStoredValue } from "../passes/stored.ts";
import { toNumbers } from "../tensor/convert.ts";
import { fixedDims } from "../tensor/dims.ts";
import { roundHalfEven } from "../tensor/round.ts";
import { isWide, type QuantizeSettings } from "./options.ts";

/** Of `quantize`, as far as factors depend on them. */
export interface EqualizeOptions
  extends LayerSelection,
    Pick<QuantizeSettings, "bits" | "perChannel" | "activations" | "samples"> {
  readonly data: Dataset | string;
  readonly overrides?: QuantizeSettings["overrides"];
}

/** Shares of the reach of an activation that go to the weights. */
const alphas = [0.25, 0.5, 0.75, 1];
/** Factors that do not halve the error leave the weights as they are: the outliers that this is for take nine tenths of it. */
const leastGain = 0.5;
/** Outliers of channels show in few samples. */
const mostSamples = 64;
const rowsOfBatch = 64;

/** What comes into a layer: how far, and some of its rows. */
interface Seen extends Reach {
  readonly rows: Matrix;
}

/** A layer that reads a group along its inputs. */
interface Reader {
  readonly layer: Layer;
  readonly seen: Seen;
  /** Outputs × columns. */
  readonly weight: Matrix;
  /** Unit of each column, or -1. */
  readonly unitOf: Int32Array;
}

/**
 * Moves factors where that makes the rounding of the layers smaller that are to compute on integers: with activations of 8 bits, and a scale for each output,
 * which what comes before can grow without loss. The model computes the same.
 */
export async function equalize(model: Model, options: EqualizeOptions, context: Context): Promise<readonly Change[]> {
  const inference = infer(model);
  const all = layers(model, inference);
  const groups = scaleGroups(model, inference).filter(({ units, refused }) => refused.size < units);
  const { data, samples, bits } = options;
  const able = selectLayers(all, options).filter((layer) => {
    const { own } = ownOptions(options, layer);
    return own.perChannel && own.bits > 4 && !isWide(own.activations);
  });
  const wanted = new Set(groups.flatMap((group) => able.filter((layer) => sliceOf(group, layer) !== undefined)));
  if (wanted.size === 0) return [];
  const seen = new Map<Layer, Seen>();
  const few = Math.min(samples, mostSamples);
  const walk = await calibrate(model, { data, samples: few }, context);
  try {
    for (const layer of all) {
      const found = wanted.has(layer) ? await walk.collect(layer, sampledRows) : undefined;
      if (found !== undefined && !(found instanceof Miss)) seen.set(layer, found);
    }
  } finally {
    await walk.release();
  }
  const places = groups.flatMap(({ starts: [first] }) =>
    first?.value === undefined ? [] : { name: first.value.name, axis: first.axis },
  );
  const { engine, seed, signal } = context;
  const taken = { samples: few, shuffle: seed, signal };
  const reaches = await observe(engine, model, await trainPart(data), places, columnReach, taken);
  const products = engineMultiply(engine);
  try {
    const changes: Change[] = [];
    for (const group of groups) {
      const readers = await readersOf(group, model, seen, context);
      const begun = reaches.get(group.starts[0]?.value?.name ?? "");
      const read = { readers, start: begun?.min.length === group.units ? begun : undefined };
      const best = readers.length === 0 ? undefined : await bestFactors(group, read, bits, products.multiply);
      if (best === undefined) continue;
      await migrate(model, group, best.factors);
      const share = Math.round((1 - best.error / best.before) * 100);
      const what = `what it reads is scaled by channel, its weight inversely: ${share} % less error of rounding`;
      changes.push(
        ...readers.map(({ layer }) => ({ at: layer.name, what, kind: "scaled", decidedBy: "global" }) as const),
      );
    }
    return changes;
  } finally {
    await products.release();
  }
}

const sampledRows: Statistic<Seen> = {
  begin() {
    const taken: Matrix[] = [];
    const reach = columnReach.begin();
    return {
      async add(batch) {
        await reach.add(batch);
        const count = Math.min(batch.rows, rowsOfBatch);
        const places = Array.from({ length: count }, (_, at) => Math.floor((at * batch.rows) / count));
        taken.push(batch.matrix(undefined, places));
      },
      end() {
        const { min, max } = reach.end();
        const rows = matrix(
          taken.reduce((sum, part) => sum + part.rows, 0),
          min.length,
        );
        let at = 0;
        for (const { data } of taken) {
          rows.data.set(data, at);
          at += data.length;
        }
        return { rows, min, max };
      },
    };
  },
};

/** Where a layer takes the inverse factors of a group along its inputs. */
const sliceOf = ({ slices }: ScaleGroup, { effective, role }: Layer): ScaledSlice | undefined =>
  role.groups === 1 && role.stack === undefined
    ? slices.find(({ value, axis, power }) => value === effective && axis === role.in && power === -1)
    : undefined;

async function readersOf(
  group: ScaleGroup,
  model: Model,
  seen: ReadonlyMap<Layer, Seen>,
  { engine }: Context,
): Promise<readonly Reader[]> {
  const readers: Reader[] = [];
  for (const [layer, own] of seen) {
    const slice = sliceOf(group, layer);
    const dims = fixedDims(layer.effective.type?.dims);
    if (slice === undefined || dims === undefined || own.rows.rows === 0) continue;
    const [weight] = weightMatrices(layer.role, dims, toNumbers(await readStoredValue(model, layer.effective, engine)));
    if (weight === undefined) continue;
    const taps = weight.columns / slice.unitOf.length;
    const unitOf = Int32Array.from({ length: weight.columns }, (_, at) => slice.unitOf[Math.floor(at / taps)] ?? -1);
    readers.push({ layer, seen: own, weight, unitOf });
  }
  return readers;
}

/** The layers that read a group, and how far the value reaches where it begins. */
interface Read {
  readonly readers: readonly Reader[];
  readonly start: Reach | undefined;
}

interface Best {
  /** Of the layers that read the group, without factors and with them. */
  readonly before: number;
  readonly error: number;
  readonly factors: Float64Array;
}

/** The factors with the least error; undefined where none gains enough. */
async function bestFactors(
  group: ScaleGroup,
  { readers, start }: Read,
  bits: number,
  multiply: Multiply,
): Promise<Best | undefined> {
  const errorOf = async (factors: Float64Array): Promise<number> => {
    // What lies between the first value of the group and its readers is rounded, too.
    const range = start === undefined ? { low: 0, high: 0 } : rangeOf(start, factors);
    let sum = 0;
    for (const reader of readers) sum += await errorBy(reader, factors, range, { bits, multiply });
    return sum;
  };
  const before = await errorOf(new Float64Array(group.units).fill(1));
  let best: Best | undefined;
  for (const alpha of alphas) {
    const factors = factorsBy(group, readers, alpha);
    const error = await errorOf(factors);
    if (error < (best?.error ?? (1 - leastGain) * before)) best = { before, error, factors };
  }
  return best;
}

function factorsBy({ units, refused }: ScaleGroup, readers: readonly Reader[], alpha: number): Float64Array {
  const [ofData, ofWeight] = [new Float64Array(units), new Float64Array(units)];
  for (const { seen, weight, unitOf } of readers)
    unitOf.forEach((unit, column) => {
      if (unit < 0) return;
      ofData[unit] = Math.max(ofData[unit] ?? 0, -(seen.min[column] ?? 0), seen.max[column] ?? 0);
      for (let row = 0; row < weight.rows; row++)
        ofWeight[unit] = Math.max(ofWeight[unit] ?? 0, Math.abs(weight.data[row * weight.columns + column] ?? 0));
    });
  const logs = ofData.map((data, unit) =>
    data > 0 && (ofWeight[unit] ?? 0) > 0 && !refused.has(unit)
      ? (1 - alpha) * Math.log2(ofWeight[unit] ?? 1) - alpha * Math.log2(data)
      : Number.NaN,
  );
  const known = logs.filter((log) => !Number.isNaN(log));
  const mean = known.reduce((sum, log) => sum + log, 0) / Math.max(1, known.length);
  // Where units are refused the others are beside them as they are.
  const middle = refused.size > 0 ? 0 : mean;
  return logs.map((log) => (Number.isNaN(log) ? 1 : 2 ** Math.round(log - middle)));
}

/** ‖rounded(x · f) · rounded(w / f)ᵀ − x · wᵀ‖² as a share of ‖x · wᵀ‖². */
async function errorBy(
  { seen, weight, unitOf }: Reader,
  factors: Float64Array,
  atLeast: QuantizationRange,
  { bits, multiply }: { readonly bits: number; readonly multiply: Multiply },
): Promise<number> {
  const own = Float64Array.from(unitOf, (unit) => factors[unit] ?? 1);
  const scaled = scaleColumns(seen.rows, own);
  const { low, high } = rangeOf(seen, own, atLeast);
  const data = rounded(scaled.data, low, high);
  const divided = scaleColumns(
    weight,
    own.map((factor) => 1 / factor),
  );
  const codes = matrix(weight.rows, weight.columns);
  const { high: most } = quantizationRange({ type: "int8", reduceRange: bits < 8 });
  for (let row = 0; row < weight.rows; row++) {
    const of = divided.data.subarray(row * weight.columns, (row + 1) * weight.columns);
    const step = of.reduce((far, value) => Math.max(far, Math.abs(value)), 0) / most;
    codes.data.set(
      of.map((value) => (step === 0 ? 0 : roundHalfEven(value / step) * step)),
      row * weight.columns,
    );
  }
  const exact = await multiply(seen.rows, transpose(weight));
  const found = await multiply({ ...scaled, data }, transpose(codes));
  const power = frobenius(exact) ** 2;
  return power === 0 ? 0 : frobenius(subtract(found, exact)) ** 2 / power;
}

function rangeOf({ min, max }: Reach, factors: Float64Array, atLeast = { low: 0, high: 0 }): QuantizationRange {
  let { low, high } = atLeast;
  for (const [column, factor] of factors.entries()) {
    low = Math.min(low, (min[column] ?? 0) * factor);
    high = Math.max(high, (max[column] ?? 0) * factor);
  }
  return { low, high };
}

/** Numbers on the 256 steps from the smallest to the largest. */
function rounded(numbers: Float64Array, min: number, max: number): Float64Array {
  const { scale, zeroPoint } = scaleAndZeroPoint(min, max, { type: "uint8" });
  return numbers.map(
    (value) => (Math.min(255, Math.max(0, roundHalfEven(value / scale) + zeroPoint)) - zeroPoint) * scale,
  );
}
