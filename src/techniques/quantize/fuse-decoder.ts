/** Fuses attention, rotary embeddings and normalizations of language models with a cache before quantization (docs/simplify.md). */
import { allNodes, integer, type Model } from "#ir";
import type { Context } from "#pass";
import { cpuRules, parameterRules } from "../../core/ops/rules/index.ts";
import { dropDeadChannelsDescription } from "../../rewrite/clean-up/clean-up.ts";
import { simplifyRaised } from "../../rewrite/clean-up/simplify.ts";
import type { TargetName } from "../../runtime/run/run-target.ts";
import { dtypes } from "./dtypes.ts";
import type { FlatOptions } from "./options.ts";

/** Returns the options of `simplify` for a model that these runtimes load. */
export const fusionOptionsFor = (target: readonly TargetName[]): { readonly raise: true; readonly skip: string[] } => ({
  raise: true,
  skip: target.includes("webgpu") ? [...cpuRules] : [],
});

/** Without a target, WebGPU is assumed, except for a dtype with integer arithmetic, which WebGPU lacks. */
const targetsOf = ({ target, dtype }: FlatOptions): readonly TargetName[] =>
  target ?? [dtype !== undefined && dtypes[dtype].steps[0].scheme === "dynamic" ? "node" : "webgpu"];

export async function fuseDecoder(model: Model, options: FlatOptions, context: Context): Promise<void> {
  const countNodes = (): string => integer([...allNodes(model.graph)].length);
  const before = countNodes();
  const skip = [...parameterRules, dropDeadChannelsDescription.id, ...fusionOptionsFor(targetsOf(options)).skip];
  if ((await simplifyRaised(model, { skip }, context)) === undefined) return;
  const text = `${countNodes()} nodes instead of ${before}: operators of ONNX Runtime compute attention, rotary embeddings and normalizations`;
  context.log({ id: "fused", text, level: "note" });
}
