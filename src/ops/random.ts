/** Which operators draw random numbers: two runs differ, so they are never evaluated in advance and never merged. */
import type { Node } from "../graph/graph.ts";

const drawing: ReadonlySet<string> = new Set([
  "RandomNormal",
  "RandomNormalLike",
  "RandomUniform",
  "RandomUniformLike",
  "Bernoulli",
  "Multinomial",
]);

/** Whether a node draws random numbers. Dropout does if it is told at run time whether it trains (its third input). */
export function isRandom({ domain, op, inputs }: Node): boolean {
  if (domain !== "" && domain !== "ai.onnx") return false;
  return drawing.has(op) || (op === "Dropout" && inputs[2] !== undefined);
}
