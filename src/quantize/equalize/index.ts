import type { Model } from "../../graph/model.ts";
import type { Change, Context } from "../../passes/pass.ts";
import type { AnswerNoise } from "../rounded-noise.ts";
import { absorbBiases } from "./absorb-biases.ts";
import { awq } from "./awq.ts";
import { crossLayer } from "./cross-layer.ts";
import { rotation } from "./rotation.ts";
import { smoothQuant } from "./smooth-quant.ts";
import type { EqualizeOptions, Transformation } from "./transformation.ts";

/** In this order: each begins with what those before it have left. */
const transformations: readonly Transformation[] = [crossLayer, absorbBiases, rotation, smoothQuant, awq];

/** Moves factors by all transformations for these settings. The model computes the same. */
export async function equalize(
  model: Model,
  options: EqualizeOptions,
  context: Context,
  noise: AnswerNoise,
): Promise<readonly Change[]> {
  const changes: Change[] = [];
  for (const { suits, move } of transformations)
    if (suits(options)) changes.push(...(await move(model, options, context, noise)));
  return changes;
}
