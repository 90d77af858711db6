/** Stores the cache in float16, with Casts after its inputs and before its outputs, which float16 arithmetic then makes redundant. */
import type { State } from "#batches";
import { emitInto, type Model, typeCodes } from "#ir";
import { isOfEncoder } from "../../runtime/run/decoding.ts";

export function storeCacheInHalf(model: Model, caches: readonly State[]): void {
  const { graph } = model;
  // The branches of merged decoders return the encoder's part in float32.
  if (caches.some(isOfEncoder)) return;
  for (const { input, output } of caches) {
    const [past, present] = [graph.value(input), graph.outputs.find(({ name }) => name === output)];
    if (past?.type?.type !== "float32" || present?.type?.type !== "float32" || graph.isInput(present)) continue;
    const { dims } = past.type;
    const [first] = graph.nodes();
    const floatPast = emitInto(model, { before: first, by: "quantize" }).Cast([past], { to: typeCodes.float32 });
    floatPast.type = { type: "float32", dims };
    // Shape reads any type.
    for (const { node, input: index } of [...past.uses])
      if (
        node !== floatPast.producer &&
        (node.inputs.length > 1 || node.outputs.some((value) => value?.type?.type === "float32"))
      )
        node.graph.setInput(node, index, floatPast);
    past.type = { type: "float16", dims };
    const { stated } = present;
    graph.rename(present, graph.freshName(`${output}_float32`));
    const halfPresent = emitInto(model, { by: "quantize" }).named(output).Cast([present], { to: typeCodes.float16 });
    graph.setOutputs(graph.outputs.map((value) => (value === present ? halfPresent : value)));
    halfPresent.type = { type: "float16", dims: stated?.dims };
  }
}
