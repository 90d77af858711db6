/**
 * Distributes an error of the outputs over the layers for rate–distortion optimized rounding. With the error eₗ of a layer's outputs
 * and a sensitivity sₗ, the relative squared error of the network's outputs is Σ sₗ eₗ. Every layer pays the same for a bit:
 *
 *     λ = 2 ln 2 · Σ sₗ eₗ / (number of weights),     λ of a layer = λ / sₗ
 *
 * Sensitivities are measured on the network: each layer is rounded alone.
 */
import { infer } from "../../core/analysis/infer.ts";
import { allLayers, type Layer } from "../../core/analysis/layers.ts";
import { parametersOf } from "../../core/analysis/parameters.ts";
import { selectLayers } from "../../core/analysis/selection.ts";
import { Miss } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context, Outcome } from "../../core/pass/pass.ts";
import { elementCount, fixedDims } from "../../core/tensor/dims.ts";
import { draw } from "../../data/batches/select.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { trainPart } from "../../data/sources/open.ts";
import { fuseBatchNorms } from "../../rewrite/clean-up/fuse-batch-norm.ts";
import { noiseMeter } from "../../runtime/noise/answer-noise.ts";
import { layerErrors } from "../../runtime/noise/layer-errors.ts";
import { measuredOnce } from "../calibrate/kept.ts";
import type { Solver } from "../calibrate/solver.ts";
import { withClassScores } from "./class-scores.ts";
import { centerOf, nearestCodes } from "./grid.ts";
import type { QuantizeSettings } from "./options.ts";
import { moveFactors, quantizeBy, staysFloat } from "./round-model.ts";
import { defaultDistortion, lambdaFor, rdoqBy } from "./rounders/rdoq.ts";
import { towardsOriginal } from "./rounders/towards-original.ts";
import { shortenFloats } from "./short-floats.ts";
import { weightMiss } from "./weight.ts";

/** Number of samples on which sensitivities are measured. */
const measured = 64;
/** Approximate error of the outputs that rounding adds while sensitivities are measured. */
const probed = 0.02;

/** The relative squared error of bfloat16 is about 1e-6; it must be small compared with the distortion. */
const leastShortened = 1e-4;

/** Quantizes with an error of `options.distortion` in the outputs, and rounds the parameters that stay in float32. */
export async function quantizeForDownload(options: QuantizeSettings, model: Model, context: Context): Promise<Outcome> {
  const asked = askedLayers(model, options);
  const folded = await fuseBatchNorms(model, { trained: true, into: ({ name }) => asked.has(name) });
  // Equalization changes the layers' outputs, and with them the sensitivities. It gains nothing for weights alone, whose steps follow the inputs.
  const equalize = options.equalize && options.scheme !== "weights";
  const moved = await moveFactors(model, { ...options, equalize }, context);
  const parameters = parametersWithout(model, asked);
  const rounder = await chosenMethod(model, options, context);
  // No bias correction: the error that rdoq minimizes includes the mean error.
  const fixed = { equalize: false, biasCorrection: "none" as const };
  const { changes, misses } = await quantizeBy({ ...options, ...fixed, rounder }, model, context);
  const { distortion = defaultDistortion } = options;
  const shortened = distortion < leastShortened ? [] : await shortenFloats(model, parameters);
  return { changes: [...folded.changes, ...moved, ...changes, ...shortened], misses };
}

/** Returns the names of layers that do not stay in float by request. */
function askedLayers(model: Model, options: QuantizeSettings): ReadonlySet<string> {
  const asked = selectLayers(allLayers(model, infer(model)), options).filter((layer) => !staysFloat(layer, options));
  return new Set(asked.map(({ name }) => name));
}

/** Returns the parameters, without those of layers that stay in float by request. */
function parametersWithout(model: Model, asked: ReadonlySet<string>): readonly Value[] {
  const inference = infer(model);
  const others = allLayers(model, inference).filter(({ name }) => !asked.has(name));
  const kept = new Set(others.flatMap(({ node, weight }) => [weight, ...node.inputs]));
  return [...parametersOf(model, inference)].filter((parameter) => !kept.has(parameter));
}

/** Returns the rounding method. With `epochs`, it first trains layers, and the method keeps their values and steps. */
async function chosenMethod(model: Model, options: QuantizeSettings, context: Context): Promise<Solver> {
  const { data, epochs, augment, distortion = defaultDistortion, checkpoint, resume, bits } = options;
  const scales = new Map<string, Float32Array>();
  const method = await distributed(model, options, context, (layer, _, own) =>
    scales.set(layer, own.every((scale) => scale === own[0]) ? own.slice(0, 1) : own),
  );
  if (data === undefined || epochs === undefined || context.dryRun) return method;
  const limit = bits === 7 ? 64 : 127;
  const copy = model.clone();
  await quantizeBy({ ...options, ...weightsAlone, rounder: method }, copy, silenced(context));
  const lambda = lambdaFor(distortion, weightCount(quantizable(model, options)));
  // Loaded on demand: code that trains.
  const { trainValues } = await import("./trained-values.ts");
  // With a goal, several distortions are trained.
  const folder = checkpoint === undefined ? {} : { checkpoint: `${checkpoint}/distortion-${distortion}` };
  const training = { epochs, resume, ...(augment !== undefined && { augment }), ...folder };
  const trained = await trainValues(model, copy, { data, training, lambda, scales, limit }, context);
  const { evidence, ...withoutSamples } = method;
  return {
    // No layer is left that needs samples.
    ...(trained.size === scales.size ? withoutSamples : method),
    async scales(weight, grid, known) {
      const own = trained.has(known.layer.name) ? scales.get(known.layer.name) : undefined;
      if (own === undefined) return (await method.scales?.(weight, grid, known)) ?? [];
      const zeroPoint = centerOf(grid);
      return Array.from({ length: weight.slices }, (_, slice) => ({ scale: own[slice % own.length] ?? 1, zeroPoint }));
    },
    async codes(weight, grid, known) {
      if (trained.has(known.layer.name)) return nearestCodes(weight, grid);
      return (await method.codes?.(weight, grid, known)) ?? [];
    },
  };
}

const quantizable = (model: Model, options: QuantizeSettings): readonly Layer[] =>
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
  equalize: false,
  biasCorrection: "none",
} as const;

const silenced = (context: Context): Context => ({ ...context, log: () => {}, progress: () => {} });

/** Returns the rounding method that adds an error of `options.distortion` to the outputs. @param note as for `rdoqBy`. */
async function distributed(
  model: Model,
  options: QuantizeSettings,
  context: Context,
  note: Parameters<typeof rdoqBy>[1],
): Promise<Solver> {
  const { data, distortion = defaultDistortion } = options;
  const found =
    data === undefined ? undefined : await keptSensitivities(model, options, await trainPart(data), context);
  const lambda = lambdaFor(distortion, weightCount(quantizable(model, options)));
  const rounder = rdoqBy(async (layer, energyOf) => {
    const sensitivity = found?.get(layer);
    // A layer whose outputs are 0 has an infinite sensitivity or none, so its λ is 0.
    return (sensitivity === undefined ? lambda * (await energyOf()) : lambda / sensitivity) || 0;
  }, note);
  return { ...rounder, ...towardsOriginal(rounder) } as Solver;
}

/** Measures sensitivities once for all distortions of a search, because they do not depend on the distortion. */
async function keptSensitivities(
  model: Model,
  options: QuantizeSettings,
  data: Dataset,
  context: Context,
): Promise<ReadonlyMap<string, number | undefined>> {
  const { samples, perChannel, weights } = options;
  const names = quantizable(model, options).map(({ name }) => name);
  const setting = `sensitivities ${JSON.stringify([context.seed, samples, perChannel, weights, names])}`;
  return measuredOnce(model, data, setting, names, async () => {
    const found = await sensitivities(model, options, data, context);
    return new Map(names.map((name) => [name, found.get(name)]));
  });
}

/** Returns the relative squared error of the outputs per error of each layer; layers that could not be run alone have an estimate. */
async function sensitivities(
  model: Model,
  options: QuantizeSettings,
  data: Dataset,
  context: Context,
): Promise<ReadonlyMap<string, number>> {
  const { engine, seed, signal } = context;
  const layers = quantizable(model, options);
  const lambda = lambdaFor(probed * Math.sqrt(layers.length), weightCount(layers));
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
  // All attempts of a goal measure the same, also with layers that stay in float.
  const alike = { bits: 8, overrides: undefined } as const;
  await quantizeBy({ ...options, ...weightsAlone, ...alike, rounder: probe as Solver }, copy, silenced(context));
  const part = draw(data, measured, seed + 1);
  const [before, after] = [withClassScores(model), withClassScores(copy)];
  const noise = await noiseMeter(before, async () => part, context, measured)(after);
  const found = await layerErrors(engine, before, after, part, {
    samples: measured,
    seed,
    signal,
    batch: 16,
    alone: { samples: measured, work: 1e12 },
  });
  if (found instanceof Miss || noise === undefined) return new Map();
  // Layers with a shared weight have one error e, and their shares add up.
  const weightOf = new Map(allLayers(copy, infer(copy)).map(({ name, weight }) => [name, weight]));
  const ratios = new Map<string, number>();
  for (const [layer, error] of errors) {
    const share = found.layers
      .filter((other) => weightOf.get(other.layer) === weightOf.get(layer))
      .reduce((sum, other) => sum + (other.share ?? Number.NaN), 0);
    if (error > 0 && share > 0 && Number.isFinite(share)) ratios.set(layer, (share * noise) / error);
  }
  const relative = [...ratios].map(([layer, own]) => own * (energies.get(layer) ?? 0)).toSorted((a, b) => a - b);
  const usual = relative[Math.floor(relative.length / 2)] ?? 1;
  return new Map(Array.from(energies, ([layer, energy]) => [layer, ratios.get(layer) ?? usual / energy]));
}
