/** Searches the factors of each group of units, on layer inputs after the previous groups have moved. */
import { infer } from "../../../core/analysis/infer.ts";
import { type Layer, layers } from "../../../core/analysis/layers.ts";
import { type ScaledSlice, type ScaleGroup, scaleGroups } from "../../../core/analysis/scale-groups.ts";
import { ownOptions, selectLayers } from "../../../core/analysis/selection.ts";
import { weightMatrices } from "../../../core/analysis/weight.ts";
import { engineMultiply } from "../../../core/engine/multiply.ts";
import { Miss } from "../../../core/errors.ts";
import { emitInto } from "../../../core/graph/emit.ts";
import type { Model } from "../../../core/graph/model.ts";
import { type Matrix, matrix, scaleColumns } from "../../../core/math/index.ts";
import { type Change, type Context, movedFactors } from "../../../core/pass/pass.ts";
import { fromNumbers, toNumbers } from "../../../core/tensor/convert.ts";
import { fixedDims } from "../../../core/tensor/dims.ts";
import { trainPart } from "../../../data/sources/open.ts";
import { migrate } from "../../../rewrite/edit/migrate.ts";
import { readStoredValue } from "../../../rewrite/edit/stored.ts";
import { calibrate } from "../../calibrate/calibration.ts";
import { columnRange } from "../../calibrate/column-statistics.ts";
import { featuresOf } from "../../calibrate/features.ts";
import { measuredOnce, observeOnce } from "../../calibrate/kept.ts";
import type { Statistic } from "../../calibrate/statistic.ts";
import { tryOut } from "../prepare.ts";
import { bestFactors, type FactorReaders, type FactorSearch, type InputSample, type Reader } from "./best-factors.ts";
import type { EqualizeOptions, Transformation } from "./transformation.ts";

/** A few samples show outlier channels. */
const mostSamples = 64;
const rowsOfBatch = 64;

export const searchFactors =
  (search: FactorSearch): Transformation["move"] =>
  async (model: Model, options: EqualizeOptions, context: Context): Promise<readonly Change[]> => {
    const { data, samples } = options;
    if (data === undefined) return [];
    // Layers other than products with float32 data are rounded differently, or not at all.
    const isTarget = new Set(tryOut(model, options).targets.map(({ node }) => node));
    if (isTarget.size === 0) return [];
    const inference = infer(model);
    const all = layers(model, inference);
    const groups = scaleGroups(model, inference).filter(({ units, refused }) => refused.size < units);
    const able = selectLayers(all, options).filter((layer) => {
      const { own } = ownOptions<EqualizeOptions & { readonly float?: boolean | undefined }>(options, layer);
      return own.float !== true && search.counts(own) && isTarget.has(layer.node);
    });
    const reached = new Set(groups.flatMap((group) => able.filter((layer) => sliceOf(group, layer) !== undefined)));
    const { leastGainOfNode } = search;
    const inputs = new Map(
      leastGainOfNode === undefined
        ? []
        : able.flatMap((layer) => {
            const own = reached.has(layer) ? undefined : groupOfInput(layer);
            return own === undefined ? [] : [[layer, own] as const];
          }),
    );
    const wanted = new Set([...reached, ...inputs.keys()]);
    if (wanted.size === 0) return [];
    const few = Math.min(samples, mostSamples);
    const { engine, seed, signal } = context;
    const opened = await trainPart(data);
    const collect = async (missing: readonly string[]): Promise<ReadonlyMap<string, InputSample | Miss>> => {
      const found = new Map<string, InputSample | Miss>();
      const walk = await calibrate(model, { data: opened, samples: few }, context);
      try {
        for (const layer of all)
          if (missing.includes(layer.name)) found.set(layer.name, await walk.collect(layer, sampledRows));
      } finally {
        await walk.release();
      }
      return found;
    };
    const ofLayers = all.filter((layer) => wanted.has(layer));
    const names = ofLayers.map(({ name }) => name);
    const rows = await measuredOnce(model, opened, `rows of ${few} samples, seed ${seed}`, names, collect);
    const seen = new Map<Layer, InputSample>();
    for (const layer of ofLayers) {
      const found = rows.get(layer.name);
      if (found !== undefined && !(found instanceof Miss)) seen.set(layer, found);
    }
    const places = groups.flatMap(({ starts: [first] }) =>
      first?.value === undefined ? [] : { name: first.value.name, axis: first.axis },
    );
    const taken = { samples: few, shuffle: seed, signal };
    const reachKept = { of: opened, setting: `reach on ${few} samples, seed ${seed}` };
    const reaches = await observeOnce(engine, model, reachKept, places, columnRange, taken);
    const products = engineMultiply(engine);
    const begin = model.clone();
    const earlier: string[] = [];
    const choose = async (id: string, group: ScaleGroup, read: FactorReaders, leastGain: number) => {
      if (read.readers.length === 0) return undefined;
      const choice = [id, ...read.readers.map(({ layer, own }) => layer.name + settingsText(own))].join();
      const name = [...earlier, choice].join("\n");
      const setting = `factors by ${search.id} on ${few} samples, seed ${seed}`;
      const found = await measuredOnce(begin, opened, setting, [name], async () => {
        const best = await bestFactors(group, read, { ...search, leastGain }, products.multiply);
        return new Map([[name, best]]);
      });
      const best = found.get(name);
      if (best !== undefined) earlier.push(choice);
      return best;
    };
    try {
      const changes: Change[] = [];
      for (const [index, group] of groups.entries()) {
        const readers = await readersOf(group, model, seen, options, context);
        const begun = reaches.get(group.starts[0]?.value?.name ?? "");
        const read = { readers, start: begun?.min.length === group.units ? begun : undefined };
        const best = await choose(`group ${index}`, group, read, search.leastGain);
        if (best === undefined) continue;
        await migrate(model, group, best.factors);
        for (const { layer, unitOf } of readers) scaleSeen(seen, layer, unitOf, best.factors);
        const what = `inputs scaled by channel, weight inversely: ${best.gain}`;
        changes.push(
          ...readers.map(({ layer }) => ({ at: layer.name, what, kind: movedFactors, decidedBy: "global" }) as const),
        );
      }
      for (const [layer, group] of inputs) {
        const readers = await readersOf(group, model, seen, options, context);
        const best = await choose("node", group, { readers, start: undefined }, leastGainOfNode ?? 1);
        if (best === undefined) continue;
        await migrate(model, group, best.factors);
        multiplyInput(model, layer, best.factors);
        const what = `inputs scaled by channel in a node, weight inversely: ${best.gain}`;
        changes.push({ at: layer.name, what, kind: movedFactors, decidedBy: "global" });
      }
      return changes;
    } finally {
      await products.release();
    }
  };

/** Returns the settings that decide how a layer is rounded. */
function settingsText({ data, overrides, layers, except, ...settings }: EqualizeOptions): string {
  return JSON.stringify(settings);
}

/** Scales the inputs of a layer, because another group of the same layer may follow. */
function scaleSeen(seen: Map<Layer, InputSample>, layer: Layer, unitOf: Int32Array, factors: Float64Array): void {
  const found = seen.get(layer);
  if (found === undefined) return;
  const ofColumn = Float64Array.from(unitOf, (unit) => factors[unit] ?? 1);
  const scaled = (bounds: InputSample["min"]) => bounds.map((own, column) => own * (ofColumn[column] ?? 1));
  seen.set(layer, { rows: scaleColumns(found.rows, ofColumn), min: scaled(found.min), max: scaled(found.max) });
}

function groupOfInput(layer: Layer): ScaleGroup | undefined {
  const { node, role, effective } = layer;
  const [data, dims, features] = [node.inputs[role.data], fixedDims(effective.type?.dims), featuresOf(layer)];
  if (features instanceof Miss || data === undefined || dims === undefined || features.name !== data.name)
    return undefined;
  const units = dims[role.in] ?? 0;
  const unitOf = Int32Array.from({ length: units }, (_, unit) => unit);
  // Other readers of a stored tensor must not change.
  const isAlone = effective.tensor !== undefined && effective.uses.size === 1 && !effective.graph.isOutput(effective);
  return isAlone
    ? { units, starts: [], slices: [{ value: effective, axis: role.in, unitOf, power: -1 }], refused: new Map() }
    : undefined;
}

function multiplyInput(model: Model, { node, role }: Layer, factors: Float64Array): void {
  const data = node.inputs[role.data];
  const rank = data?.type?.dims?.length ?? 0;
  if (data === undefined) return;
  const emit = emitInto(model, { by: "quantize" });
  const behind = Math.max(0, rank - 1 - (role.dataAxis < 0 ? role.dataAxis + rank : role.dataAxis));
  const shape = [factors.length, ...new Array<number>(behind).fill(1)];
  const scaled = emit.Mul([data, emit.constant(fromNumbers("float32", shape, factors))]);
  scaled.type = data.type;
  model.graph.setInput(node, role.data, scaled);
  model.graph.sort();
}

const sampledRows: Statistic<InputSample> = {
  begin() {
    const taken: Matrix[] = [];
    const reach = columnRange.begin();
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

const sliceOf = ({ slices }: ScaleGroup, { effective, role }: Layer): ScaledSlice | undefined =>
  role.groups === 1 && role.stack === undefined
    ? slices.find(({ value, axis, power }) => value === effective && axis === role.in && power === -1)
    : undefined;

async function readersOf(
  group: ScaleGroup,
  model: Model,
  seen: ReadonlyMap<Layer, InputSample>,
  options: EqualizeOptions,
  { engine }: Context,
): Promise<readonly Reader[]> {
  const readers: Reader[] = [];
  for (const [layer, found] of seen) {
    const slice = sliceOf(group, layer);
    const dims = fixedDims(layer.effective.type?.dims);
    if (slice === undefined || dims === undefined || found.rows.rows === 0) continue;
    const [weight] = weightMatrices(layer.role, dims, toNumbers(await readStoredValue(model, layer.effective, engine)));
    if (weight === undefined) continue;
    const taps = weight.columns / slice.unitOf.length;
    const unitOf = Int32Array.from({ length: weight.columns }, (_, at) => slice.unitOf[Math.floor(at / taps)] ?? -1);
    readers.push({ layer, own: ownOptions(options, layer).own, seen: found, weight, unitOf });
  }
  return readers;
}
