import type { Model } from "../../../core/graph/model.ts";
import type { Change, Context } from "../../../core/pass/pass.ts";
import type { AnswerNoise } from "../rounding-noise.ts";
import { absorbBiases } from "./absorb-biases.ts";
import { awq } from "./awq.ts";
import { crossLayer } from "./cross-layer.ts";
import { rotation } from "./rotation.ts";
import { smoothQuant } from "./smooth-quant.ts";
import type { EqualizeOptions, Transformation } from "./transformation.ts";

/** Each transformation starts from the result of the previous ones. A rotation must keep the outputs, so it precedes absorbed biases. */
const transformations: readonly Transformation[] = [crossLayer, rotation, absorbBiases, smoothQuant, awq];

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
