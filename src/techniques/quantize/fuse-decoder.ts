/** Gives language models with a cache the fastest operators of their runtimes before quantization (docs/simplify.md). */
import { allNodes, type Model } from "#ir";
import type { Context } from "#pass";
import { integer } from "../../core/numbers.ts";
import { cpuRules, parameterRules } from "../../core/ops/rules/index.ts";
import { deadChannels } from "../../rewrite/clean-up/clean-up.ts";
import { simplifyRaised } from "../../rewrite/clean-up/simplify.ts";
import { decoderOf } from "../../runtime/run/decoding.ts";
import { dtypes } from "./dtypes.ts";
import type { FlatOptions } from "./options.ts";

/** Without a target, files of a dtype can be loaded in WebGPU, except those with integer arithmetic, which runs on the CPU everywhere. */
const runsOnCpu = ({ target, dtype }: FlatOptions): boolean =>
  target === undefined
    ? dtype !== undefined && dtypes[dtype].steps[0].scheme === "dynamic"
    : !target.includes("webgpu");

export async function fuseDecoder(model: Model, options: FlatOptions, context: Context): Promise<void> {
  if ((decoderOf(model)?.caches.length ?? 0) === 0) return;
  const countNodes = (): string => integer([...allNodes(model.graph)].length);
  const before = countNodes();
  const skip = [...parameterRules, deadChannels.id, ...(runsOnCpu(options) ? [] : cpuRules)];
  if ((await simplifyRaised(model, { skip }, context)) === undefined) return;
  const text = `operators of ONNX Runtime replace the arithmetic of layers: ${countNodes()} nodes instead of ${before}`;
  context.log({ id: "fused", text, level: "note" });
}
