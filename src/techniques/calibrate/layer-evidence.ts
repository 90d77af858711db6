/** Collects the statistics of layer inputs that a rounding or pruning method requires. */
import { describeNonFinite, infer, type Layer, layers } from "#analysis";
import type { Dataset } from "#batches";
import { Miss, type Model, optionError, random } from "#ir";
import type { Context } from "#pass";
import { engineMultiply } from "../../core/engine/multiply.ts";
import { statisticOf } from "../shared/methods.ts";
import type { Calibration } from "./calibration.ts";
import type { Features } from "./features.ts";
import { featuresOf } from "./layer-features.ts";
import type { LayerContext, Solver } from "./solver.ts";
import type { Statistic } from "./statistic.ts";

interface Samples {
  readonly data?: Dataset | string | undefined;
  readonly samples?: number | undefined;
}

/** Returns statistics over the inputs of a layer and of later layers with the same weight. @param isObserved selects which of these layers count (default: all). */
type ContextReader = (layer: Layer, isObserved?: (layer: Layer) => boolean) => Promise<LayerContext | Miss>;

/** Returns a layer and the later layers that read the same weight along the same axes, in order. */
function laterReadersOf(layer: Layer, model: Model): readonly Layer[] {
  if (layer.effective.uses.size < 2) return [layer];
  const axesOf = ({ kind, out, in: inputs, outTaps, groups }: Layer["role"]): string =>
    JSON.stringify([kind, out, inputs, outTaps, groups]);
  const all = layers(model, infer(model));
  const index = all.findIndex(({ node, role }) => node === layer.node && role.input === layer.role.input);
  const laterLayers = index < 0 ? [] : all.slice(index + 1);
  return [
    layer,
    ...laterLayers.filter(
      ({ effective, role }) => effective === layer.effective && axesOf(role) === axesOf(layer.role),
    ),
  ];
}

/** Returns a key of the value that contains the inputs of the only reader, if there is one. */
function singleInputOf([layer, other]: readonly Layer[], statistic: Statistic<unknown>): string | undefined {
  if (layer === undefined || other !== undefined || layer.role.kind === "lookup") return undefined;
  const features = featuresOf(layer, statistic);
  return features instanceof Miss || features.pick !== undefined ? undefined : `${features.name} ${features.axis}`;
}

type Calibrations = readonly [observed: Calibration, reference: Calibration | undefined];

/**
 * Runs `work` with a function that collects the statistics (`evidence`) that a solver needs for a layer and later ones with its weight.
 * Layers must be requested in order, before they change. @throws PithError E_OPTION if samples are needed but not given.
 */
export async function withEvidence<T>(
  model: Model,
  kind: string,
  { id, evidence: statistic, of: observedModels }: Pick<Solver, "id" | "evidence" | "of">,
  { data, samples }: Samples,
  context: Context,
  work: (contextOf: ContextReader) => Promise<T>,
): Promise<T> {
  const { multiply, release } = engineMultiply(context.engine);
  const layerContext = (layer: Layer, evidence: unknown): LayerContext | Miss =>
    evidence instanceof Miss
      ? evidence
      : { layer, evidence, multiply, random: random(context.seed, kind, id, layer.name) };
  if (statistic === undefined) return work(async (layer) => layerContext(layer, undefined)).finally(release);
  if (data === undefined) {
    const hint = "Give a data set.";
    throw optionError(`"data": the ${kind} "${id}" needs samples, and none are given.`, { hint });
  }
  const finite = requireFinite(statisticOf(`The ${kind} "${id}"`, statistic));
  const evidenceModel = observedModels === "changed" || observedModels === "both" ? model : model.clone();
  const original = observedModels === "both" ? model.clone() : undefined;
  const originalLayers = original === undefined ? [] : layers(original, infer(original));
  const all = layers(evidenceModel, infer(evidenceModel));
  // Samples are read when the first layer needs them.
  let calibrations: Calibrations | undefined;
  const openCalibrations = async (): Promise<Calibrations> => {
    const { calibrate } = await import("./calibration.ts");
    const first = await calibrate(evidenceModel, { data, samples }, context);
    calibrations = [first, undefined];
    if (original !== undefined) calibrations = [first, await calibrate(original, { data, samples }, context)];
    return calibrations;
  };
  // Layers in a row that read the same value (query, key and value) have the same evidence.
  let cacheEntry = { name: "", input: undefined as string | undefined, evidence: undefined as unknown };
  try {
    return await work(async (requestedLayer, isObserved = () => true) => {
      const { name } = requestedLayer;
      if (!isObserved(requestedLayer)) return layerContext(requestedLayer, undefined);
      if (cacheEntry.name === name) return layerContext(requestedLayer, cacheEntry.evidence);
      const [calibration, reference] = calibrations ?? (await openCalibrations());
      const layer = evidenceModel === model ? requestedLayer : all.find((other) => other.name === name);
      const readers = (layer === undefined ? [] : laterReadersOf(layer, evidenceModel)).filter(
        (reader) => reader === layer || (isObserved(reader) && !(featuresOf(reader, finite) instanceof Miss)),
      );
      const input = original === undefined ? singleInputOf(readers, finite) : undefined;
      if (input !== undefined && input === cacheEntry.input) {
        cacheEntry = { ...cacheEntry, name };
        return layerContext(requestedLayer, cacheEntry.evidence);
      }
      const originalReaders = readers.flatMap(
        (reader) => originalLayers.find((other) => other.name === reader.name) ?? [],
      );
      const originalInputs =
        reference === undefined || originalReaders.length < readers.length
          ? undefined
          : { calibration: reference, layers: originalReaders };
      const result =
        layer === undefined
          ? new Miss("the model had no such layer before", name)
          : await calibration.collect(readers, finite, originalInputs);
      cacheEntry = { name, input, evidence: result instanceof Miss ? new Miss(result.reason, name) : result };
      return layerContext(requestedLayer, cacheEntry.evidence);
    });
  } finally {
    await release();
    for (const calibration of calibrations ?? []) await calibration?.release();
  }
}

/** Makes the result of a statistic a Miss if it reads a NaN or infinity. */
function requireFinite<R>(statistic: Statistic<R>): Statistic<R | Miss> {
  if (statistic.reduce !== undefined) return statistic;
  return {
    ...(statistic.ofTables && { ofTables: statistic.ofTables }),
    begin(...products) {
      const running = statistic.begin(...products);
      let nonFiniteText: string | undefined;
      const checkFinite = <N extends ArrayLike<number>>(numbers: N): N => {
        nonFiniteText ??= describeNonFinite(numbers);
        return numbers;
      };
      const watchFeatures = (batch: Features): Features => ({
        ...batch,
        values: () => checkFinite(batch.values()),
        matrix(...part) {
          const result = batch.matrix(...part);
          checkFinite(result.data);
          return result;
        },
      });
      return {
        add: (batch, original) =>
          nonFiniteText === undefined
            ? running.add(watchFeatures(batch), original && watchFeatures(original))
            : undefined,
        end: () =>
          nonFiniteText === undefined ? running.end() : new Miss(`its input ${nonFiniteText} on these samples`),
      };
    },
  };
}
