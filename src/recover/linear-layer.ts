/** A layer as the matrices that least squares are about: y = P w + b, with P as `calibrate/features.ts` has it. */
import { biased } from "../analysis/biased.ts";
import type { Inference } from "../analysis/infer.ts";
import type { Layer } from "../analysis/layers.ts";
import { maskedAt } from "../analysis/masks.ts";
import { requireWeight, weightMatrices, weightNeeds, weightNumbers, weightShape } from "../analysis/weight.ts";
import { featuresOf, type LayerFeatures } from "../calibrate/features.ts";
import type { Engine } from "../engine/engine.ts";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { type Matrix, transpose } from "../math/index.ts";
import { readStoredValue } from "../passes/stored.ts";
import { fromNumbers, isFloat, toFloat64 } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";

export interface LinearLayer {
  /** How P is computed. */
  readonly seen: LayerFeatures;
  readonly groups: number;
  /** Of each group. */
  readonly features: number;
  readonly outputs: number;
  /** For each group its weights, features × outputs. */
  readonly weights: readonly Matrix[];
  /** The bias of each output channel. */
  readonly bias: Float64Array;
  /** Whether the bias may change: it is stored as floats, or there is a place for one. */
  readonly takesBias: boolean;
}

/** Features of a group at most: their products are a matrix of as many rows and columns. */
const mostFeatures = 2304;

/** The layer as matrices, or why it has none. */
export async function linearLayer(
  model: Model,
  layer: Layer,
  inference: Inference,
  engine: Engine,
): Promise<LinearLayer | Miss> {
  const { role, effective, name } = layer;
  const sum = biased(layer, inference)?.sum;
  const bias = sum?.vector ?? layer.bias;
  const no = (reason: string): Miss => new Miss(reason, name);
  const miss = requireWeight(layer, weightNeeds.solve);
  if (miss !== undefined) return miss;
  const seen = featuresOf(layer);
  if (seen instanceof Miss) return seen;
  const dense = await readStoredValue(model, effective, engine);
  const { outputs, inputs, taps } = weightShape(role, dense.dims);
  const features = inputs * taps;
  if (features > mostFeatures)
    return no(`it has ${features} weights for each output; up to ${mostFeatures} are solved for`);
  const weights = weightMatrices(role, dense.dims, toFloat64(dense)).map(transpose);
  const known = bias === undefined ? new Float64Array(1) : toFloat64(await readStoredValue(model, bias, engine));
  const stored = bias === undefined || (bias.tensor !== undefined && isFloat(bias.tensor.type));
  return {
    ...{ seen, groups: role.groups, features, outputs, weights },
    bias: Float64Array.from({ length: layer.outputs }, (_, channel) => known[known.length === 1 ? 0 : channel] ?? 0),
    takesBias:
      (role.biasInput !== undefined || sum !== undefined) &&
      stored &&
      (known.length === 1 || known.length === layer.outputs),
  };
}

/** Puts other weights into a layer; those that a mask hides stay. */
export async function putWeights({ weight, role }: Layer, weights: readonly Matrix[]): Promise<void> {
  const before = await weight.tensor?.read();
  if (before === undefined || !isFloat(before.type)) return;
  const mask = maskedAt(weight)?.mask.tensor;
  const shown = mask === undefined ? undefined : toFloat64(await mask.read());
  const hidden = toFloat64(before);
  const values = weightNumbers(role, before.dims, weights.map(transpose)).map((value, at) =>
    shown?.[at] === 0 ? (hidden[at] ?? 0) : value,
  );
  weight.tensor = inMemory(fromNumbers(before.type, before.dims, values));
}
