/**
 * Estimates, to first order, how much a change Δ of each layer's weight changes the outputs y. All layers share the forward and backward passes:
 *
 *   ‖y(w + Δ) − y(w)‖² ≈ ‖J Δ‖² = E (uᵀ J Δ)²,   J = ∂y/∂w, u random signs (Hutchinson 1990)
 *
 * uᵀ J is the gradient of the loss Σ u y. The signs of different samples are independent, so a batch estimates the sum over its samples.
 */
import { infer, layers as layersOf } from "#analysis";
import { dimsText, elementCount, fixedDims, float32, type Model, random, shapeError, toFloats } from "#ir";
import type { Context } from "#pass";
import type { Dataset } from "../../data/index.ts";
import { observeGradients } from "../../learn/train/gradient-statistic.ts";
import { type Loss, outputOf } from "../../learn/train/loss.ts";
import { scaleParts } from "../../learn/train/losses/imitation.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";
import { counterpartNumbers } from "../../runtime/noise/weight-errors.ts";

/**
 * @param candidate the same network with other weights, in any format.
 * @returns E (uᵀ J Δ)² by layer, up to a common factor.
 * @throws PithError E_NOT_DIFFERENTIABLE, E_SHAPE_MISMATCH, E_DATA if the data does not fit, E_STOPPED on the context's signal.
 */
export async function estimateTaylorErrors(
  original: Model,
  candidate: Model,
  data: Dataset,
  { samples, output }: { readonly samples: number; readonly output?: string | undefined },
  context: Context,
): Promise<ReadonlyMap<string, number>> {
  const model = original.clone();
  storeWeights(model);
  const changes = await changesOf(model, candidate, context);
  if (changes.size === 0) return new Map();
  const squares = {
    of: "gradients" as const,
    begin(weight: string) {
      const { change = new Float32Array() } = changes.get(weight) ?? {};
      let sum = 0;
      return {
        add(gradient: ArrayLike<number>) {
          const slope = change.reduce((dot, delta, index) => dot + delta * (gradient[index] ?? 0), 0);
          sum += slope * slope;
        },
        end: () => sum,
      };
    },
  };
  const request = { data, samples, batch, loss: projectionLoss(output, context.seed) };
  const gradients = await observeGradients(model, [...changes.keys()], squares, request, context);
  return new Map(Array.from(gradients, ([weight, square]) => [changes.get(weight)?.layer ?? weight, square]));
}

/** Each batch has new random signs, so smaller batches reduce the variance. */
const batch = 2;

async function changesOf(original: Model, candidate: Model, { engine }: Context) {
  const numbersOf = counterpartNumbers(candidate, engine);
  const changes = new Map<string, { readonly layer: string; readonly change: Float32Array }>();
  for (const layer of layersOf(original, infer(original))) {
    const { name, effective, weight } = layer;
    if (effective !== weight || effective.type?.type !== "float32") continue;
    const values = await numbersOf(layer);
    if (values === undefined) continue;
    const before = toFloats(await readStoredValue(original, effective, engine));
    const change = Float32Array.from(before, (value, at) => (values[at] ?? 0) - value);
    changes.set(weight.name, { layer: name, change });
  }
  return changes;
}

/** Loss Σ u y of an output y, with new random signs u for each batch. */
function projectionLoss(output: string | undefined, seed: number): Loss {
  return {
    name: "projection",
    build(scope) {
      const { emit, model } = scope;
      const target = outputOf(scope, output);
      const [outputValue] = scaleParts(emit, scope, target, [target]);
      const dims = fixedDims(outputValue.type?.dims);
      const shapeText = dimsText(outputValue.type?.dims);
      if (dims === undefined) throw shapeError(`"${outputValue.name}" has no fixed shape: ${shapeText}.`);
      const signs = model.graph.addInput(model.graph.freshName("signs"), { type: "float32", dims });
      const { uniform } = random(seed, "signs");
      const drawSigns = () => Float32Array.from({ length: elementCount(dims) }, () => (uniform() < 0.5 ? -1 : 1));
      return {
        value: emit.ReduceSum([emit.Mul([outputValue, signs])], { keepdims: 0 }),
        feeds: () => ({ [signs.name]: float32(dims, drawSigns()) }),
      };
    },
  };
}
