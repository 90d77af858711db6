/**
 * Distributes an error of the outputs over the layers for rate–distortion optimized rounding. With the error eₗ of a layer's outputs and a
 * measured sensitivity sₗ, the error of the network's outputs is Σ sₗ eₗ. At the optimum, a saved bit adds the same error in every layer:
 *
 *     λ = 2 ln 2 · Σ sₗ eₗ / (number of weights),     λ of a layer = λ / sₗ
 */
import { allLayers, infer, type Layer, parametersOf, selectLayers } from "#analysis";
import { type Dataset, draw } from "#batches";
import { deferTensor, elementCount, fixedDims, fromNumbers, Miss, type Model, toFloats, type Value } from "#ir";
import type { Change, Context, Outcome } from "#pass";
import { trainPart } from "../../data/sources/open.ts";
import { fuseBatchNorms } from "../../rewrite/clean-up/fuse-batch-norm.ts";
import { layerErrors } from "../../runtime/noise/layer-errors.ts";
import type { Solver } from "../calibrate/solver.ts";
import { measureOnce } from "../calibrate/statistics-cache.ts";
import { noiseMeter } from "../shared/noise-trials.ts";
import { withClassScores } from "./class-scores.ts";
import { weightMiss } from "./quantizable.ts";
import { equalizeModel, quantizeBy } from "./round-model.ts";
import { matchOriginalOutputs } from "./rounders/gptaq.ts";
import { lambdaFor, rdoqBy } from "./rounders/rdoq.ts";
import type { RoundedSettings } from "./settings.ts";
import { staysFloat } from "./weights/weight-settings.ts";

type DownloadSettings = RoundedSettings & { readonly distortion: number };

/** Numbers of samples on which the sum of the errors and the share of each layer are measured. */
const [sampleCount, shareSamples] = [64, 16];
/** Approximate error of the outputs that rounding adds while sensitivities are measured. */
const probeError = 0.02;

/** Minimum distortion for rounding floats to bfloat16, whose relative squared error of about 1e-6 must be small in comparison. */
const minDistortion = 1e-4;

/** Quantizes with an error of `distortion` in the outputs, and rounds the parameters that stay in float32. */
export async function quantizeForDownload(options: DownloadSettings, model: Model, context: Context): Promise<Outcome> {
  const requestedNames = requestedLayers(model, options);
  const fusion = await fuseBatchNorms(model, { trained: true, into: ({ name }) => requestedNames.has(name) });
  // Equalization gains nothing for weights alone, whose steps follow the inputs.
  const equalize = options.equalize && options.scheme !== "weights";
  const migration = await equalizeModel(model, { ...options, equalize }, context);
  const parameters = selectParameters(model, requestedNames);
  const rounder = await distributeError(model, options, context);
  // No bias correction: the error that rdoq minimizes includes the mean error.
  const disabledSteps = { equalize: false, biasCorrection: "none" as const };
  const { changes, misses } = await quantizeBy({ ...options, ...disabledSteps, rounder }, model, context);
  const shortening = options.distortion < minDistortion ? [] : await shortenFloats(model, parameters);
  return { changes: [...fusion.changes, ...migration, ...changes, ...shortening], misses };
}

function requestedLayers(model: Model, options: RoundedSettings): ReadonlySet<string> {
  const chosen = selectLayers(allLayers(model, infer(model)), options).filter((layer) => !staysFloat(layer, options));
  return new Set(chosen.map(({ name }) => name));
}

function selectParameters(model: Model, requestedNames: ReadonlySet<string>): readonly Value[] {
  const inference = infer(model);
  const excludedLayers = allLayers(model, inference).filter(({ name }) => !requestedNames.has(name));
  const keptValues = new Set(excludedLayers.flatMap(({ node, weight }) => [weight, ...node.inputs]));
  return [...parametersOf(model, inference)].filter((parameter) => !keptValues.has(parameter));
}

const findQuantizable = (model: Model, options: RoundedSettings): readonly Layer[] =>
  selectLayers(allLayers(model, infer(model)), options).filter((layer) => weightMiss(layer) === undefined);

const weightCount = (layers: readonly Layer[]): number =>
  [...new Set(layers.map(({ effective }) => effective))].reduce(
    (sum, { type }) => sum + elementCount(fixedDims(type?.dims) ?? []),
    0,
  );

/** Settings that round the weights of a copy and change nothing else. */
const weightsAlone = {
  scheme: "weights",
  block: undefined,
  onnxOnly: false,
  equalize: false,
  biasCorrection: "none",
} as const;

const silenceLog = (context: Context): Context => ({
  ...context,
  log: () => {},
  progress: () => {},
  intermediates: undefined,
});

/** Returns the rounding method that adds an error of `distortion` to the outputs. */
async function distributeError(model: Model, options: DownloadSettings, context: Context): Promise<Solver> {
  const { data } = options;
  const sensitivities =
    data === undefined ? undefined : await measureSensitivitiesOnce(model, options, await trainPart(data), context);
  const lambda = lambdaFor(options.distortion, weightCount(findQuantizable(model, options)));
  const rounder = rdoqBy(async (layer, energyOf) => {
    const sensitivity = sensitivities?.get(layer);
    // The sensitivity of a layer whose outputs are 0 is infinite or undefined, so its λ is 0.
    return (sensitivity === undefined ? lambda * (await energyOf()) : lambda / sensitivity) || 0;
  });
  return { ...rounder, ...matchOriginalOutputs(rounder), evidence: rounder.evidence } as Solver;
}

/** Measures sensitivities once for all distortions of a search, because they do not depend on the distortion. */
async function measureSensitivitiesOnce(
  model: Model,
  options: RoundedSettings,
  data: Dataset,
  context: Context,
): Promise<ReadonlyMap<string, number | undefined>> {
  const { samples, perChannel, weights } = options;
  const names = findQuantizable(model, options).map(({ name }) => name);
  const setting = `sensitivities ${JSON.stringify([context.seed, samples, perChannel, weights, names])}`;
  return measureOnce(model, data, setting, names, async () => {
    const values = await measureSensitivities(model, options, data, context);
    return new Map(names.map((name) => [name, values.get(name)]));
  });
}

/** Returns the relative squared error of the outputs per error of each layer. Layers without a measurement get an estimate by the median. */
async function measureSensitivities(
  model: Model,
  options: RoundedSettings,
  data: Dataset,
  context: Context,
): Promise<ReadonlyMap<string, number>> {
  const { engine, seed, signal } = context;
  const layers = findQuantizable(model, options);
  const lambda = lambdaFor(probeError * Math.sqrt(layers.length), weightCount(layers));
  const errors = new Map<string, number>();
  const energies = new Map<string, number>();
  const probe = rdoqBy(
    async (layer, energyOf) => {
      const energy = await energyOf();
      energies.set(layer, energy);
      return lambda * energy;
    },
    (layer, error) => errors.set(layer, error),
  );
  const copy = model.clone();
  // The same options for all attempts of a search, so that they share the measured sensitivities.
  const common = { bits: 8, overrides: undefined } as const;
  await quantizeBy({ ...options, ...weightsAlone, ...common, rounder: probe as Solver }, copy, silenceLog(context));
  const part = draw(data, sampleCount, seed + 1);
  const [before, after] = [withClassScores(model), withClassScores(copy)];
  const noise = await noiseMeter(before, async () => part, context, sampleCount)(after);
  const result = await layerErrors(engine, before, after, part, {
    samples: shareSamples,
    seed,
    signal,
    batch: 16,
    alone: { samples: shareSamples, work: 1e12 },
  });
  if (result instanceof Miss || noise === undefined) return new Map();
  // Layers with a shared weight have one error e, and their shares add up.
  const weightOf = new Map(allLayers(copy, infer(copy)).map(({ name, weight }) => [name, weight]));
  const ratios = new Map<string, number>();
  for (const [layer, error] of errors) {
    const share = result.layers
      .filter((other) => weightOf.get(other.layer) === weightOf.get(layer))
      .reduce((sum, other) => sum + (other.share ?? Number.NaN), 0);
    if (error > 0 && share > 0 && Number.isFinite(share)) ratios.set(layer, (share * noise) / error);
  }
  const relative = [...ratios].map(([layer, ratio]) => ratio * (energies.get(layer) ?? 0)).toSorted((a, b) => a - b);
  const median = relative[Math.floor(relative.length / 2)] ?? 1;
  return new Map(Array.from(energies, ([layer, energy]) => [layer, ratios.get(layer) ?? median / energy]));
}

/** Minimum number of elements of a rounded parameter. For smaller ones, the saved bytes are not worth an error. */
const minElements = 4;

/** Rounds float32 parameters to the precision of bfloat16: half of their bytes become zeros, which gzip and brotli drop. */
async function shortenFloats({ graph }: Model, parameters: Iterable<Value>): Promise<readonly Change[]> {
  const changes: Change[] = [];
  for (const { name, type } of parameters) {
    const value = graph.value(name);
    const tensor = value?.tensor;
    if (value === undefined || tensor?.type !== "float32" || type?.type !== "float32") continue;
    const { dims } = tensor;
    if (elementCount(dims) < minElements) continue;
    value.tensor = await deferTensor("float32", dims, async () => {
      const values = toFloats(await tensor.read());
      const roundedValues = toFloats(fromNumbers("bfloat16", dims, values));
      // Values beyond the range of bfloat16 would become infinite, so they are kept.
      return fromNumbers(
        "float32",
        dims,
        roundedValues.map((value, index) => (Number.isFinite(value) ? value : (values[index] ?? 0))),
      );
    });
    changes.push({ at: name, what: "float32, rounded to the precision of bfloat16", decidedBy: "global" });
  }
  return changes;
}
