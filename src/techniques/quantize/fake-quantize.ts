/**
 * Inserts fake quantization (`fake-rounding.ts`) of the weight of each layer, and of each activation that static quantization gives a scale:
 *
 *     h = Conv(x, w, b)          x' = rounded(x);  w' = rounded(w)
 *     a = Relu(h)                h = Conv(x', w', b);  a = Relu(h);  a' = rounded(a)
 */
import * as v from "valibot";
import type { Layer } from "#analysis";
import { infer, layers, nameBeforeMasking, optionsOfLayer, selectLayers, unsupportedWeights } from "#analysis";
import type { Dataset } from "#batches";
import { type Emit, elementCount, emitInto, Miss, type Model, replaceUses, type Value } from "#ir";
import type { Change, Outcome } from "#pass";
import { definePass, overridesOption, selectionOptions, withHelp } from "#pass";
import { trainPart } from "../../data/sources/open.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { keepLayerName } from "../../rewrite/edit/keep-layer-name.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { fixInputs } from "../../rewrite/edit/set-input-shapes.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";
import { readOneRun } from "../../runtime/run/feeding.ts";
import { fullRange } from "../shared/affine-codes.ts";
import { placeWithScales } from "./activation-scales.ts";
import { findQuantizationTargets } from "./coverage.ts";
import { findRounding, noRoundings, scaleDims, writeFakeRounding } from "./fake-rounding.ts";
import { calibrationNeed, quantizeOptions } from "./options.ts";
import { prepareModel } from "./prepare.ts";
import { weightMiss } from "./quantizable.ts";
import { missingData } from "./ranges.ts";
import { roundLayers } from "./round-layers.ts";
import { nearest } from "./rounders/nearest.ts";
import { defaultBits } from "./settings.ts";
import { type Rounding, roundingOf } from "./weights/rounding-source.ts";
import { scaledGrid } from "./weights/weight-scales.ts";
import { slicedAxis } from "./weights/weight-settings.ts";

const { rounder, perChannel, data, samples } = quantizeOptions.entries;
const activations = withHelp(v.optional(v.picklist(["uint8", "int8"]), "uint8"), "type of activations");

const bits = v.pipe(v.number(), v.integer("is a whole number"), v.minValue(2), v.maxValue(8));

const fakeQuantizeSettings = v.strictObject({
  scheme: withHelp(
    v.optional(v.picklist(["weights", "static"], 'expected "weights" or "static"'), "weights"),
    "weights: quantize weights; static: also activations, with ranges measured on data",
  ),
  bits: withHelp(v.optional(bits), "bits per weight, 2 to 8 (default: 8; static: 7)"),
  learnScales: withHelp(v.optional(v.boolean(), false), "also train the scales (learned step size quantization)"),
  rounder,
  perChannel,
  ...selectionOptions("round"),
  overrides: overridesOption({ bits: v.optional(bits), perChannel: v.optional(v.boolean()) }),
  activations,
  data,
  samples,
});

type Settings = v.InferOutput<typeof fakeQuantizeSettings>;
type FakeQuantizeOptions = Settings & { readonly [Key in "bits" | "rounder"]: NonNullable<Settings[Key]> };

/** Per-channel scales and Clip bounds as inputs require opset 13. */
const opset = 13;

/**
 * Rounds weights to 2 … 8 bits, and optionally activations to 8, in float arithmetic, for quantization-aware training. With
 * `learnScales` the scales are trainable parameters that `quantize` reads.
 * @throws PithError E_OPTION if the static scheme gets no data, E_NAME if a pattern fits no layer, E_DATA if activations are not finite and no layer is left.
 * Source: quantization-aware training with the straight-through estimator (Bengio et al. 2013; Jacob et al. 2018); learned step size
 * quantization (Esser et al. 2020).
 * @example
 * await fakeQuantize(model, { scheme: "static", data: calibration });
 * await train(model, { data, epochs: 1 });
 * await quantize(model, { scheme: "static" }); // no data needed: the scales are there
 */
export const fakeQuantize = definePass({
  id: "fake-quantize",
  summary: "Insert fake quantization of weights and activations, for quantization-aware training",
  options: fakeQuantizeSettings,
  data: calibrationNeed,
  run(model, settings, context) {
    const { bits = defaultBits(settings), rounder = nearest.id } = settings;
    const options = { ...settings, bits, rounder };
    const insertRoundings = options.scheme === "static" ? fakeStatic : fakeWeights;
    storeWeights(model);
    return roundLayers(model, options, context, (fit, source) =>
      insertRoundings(fit, { ...source, existing: noRoundings }),
    );
  },
});

async function fakeWeights(options: FakeQuantizeOptions, rounding: Rounding): Promise<Outcome> {
  const { model } = rounding;
  const inference = infer(model);
  const all = layers(model, inference);
  const requestedLayers = selectLayers(all, options);
  const rejections = requestedLayers.flatMap((layer) => explainNotRounded(layer) ?? []);
  const misses = [...rejections, ...unsupportedWeights(model, inference, all)];
  if (rejections.length === requestedLayers.length) return { changes: [], misses };
  raiseOpset(model, opset);
  const roundableLayers = selectLayers(layers(model, infer(model)), options).filter(
    (layer) => explainNotRounded(layer) === undefined,
  );
  const changes = await roundWeights(emitInto(model, { by: "fake-quantize" }), roundableLayers, options, rounding);
  model.graph.sort();
  return { changes, misses };
}

function explainNotRounded(layer: Layer): Miss | undefined {
  const { name, effective } = layer;
  if (findRounding(effective) !== undefined) return new Miss("already has fake quantization", name);
  const type = effective.type?.type;
  const isFloat32 = type === "float32";
  return weightMiss(layer) ?? (isFloat32 ? undefined : new Miss(`its weight is read as ${type}, not float32`, name));
}

async function fakeStatic(options: FakeQuantizeOptions, rounding: Rounding): Promise<Outcome> {
  const { model, context } = rounding;
  if (options.data === undefined) throw missingData("fake-quantize");
  const roundedLayers = layers(model, infer(model)).filter((layer) => findRounding(layer.effective) !== undefined);
  if (roundedLayers.length > 0)
    return { changes: [], misses: roundedLayers.map((layer) => new Miss("already has fake quantization", layer.name)) };
  const { targets, misses: rejections } = findQuantizationTargets(model, options);
  if (targets.length === 0) return { changes: [], misses: rejections };
  const staticOptions = { ...options, data: await trainPart(options.data) };
  raiseOpset(model, opset);
  const preparation = await prepareModel(model, targets, context);
  const inference = infer(model);
  const selectedLayers = selectLayers(layers(model, inference), options);
  const { placement, scales } = await placeWithScales(inference, selectedLayers, staticOptions, rounding);
  const scaledValues = [...placement.activations].flatMap(([value, from]) => (from === undefined ? value : []));
  const elements =
    options.learnScales && staticOptions.data !== undefined
      ? await elementsPerSample(model, scaledValues, staticOptions.data)
      : new Map<Value, number>();
  const emit = emitInto(model, { by: "fake-quantize", onNode: inference.visit });
  const targetLayers = placement.targets.map(({ layer }) => layer);
  for (const layer of targetLayers) keepLayerName(layer);
  const changes = await roundWeights(emit, targetLayers, options, rounding);
  const { low, high } = fullRange(options.activations);
  for (const value of scaledValues) {
    const grid = scales.get(value);
    if (grid === undefined) continue;
    const range = { low: low - grid.zeroPoint, high: high - grid.zeroPoint };
    const { name } = value;
    const rounding = { scale: [grid.scale], ...range, ...trainingSettings(options, elements.get(value)) };
    const { result, division } = writeFakeRounding(emit, name, value, rounding, []);
    replaceUses(value, result, division);
    const text = `rounded as ${options.activations}${options.learnScales ? ", with a trainable scale" : ""}`;
    changes.push({ at: name, what: text, decidedBy: "global" });
  }
  model.graph.sort();
  return { changes: [...preparation.changes, ...changes], misses: [...preparation.misses, ...placement.misses] };
}

/** Returns the number of elements per sample of each value. A dimension that depends on the data counts as 1. */
async function elementsPerSample(
  model: Model,
  values: readonly Value[],
  data: Dataset,
): Promise<ReadonlyMap<Value, number>> {
  const { feeds, size } = await readOneRun(model, data);
  const copy = model.clone();
  fixInputs(copy, Object.fromEntries(Object.entries(feeds).map(([name, { dims }]) => [name, dims])));
  infer(copy);
  return new Map(
    values.map((value) => {
      const dims = copy.graph.value(value.name)?.type?.dims ?? [];
      const elements = dims.reduce<number>((count, dim) => count * (typeof dim === "number" ? dim : 1), 1);
      return [value, Math.max(1, elements / size)];
    }),
  );
}

/** Rounds the weight of each layer, once for all layers that share it and have scales along the same axis. */
async function roundWeights(
  emit: Emit,
  targetLayers: readonly Layer[],
  options: FakeQuantizeOptions,
  rounding: Rounding,
): Promise<Change[]> {
  const roundedWeights = new Map<Value, readonly RoundedWeight[]>();
  const changes: Change[] = [];
  for (const layer of targetLayers) {
    const { effective, node, role, name } = layer;
    const { options: settings, decidedBy } = optionsOfLayer(options, layer);
    const { bits, perChannel, learnScales } = settings;
    const existingRoundings = roundedWeights.get(effective) ?? [];
    const sharedWeight = roundingOf(layer, existingRoundings);
    const roundedWeight = sharedWeight ?? (await roundWeight(emit, layer, settings, rounding));
    if (sharedWeight === undefined) roundedWeights.set(effective, [...existingRoundings, roundedWeight]);
    rounding.model.graph.setInput(node, role.input, roundedWeight.result);
    const kind = `${perChannel ? "per-channel scales" : "one scale"}${learnScales ? ", trainable" : ""}`;
    const scalesText = rounding.rounder === nearest ? "" : `, scales by ${rounding.rounder.id}`;
    changes.push({
      at: name,
      what: `weight rounded to ${bits} bits, ${kind}${scalesText}`,
      kind: "rounded",
      bits,
      decidedBy,
    });
  }
  return changes;
}

interface RoundedWeight {
  readonly result: Value;
  readonly axis: number | undefined;
}

async function roundWeight(
  emit: Emit,
  layer: Layer,
  options: FakeQuantizeOptions,
  rounding: Rounding,
): Promise<RoundedWeight> {
  const dense = await readStoredValue(rounding.model, layer.effective, rounding.context.engine);
  const settings = { type: "int8", perChannel: options.perChannel, bits: options.bits } as const;
  const { scale, low, high, axis } = await scaledGrid(layer, async () => dense, settings, rounding);
  const dims = scaleDims(dense.dims, axis, scale.length);
  const valuesPerScale = elementCount(dense.dims) / scale.length;
  const weightRounding = { scale: [...scale], low, high, ...trainingSettings(options, valuesPerScale) };
  const { result } = writeFakeRounding(emit, nameBeforeMasking(layer.weight), layer.effective, weightRounding, dims);
  return { result, axis: slicedAxis(layer, options.perChannel) };
}

function trainingSettings({ learnScales }: FakeQuantizeOptions, valuesPerScale = 1): { readonly trainedFor?: number } {
  return learnScales ? { trainedFor: valuesPerScale } : {};
}
