/** What is tried where no recipe is given. */
import { infer } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import type { TargetName } from "../evaluate/run-target.ts";
import type { Model } from "../graph/model.ts";
import { elementCount } from "../tensor/dims.ts";
import { recipeFrom } from "./recipe.ts";
import type { Candidate } from "./variant.ts";

/**
 * Fewer bits, in the ways that need no training, and little or no data; 4 bits where most weights lie in matrices, the blocks of other layers are
 * of 8.
 * @param target the runtimes that the result is for.
 */
export function defaultPlan(model: Model, target: readonly TargetName[] = []): readonly Candidate[] {
  const aimed = target.length === 0 ? {} : { target };
  const candidate = (name: string, quantize: object): Candidate => ({
    name,
    recipe: recipeFrom({ steps: [{ quantize: { ...quantize, ...aimed } }] }),
  });
  let [all, inMatrices] = [0, 0];
  for (const { effective } of layers(model, infer(model))) {
    const dims = effective.type?.dims?.map(Number) ?? [];
    const numbers = elementCount(dims);
    all += numbers;
    if (dims.length === 2) inMatrices += numbers;
  }
  // WebGPU has no kernels on integers: activations would go to the processor and back around each layer.
  const schemes = target.includes("webgpu") ? ["weights"] : ["static", "dynamic", "weights"];
  return [
    ...schemes.map((scheme) => candidate(`int8 ${scheme}`, { scheme })),
    ...(inMatrices > all / 2 ? [candidate("4 bits", { scheme: "weights", bits: 4, rounder: "k-quant" })] : []),
    candidate("float16", { scheme: "float16" }),
  ];
}
