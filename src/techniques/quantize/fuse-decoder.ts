/** Gives language models with a cache the fastest operators of their runtimes before quantization (docs/simplify.md). */
import { allNodes, emitInto, type Model, typeCodes } from "#ir";
import type { Context } from "#pass";
import { integer } from "../../core/numbers.ts";
import { parameterRules } from "../../core/ops/rules/index.ts";
import { deadChannels } from "../../rewrite/clean-up/clean-up.ts";
import { simplifyRaised } from "../../rewrite/clean-up/simplify.ts";
import { decoderOf, isOfEncoder } from "../../runtime/run/decoding.ts";
import type { TargetName } from "../../runtime/run/run-target.ts";
import { dtypes } from "./dtypes.ts";
import type { FlatOptions } from "./options.ts";
import { fusionFor } from "./runtimes.ts";

/** Without a target, files of a dtype can be loaded in WebGPU, except those with integer arithmetic, which runs on the CPU everywhere. */
const targetsOf = ({ target, dtype }: FlatOptions): readonly TargetName[] =>
  target ?? [dtype !== undefined && dtypes[dtype].steps[0].scheme === "dynamic" ? "node" : "webgpu"];

export async function fuseDecoder(model: Model, options: FlatOptions, context: Context): Promise<void> {
  if ((decoderOf(model)?.caches.length ?? 0) === 0) return;
  const countNodes = (): string => integer([...allNodes(model.graph)].length);
  const before = countNodes();
  const skip = [...parameterRules, deadChannels.id, ...fusionFor(targetsOf(options)).skip];
  if ((await simplifyRaised(model, { skip }, context)) === undefined) return;
  const text = `operators of ONNX Runtime replace the arithmetic of layers: ${countNodes()} nodes instead of ${before}`;
  context.log({ id: "fused", text, level: "note" });
}

/**
 * Stores the cache in float16: changes the type of its inputs and outputs, with a Cast to float32 after each input and to float16 before each output.
 * The conversion to float16 arithmetic makes the Casts redundant.
 */
export function storeCacheInHalf(model: Model): void {
  const { graph } = model;
  const caches = decoderOf(model)?.caches ?? [];
  // The branches of merged decoders return the encoder's part in float32.
  if (caches.some(isOfEncoder)) return;
  for (const { input, output } of caches) {
    const [past, present] = [graph.value(input), graph.outputs.find(({ name }) => name === output)];
    if (past?.type?.type !== "float32" || present?.type?.type !== "float32" || graph.isInput(present)) continue;
    const { dims } = past.type;
    const [first] = graph.nodes();
    const widened = emitInto(model, { before: first, by: "quantize" }).Cast([past], { to: typeCodes.float32 });
    widened.type = { type: "float32", dims };
    // Shape reads any type.
    for (const { node, input: index } of [...past.uses])
      if (
        node !== widened.producer &&
        (node.inputs.length > 1 || node.outputs.some((value) => value?.type?.type === "float32"))
      )
        node.graph.setInput(node, index, widened);
    past.type = { type: "float16", dims };
    const { stated } = present;
    graph.rename(present, graph.freshName(`${output}_float32`));
    const narrowed = emitInto(model, { by: "quantize" }).named(output).Cast([present], { to: typeCodes.float16 });
    graph.setOutputs(graph.outputs.map((value) => (value === present ? narrowed : value)));
    narrowed.type = { type: "float16", dims: stated?.dims };
  }
}
