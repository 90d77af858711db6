/**
 * Adds adapters to quantized weights that compensate the quantization error: its best low-rank approximation, W - Q ≈ up · down, by
 * SVD (LoRC, Yao et al. 2023, arXiv 2303.08302; LoftQ, Li et al. 2023, arXiv 2310.08659).
 */
import { infer } from "../../core/analysis/infer.ts";
import { layers as layersOf } from "../../core/analysis/layers.ts";
import { selectLayers } from "../../core/analysis/selection.ts";
import { isQuantized } from "../../core/analysis/weight.ts";
import { engineMultiply } from "../../core/engine/multiply.ts";
import { Miss, throwIfAborted } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { snapshot } from "../../core/graph/snapshot.ts";
import { frobenius, type Matrix, subtract } from "../../core/math/matrix.ts";
import { percent } from "../../core/numbers.ts";
import type { LayerSelection } from "../../core/pass/options.ts";
import type { Context, Outcome } from "../../core/pass/pass.ts";
import { readMatrices } from "../../rewrite/edit/weight-numbers.ts";
import { noiseMeter } from "../../runtime/noise/answer-noise.ts";
import { adaptedLayers, dimsOf, explainRank, insertAdapters, storeBranch } from "./adapters.ts";
import type { Problem } from "./decomposition.ts";
import { decompositions } from "./decompositions.ts";

const samplesToCompare = 64;

export async function insertErrors(
  model: Model,
  original: Model,
  { rank, ...selection }: LayerSelection & { readonly rank: number },
  context: Context,
): Promise<Outcome> {
  const { engine, seed, signal, progress } = context;
  const adapted = adaptedLayers(model);
  const originalLayers = new Map(layersOf(original, infer(original)).map((layer) => [layer.name, layer]));
  const chosen = selectLayers(layersOf(model, infer(model)), selection).filter(({ name }) => !adapted.has(name));
  const products = engineMultiply(engine);
  try {
    const restore = snapshot(model);
    const rounded = model.clone();
    const outcome = await insertAdapters(model, chosen, async (layer) => {
      throwIfAborted(signal, `Stopped before layer "${layer.name}".`);
      progress(chosen.indexOf(layer), chosen.length, layer.name);
      const { name } = layer;
      const originalLayer = originalLayers.get(name);
      if (originalLayer === undefined) return new Miss("the original has no layer of this name", name);
      if (!isQuantized(layer) && isQuantized(originalLayer))
        return new Miss("its weight is float, and that of the original is quantized: the two models are swapped", name);
      const refusal = explainRank(layer, rank);
      if (refusal !== undefined) return refusal;
      const originalMatrices = await readMatrices(original, originalLayer, engine);
      if (originalMatrices instanceof Miss) return originalMatrices;
      const quantizedMatrices = await readMatrices(model, layer, engine);
      if (quantizedMatrices instanceof Miss) return quantizedMatrices;
      const errors = subtractMatrices(originalMatrices, quantizedMatrices, name);
      if (errors instanceof Miss) return errors;
      const { svd } = decompositions;
      const dims = dimsOf(layer);
      const problem: Problem = {
        matrices: errors,
        kernel: (layer.role.window?.axes ?? []).map((axis) => dims[axis] ?? 1),
        reduction: [],
        lookup: false,
        multiply: products.multiply,
        seed,
      };
      const { parts, relativeError } = await svd.factors(problem, svd.at(problem, rank));
      const text = `takes ${percent(1 - relativeError ** 2, 0)} of the squared error of its weight`;
      return { ...storeBranch(model, layer, parts, 1), note: text };
    });
    if (outcome.changes.length === 0 || (await isNearer(model, rounded, original, context))) return outcome;
    restore();
    return { changes: [], misses: [...outcome.misses, new Miss(noImprovementText)] };
  } finally {
    await products.release();
  }
}

function subtractMatrices(
  exact: readonly Matrix[],
  quantized: readonly Matrix[],
  name: string,
): readonly Matrix[] | Miss {
  const errors = quantized.flatMap((matrix, group) => {
    const other = exact[group];
    return other?.rows === matrix.rows && other.columns === matrix.columns ? subtract(other, matrix) : [];
  });
  if (errors.length < quantized.length) return new Miss("its weight has other dimensions in the original", name);
  return errors.every((error) => frobenius(error) === 0) ? new Miss("its weight has no error", name) : errors;
}

const noImprovementText =
  "adapters do not bring its outputs nearer to the original's: its layers compute other values, for instance after equalization (use `quantize` with `equalize: false`)";

/** Returns whether a model's outputs on random inputs are nearer to the original's outputs than the outputs of `other` are. */
async function isNearer(model: Model, other: Model, original: Model, context: Context): Promise<boolean> {
  const noiseOf = noiseMeter(original, async () => undefined, context, samplesToCompare);
  const [noise = 0, otherNoise = Number.POSITIVE_INFINITY] = [await noiseOf(model), await noiseOf(other)];
  return noise < otherNoise;
}
