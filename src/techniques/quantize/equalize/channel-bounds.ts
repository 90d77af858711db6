/**
 * Factors cannot move through a clamp to [0, 6] because its bound is a scalar. A stored bound per channel can be scaled:
 *
 *     y = Clip(h, 0, 6)        y = Min(Relu(h), b)    b = 6 for each channel of the layer that computes h
 */
import { biased } from "../../../core/analysis/biased.ts";
import { infer } from "../../../core/analysis/infer.ts";
import { layers } from "../../../core/analysis/layers.ts";
import { Miss } from "../../../core/errors.ts";
import type { NodeSpec } from "../../../core/graph/elements.ts";
import { emitInto } from "../../../core/graph/emit.ts";
import type { Value } from "../../../core/graph/graph.ts";
import type { Model } from "../../../core/graph/model.ts";
import { removeUnused } from "../../../core/graph/remove-unused.ts";
import { substitute } from "../../../core/graph/replace.ts";
import { buffer } from "../../../core/graph/role.ts";
import { fromNumbers, isFloat } from "../../../core/tensor/convert.ts";

/** Rewrites clamps to [0, high] after layers. @returns a function that restores the clamps for which `isIdle` returns true. */
export function boundChannels(model: Model): (isIdle: (bounds: Value) => boolean) => void {
  const inference = infer(model);
  const made: { readonly clamp: NodeSpec; readonly bounded: Value; readonly bounds: Value }[] = [];
  for (const layer of layers(model, inference)) {
    const answer = biased(layer, inference)?.output;
    const [use, ...others] = answer?.uses ?? [];
    const type = answer?.type?.type;
    if (answer === undefined || use === undefined || others.length > 0 || type === undefined || !isFloat(type))
      continue;
    const { node: clamp } = use;
    const [output] = clamp.outputs;
    const bound = inference.at(clamp);
    const rule = bound instanceof Miss || bound.homogeneous() !== undefined ? undefined : bound.quantize();
    if (rule === undefined || rule instanceof Miss || rule.kind !== "clamp" || output === undefined) continue;
    if (rule.low !== 0 || rule.high === undefined || rule.high <= 0 || clamp.graph !== model.graph) continue;
    const rank = answer.type?.dims?.length ?? 0;
    const dims = Array.from({ length: rank - layer.role.outputAxis }, (_, axis) => (axis === 0 ? layer.outputs : 1));
    const emit = emitInto(model, { before: clamp, by: "quantize", onNode: inference.visit });
    const high = new Array<number>(layer.outputs).fill(rule.high);
    const bounds = emit.constant(fromNumbers(type, dims, high), `${layer.name}.bounds`, buffer);
    const bounded = emit.named(`${output.name}_bounded`).Min([emit.Relu([answer]), bounds]);
    const { op, domain, name, attributes, inputs } = clamp;
    const spec = { op, domain, name, attributes: new Map(attributes), inputs: [...inputs], outputs: 1 };
    substitute(output, bounded);
    made.push({ clamp: spec, bounded, bounds });
  }
  return (isIdle) => {
    for (const { clamp, bounded, bounds } of made) {
      if (!isIdle(bounds) || bounded.producer === undefined) continue;
      const [output] = model.graph.addNode(clamp, { before: bounded.producer }).outputs;
      if (output === undefined) continue;
      output.type = bounded.type;
      substitute(bounded, output);
    }
    removeUnused(model.graph);
  };
}
