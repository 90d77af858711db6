/**
 * Evaluates what depends on stored tensors alone, once, by the engine, and stores the result.
 *
 * Before: `w = Reshape(weight, shape); y = MatMul(x, w)`. After: `y = MatMul(x, w)` with `w` stored.
 * Roles are honoured: a node whose input or output has a role (a mask, a parameter) stays. Nodes that blow a tensor up (Expand of a
 * scalar) stay too: the result may be no larger than its inputs together and `growth`. Numbers that are stored in 8 bits or fewer are
 * stored so on purpose, and are not turned back into floats.
 */

import * as v from "valibot";
import { infer } from "../analysis/infer.ts";
import { describe, type Node, subgraphs, type Value } from "../graph/graph.ts";
import { bitsOf, bytesFor, inMemory } from "../tensor/dense.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import { type Change, definePass } from "./pass.ts";
import { removeUnused } from "./remove-unused.ts";
import { readStored } from "./stored.ts";

/** Bytes that a folded result may have beyond its inputs: small enough not to matter in a file, large enough for index arithmetic. */
const growth = 65_536;

export const foldConstants = definePass({
  id: "fold-constants",
  summary: "Evaluate what depends on stored tensors alone",
  options: v.strictObject({}),
  async run(model, _, context) {
    const inference = infer(model);
    const foldable = [...model.graph.nodes()].filter(
      (node) =>
        node.inputs.length > 0 &&
        subgraphs(node).next().done === true &&
        node.inputs.every(
          (input) => input === undefined || (inference.operand(input)?.stored === true && input.role === undefined),
        ) &&
        node.outputs.every(
          (output) => output === undefined || (output.role === undefined && output.type !== undefined),
        ),
    );
    const folded = foldable.filter((node) =>
      node.outputs.every((output) => output === undefined || (grows(node, output) <= growth && !unpacks(node, output))),
    );
    if (folded.length === 0) return { changes: [], misses: [] };
    const outputs = folded.flatMap((node) => node.outputs.flatMap((output) => output ?? []));
    const results = await readStored(model, outputs, context.engine);
    const changes: Change[] = [];
    for (const node of folded) {
      changes.push({ at: describe(node), what: "evaluated", decidedBy: "global" });
      for (const output of node.outputs) {
        const result = output === undefined ? undefined : results.get(output);
        if (output === undefined || result === undefined) continue;
        const stored = model.graph.addTensor(`${output.name}.folded`, inMemory(result));
        const { name } = output;
        model.graph.replaceUses(output, stored);
        if (model.graph.outputs.includes(stored)) continue;
        model.graph.rename(output, model.graph.freshName(`${name}.replaced`));
        model.graph.rename(stored, name);
      }
    }
    removeUnused(model.graph);
    return { changes, misses: [] };
  },
});

/** Whether a float result comes from elements of 8 bits or fewer, as many as it has: a quantized weight. */
function unpacks(node: Node, output: Value): boolean {
  const count = elementCount(fixedDims(output.type?.dims) ?? []);
  const bits = (value: Value | undefined): number => {
    const type = value?.type?.type;
    return type === undefined || type === "string" || type === "bool" ? 64 : bitsOf[type];
  };
  return (
    bits(output) > 8 &&
    node.inputs.some((input) => bits(input) <= 8 && elementCount(fixedDims(input?.type?.dims) ?? []) === count)
  );
}

/** Bytes of an output beyond those of the inputs; unknown sizes count as endless. */
function grows(node: Node, output: Value): number {
  const size = (value: Value | undefined): number => {
    const dims = fixedDims(value?.type?.dims);
    if (value?.type === undefined || value.type.type === "string" || dims === undefined)
      return Number.POSITIVE_INFINITY;
    return bytesFor(value.type.type, elementCount(dims));
  };
  const inputs = node.inputs.reduce((sum, input) => sum + (input === undefined ? 0 : size(input)), 0);
  return size(output) - inputs;
}
