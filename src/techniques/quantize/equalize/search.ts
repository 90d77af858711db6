/** Searches the factors of each group of units (channels with a common factor), on layer inputs that include earlier groups' factors. */
import type { Layer, ScaledSlice, ScaleGroup } from "#analysis";
import { infer, layers, optionsOfLayer, scaleGroups, selectLayers, weightMatrices, weightShape } from "#analysis";
import type { Dataset } from "#batches";
import { emitInto, fixedDims, fromNumbers, Miss, type Model, toFloats } from "#ir";
import { type Change, type Context, scaledKind } from "#pass";
import { engineMultiply } from "../../../core/engine/multiply.ts";
import { type Matrix, matrix, scaleColumns } from "../../../core/math/matrix.ts";
import { trainPart } from "../../../data/sources/open.ts";
import { migrate } from "../../../rewrite/edit/move-factors.ts";
import { readStoredValue } from "../../../rewrite/edit/stored-values.ts";
import { calibrate } from "../../calibrate/calibration.ts";
import { type ColumnRange, columnRange } from "../../calibrate/column-statistics.ts";
import { featuresOf } from "../../calibrate/layer-features.ts";
import type { Place, Statistic } from "../../calibrate/statistic.ts";
import { measureOnce, observeOnce } from "../../calibrate/statistics-cache.ts";
import { findQuantizationTargets } from "../coverage.ts";
import type { RoundedSettings } from "../settings.ts";
import { staysFloat } from "../weights/weight-settings.ts";
import { bestFactors, type FactorReaders, type FactorSearch, type InputSample, type Reader } from "./best-factors.ts";
import type { Equalization } from "./index.ts";

/** A few samples suffice to find outlier channels. */
const maxSamples = 64;
const maxRangeSamples = 32;
const rowsPerBatch = 64;
export const searchFactors =
  (search: FactorSearch): Equalization["apply"] =>
  async (model: Model, options: RoundedSettings, context: Context): Promise<readonly Change[]> => {
    if (options.data === undefined) return [];
    // Other layers are rounded differently, or not at all.
    const targets = new Set(findQuantizationTargets(model, options).targets.map(({ node }) => node));
    if (targets.size === 0) return [];
    const inference = infer(model);
    const all = layers(model, inference);
    const groups = scaleGroups(model, inference).filter(({ units, refused }) => refused.size < units);
    const supportedLayers = selectLayers(all, options).filter(
      (layer) =>
        !staysFloat(layer, options) &&
        search.isMeasured(optionsOfLayer(options, layer).options) &&
        targets.has(layer.node),
    );
    const groupedLayers = new Set(
      supportedLayers.filter((layer) => groups.some((group) => sliceOf(group, layer) !== undefined)),
    );
    const { minGainOfNode } = search;
    /** The groups of layers whose inputs can be scaled only by an additional node. */
    const inputGroups = new Map<Layer, ScaleGroup>();
    for (const layer of minGainOfNode === undefined ? [] : supportedLayers) {
      const group = groupedLayers.has(layer) ? undefined : groupOfInput(layer);
      if (group !== undefined) inputGroups.set(layer, group);
    }
    const sampledLayers = all.filter((layer) => groupedLayers.has(layer) || inputGroups.has(layer));
    if (sampledLayers.length === 0) return [];
    const samples = Math.min(options.samples, maxSamples);
    const { engine, seed, signal } = context;
    const data = await trainPart(options.data);
    const starts = groups.flatMap(({ starts: [first] }) =>
      first?.value === undefined ? [] : { name: first.value.name, axis: first.axis },
    );
    const inputs = search.canGain === undefined ? [] : sampledLayers.flatMap(inputPlaceOf);
    const observeOptions = { samples: Math.min(samples, maxRangeSamples), shuffle: seed, signal, optimize: true };
    const cacheKey = { dataset: data, setting: `reach on ${observeOptions.samples} samples, seed ${seed}` };
    const axes = new Map([...starts, ...inputs].map(({ name, axis }) => [name, axisOf(model, name, axis)]));
    const places = Array.from(axes, ([name, axis]) => ({ name, axis }));
    const ranges = await observeOnce(engine, model, cacheKey, places, columnRange, observeOptions);
    // A value that is read along several axes has the ranges of the last one.
    const rangeOf = ({ name, axis }: Place) =>
      axes.get(name) === axisOf(model, name, axis) ? ranges.get(name) : undefined;
    const readersOfGroup = (group: ScaleGroup, inputSamples: ReadonlyMap<Layer, InputSample>) =>
      readersOf(group, model, inputSamples, options, context);
    const startOf = ({ units, starts: [first] }: ScaleGroup): ColumnRange | undefined => {
      const range = first?.value && rangeOf({ name: first.value.name, axis: first.axis });
      return range?.min.length === units ? range : undefined;
    };
    // The ranges of channels show which groups cannot gain. Only the layers of the others are sampled.
    const channelSamples = new Map(
      sampledLayers.flatMap((layer) => {
        const [range] = inputPlaceOf(layer).flatMap((place) => rangeOf(place) ?? []);
        return range === undefined ? [] : [[layer, withoutRows(range, layer)] as const];
      }),
    );
    const gainingLayers = new Set(sampledLayers.filter((layer) => !channelSamples.has(layer)));
    const trials = [
      ...groups.map((group) => ({ group, gain: search.minGain })),
      ...Array.from(inputGroups.values(), (group) => ({ group, gain: minGainOfNode ?? 1 })),
    ];
    for (const { group, gain } of trials) {
      const readers = await readersOfGroup(group, channelSamples);
      if (search.canGain?.(group, readers, startOf(group), gain) === false) continue;
      for (const { layer } of readers) gainingLayers.add(layer);
    }
    const rows = await measureOnce(
      model,
      data,
      `rows of ${samples} samples, seed ${seed}`,
      sampledLayers.flatMap((layer) => (gainingLayers.has(layer) ? layer.name : [])),
      (missing) => sampleRows(model, all, missing, { data, samples }, context),
    );
    const inputSamples = new Map<Layer, InputSample>();
    for (const layer of sampledLayers) {
      const sample = rows.get(layer.name);
      if (sample !== undefined && !(sample instanceof Miss) && sample.rows.rows > 0) inputSamples.set(layer, sample);
    }
    const products = engineMultiply(engine);
    const original = model.clone();
    const earlierGroups: string[] = [];
    const choose = async (id: string, group: ScaleGroup, factorReaders: FactorReaders, minGain: number) => {
      if (factorReaders.readers.length === 0) return undefined;
      const choice = [
        id,
        ...factorReaders.readers.map((reader) => reader.layer.name + settingsText(reader.options)),
      ].join();
      const name = [...earlierGroups, choice].join("\n");
      const setting = `factors by ${search.id} on ${samples} samples, seed ${seed}`;
      const choices = await measureOnce(original, data, setting, [name], async () => {
        const best = await bestFactors(group, factorReaders, { ...search, minGain }, products.multiply);
        return new Map([[name, best]]);
      });
      const best = choices.get(name);
      if (best !== undefined) earlierGroups.push(choice);
      return best;
    };
    const changeAt = ({ name: at }: Layer, description: string): Change => ({
      at,
      what: description,
      kind: scaledKind,
      decidedBy: "global",
    });
    try {
      const changes: Change[] = [];
      for (const [index, group] of groups.entries()) {
        const readers = await readersOfGroup(group, inputSamples);
        const factorReaders = { readers, start: startOf(group) };
        const best = await choose(`group ${index}`, group, factorReaders, search.minGain);
        if (best === undefined) continue;
        await migrate(model, group, best.factors);
        for (const { layer, unitOf } of readers) scaleInputSample(inputSamples, layer, unitOf, best.factors);
        const text = `inputs scaled by channel, weight inversely: ${best.gain}`;
        changes.push(...readers.map(({ layer }) => changeAt(layer, text)));
      }
      for (const [layer, group] of inputGroups) {
        const readers = await readersOfGroup(group, inputSamples);
        const best = await choose("node", group, { readers, start: undefined }, minGainOfNode ?? 1);
        if (best === undefined) continue;
        await migrate(model, group, best.factors);
        multiplyInput(model, layer, best.factors);
        changes.push(changeAt(layer, `inputs scaled by channel in a node, weight inversely: ${best.gain}`));
      }
      return changes;
    } finally {
      await products.release();
    }
  };

function axisOf({ graph }: Model, name: string, axis = 0): number {
  return axis < 0 ? axis + (graph.value(name)?.type?.dims?.length ?? 0) : axis;
}

function inputPlaceOf(layer: Layer): readonly Place[] {
  const { node, role } = layer;
  const name = node.inputs[role.data]?.name;
  return name === undefined || featuresOf(layer) instanceof Miss ? [] : [{ name, axis: role.dataAxis }];
}

/** Returns the ranges of a layer's input channels as those of its columns, one for each tap. */
function withoutRows({ min, max }: ColumnRange, { role, effective }: Layer): InputSample {
  const { taps } = weightShape(role, fixedDims(effective.type?.dims) ?? []);
  const repeat = (bounds: Float64Array) =>
    Float64Array.from({ length: taps * bounds.length }, (_, column) => bounds[Math.floor(column / taps)] ?? 0);
  return { rows: matrix(0, taps * min.length), min: repeat(min), max: repeat(max) };
}

async function sampleRows(
  model: Model,
  all: readonly Layer[],
  names: readonly string[],
  source: { readonly data: Dataset; readonly samples: number },
  context: Context,
): Promise<ReadonlyMap<string, InputSample | Miss>> {
  const inputSamples = new Map<string, InputSample | Miss>();
  const calibration = await calibrate(model, source, context);
  try {
    for (const layer of all)
      if (names.includes(layer.name)) inputSamples.set(layer.name, await calibration.collect(layer, sampledRows));
  } finally {
    await calibration.release();
  }
  return inputSamples;
}

/** Returns the settings that decide how a layer is rounded, as a cache key. */
function settingsText({ data, overrides, layers, except, ...settings }: RoundedSettings): string {
  return JSON.stringify(settings);
}

/** A later group can scale the same layer. */
function scaleInputSample(
  inputSamples: Map<Layer, InputSample>,
  layer: Layer,
  unitOf: Int32Array,
  factors: Float64Array,
): void {
  const sample = inputSamples.get(layer);
  if (sample === undefined) return;
  const { rows, min, max } = sample;
  const factorOf = Float64Array.from(unitOf, (unit) => factors[unit] ?? 1);
  const scale = (bounds: InputSample["min"]) => bounds.map((bound, column) => bound * (factorOf[column] ?? 1));
  inputSamples.set(layer, { rows: scaleColumns(rows, factorOf), min: scale(min), max: scale(max) });
}

function groupOfInput(layer: Layer): ScaleGroup | undefined {
  const { node, role, effective } = layer;
  const [data, dims, features] = [node.inputs[role.data], fixedDims(effective.type?.dims), featuresOf(layer)];
  if (features instanceof Miss || data === undefined || dims === undefined || features.name !== data.name)
    return undefined;
  const units = dims[role.in] ?? 0;
  const unitOf = Int32Array.from({ length: units }, (_, unit) => unit);
  // The weight must have no other readers, because scaling would change their results.
  const isOnlyReader =
    effective.tensor !== undefined && effective.uses.size === 1 && !effective.graph.isOutput(effective);
  return isOnlyReader
    ? { units, starts: [], slices: [{ value: effective, axis: role.in, unitOf, power: -1 }], refused: new Map() }
    : undefined;
}

function multiplyInput(model: Model, { node, role }: Layer, factors: Float64Array): void {
  const data = node.inputs[role.data];
  const rank = data?.type?.dims?.length ?? 0;
  if (data === undefined) return;
  const emit = emitInto(model, { by: "quantize" });
  const innerAxes = Math.max(0, rank - 1 - (role.dataAxis < 0 ? role.dataAxis + rank : role.dataAxis));
  const shape = [factors.length, ...new Array<number>(innerAxes).fill(1)];
  const scaled = emit.Mul([data, emit.constant(fromNumbers("float32", shape, factors))]);
  scaled.type = data.type;
  model.graph.setInput(node, role.data, scaled);
  model.graph.sort();
}

const sampledRows: Statistic<InputSample> = {
  begin() {
    const parts: Matrix[] = [];
    const reach = columnRange.begin();
    return {
      async add(batch) {
        await reach.add(batch);
        const count = Math.min(batch.rows, rowsPerBatch);
        const indices = Array.from({ length: count }, (_, index) => Math.floor((index * batch.rows) / count));
        parts.push(batch.matrix(undefined, indices));
      },
      end() {
        const { min, max } = reach.end();
        const rows = matrix(
          parts.reduce((sum, part) => sum + part.rows, 0),
          min.length,
        );
        let offset = 0;
        for (const { data } of parts) {
          rows.data.set(data, offset);
          offset += data.length;
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
  inputSamples: ReadonlyMap<Layer, InputSample>,
  options: RoundedSettings,
  { engine }: Context,
): Promise<readonly Reader[]> {
  const readers: Reader[] = [];
  for (const [layer, sample] of inputSamples) {
    const slice = sliceOf(group, layer);
    const dims = fixedDims(layer.effective.type?.dims);
    if (slice === undefined || dims === undefined) continue;
    const [weight] = weightMatrices(layer.role, dims, toFloats(await readStoredValue(model, layer.effective, engine)));
    if (weight === undefined) continue;
    const taps = weight.columns / slice.unitOf.length;
    const unitOf = Int32Array.from(
      { length: weight.columns },
      (_, column) => slice.unitOf[Math.floor(column / taps)] ?? -1,
    );
    readers.push({ layer, options: optionsOfLayer(options, layer).options, inputSample: sample, weight, unitOf });
  }
  return readers;
}
