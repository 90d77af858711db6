/** Number of operators by kind that `quantize` leaves in a language model. */
import { createEngine } from "../../../src/core/engine/index.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { raiseOpset } from "../../../src/rewrite/edit/raise-opset.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import type { QuantizeOptions } from "../../../src/techniques/quantize/options.ts";
import { shared } from "../../shared.ts";

export const file = shared("data/models/llama_shakespeare/onnx/model.onnx");

export async function countOperators(options: QuantizeOptions, opset = 1) {
  const model = await open(file ?? "");
  raiseOpset(model, opset);
  await quantize(model, options, { engine: createEngine() });
  const counts: Record<string, number> = {};
  for (const { op } of model.graph.nodes()) counts[op] = (counts[op] ?? 0) + 1;
  return { Attention: 0, RotaryEmbedding: 0, Softmax: 0, ...counts };
}
