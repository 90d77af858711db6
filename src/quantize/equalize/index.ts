import type { Model } from "../../graph/model.ts";
import type { Change, Context } from "../../passes/pass.ts";
import type { AnswerNoise } from "../rounding-noise.ts";
import { absorbBiases } from "./absorb-biases.ts";
import { awq } from "./awq.ts";
import { crossLayer } from "./cross-layer.ts";
import { rotation } from "./rotation.ts";
import { smoothQuant } from "./smooth-quant.ts";
import type { EqualizeOptions, Transformation } from "./transformation.ts";

/** In this order: each begins with what those before it have left. A rotation has to leave the answers as they are, which absorbed biases change a little. */
const transformations: readonly Transformation[] = [crossLayer, rotation, absorbBiases, smoothQuant, awq];

/** Moves factors by all transformations for these settings. The model computes the same, but for what absorbed biases cut off. */
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
