/**
 * Finds integer layers that an adapter slows down. ONNX Runtime fuses DequantizeLinear, layer and QuantizeLinear into one kernel;
 * an adapter adds a node before the rounding:
 *
 *     DequantizeLinear → layer → Add → QuantizeLinear
 *
 * A matrix product still runs on integers (an integer kernel with float output exists), a convolution in float.
 */
import { infer } from "../analysis/infer.ts";
import { type Layer, layers } from "../analysis/layers.ts";
import { isStored } from "../analysis/stored-root.ts";
import { enumerated, Miss } from "../errors.ts";
import { counted, integer } from "../evaluate/numbers.ts";
import type { Model } from "../graph/model.ts";
import { entryOf } from "../ops/index.ts";
import type { Context, Outcome } from "../passes/index.ts";

export function warnOfUnfused(model: Model, { changes }: Outcome, { log }: Pick<Context, "log">): void {
  const adapted = new Set(changes.map(({ at }) => at));
  const inference = infer(model);
  const slower = layers(model, inference).filter((layer) => adapted.has(layer.name) && readsCodes(layer));
  if (slower.length === 0) return;
  const inFloat = slower.filter(({ node }) => {
    const bound = inference.at(node);
    const rule = bound instanceof Miss ? bound : bound.quantize();
    return rule instanceof Miss || rule.kind !== "weighted" || rule.floatResult !== true;
  });
  const names = enumerated(slower.map(({ name }) => name));
  const float =
    inFloat.length === 0
      ? ""
      : ` ${integer(inFloat.length)} of them now run in float, because no integer kernel with float output exists.`;
  const text = `Adapters slow down ${counted(slower.length, "layer")} in integer arithmetic (${names}): the runtime fuses a layer with the quantization of its input and output, and an adapter adds a node in between.${float} To keep adapters, quantize with the scheme "weights".`;
  log({ id: "unfused", text, level: "warning" });
}

function readsCodes({ node, role }: Layer): boolean {
  const producer = node.inputs[role.data]?.producer;
  return (
    producer !== undefined &&
    (entryOf(producer)?.codes ?? []).some(({ input }) => {
      const codes = producer.inputs[input];
      return codes !== undefined && !isStored(codes);
    })
  );
}
