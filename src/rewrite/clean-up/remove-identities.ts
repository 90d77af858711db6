/**
 * Removes nodes that output an input unchanged: Identity, Dropout at inference, a Reshape to the same shape, a sum with zeros.
 *      h = Cast(x) {to=float32}                     y = Relu(x)
 *      y = Relu(h)                         →
 * A node stays if its output name is needed and its input cannot take that name: an input that is an output, or a value from
 * outside a branch. Values with roles stay, too: a product with a mask of ones is not removed.
 */
import { infer } from "../../core/analysis/infer.ts";
import { Miss } from "../../core/errors.ts";
import { allNodes, describe } from "../../core/graph/graph.ts";
import { isUsed } from "../../core/graph/remove-unused.ts";
import { canTakeName, replaceUses } from "../../core/graph/replace.ts";
import { type Change, definePass, noOptions } from "../../core/pass/pass.ts";
import { protectedValues } from "./protected.ts";

export const removeIdentities = definePass({
  id: "remove-identities",
  summary: "Remove identity nodes",
  options: noOptions,
  async run(model) {
    const inference = infer(model);
    const isHeld = protectedValues(model, inference);
    const changes: Change[] = [];
    for (const node of allNodes(model.graph)) {
      const { graph } = node;
      const bound = inference.at(node);
      const input = bound instanceof Miss ? undefined : bound.unchanged();
      const [output, ...others] = node.outputs;
      const value = input === undefined ? undefined : node.inputs[input];
      if (value === undefined || output === undefined || output.role !== undefined) continue;
      if (others.some((other) => other !== undefined && isUsed(other))) continue;
      if (node.inputs.some((other) => other !== undefined && other !== value && isHeld(other))) continue;
      if (graph.isOutput(output)) {
        if (!canTakeName(value, graph) || value.tensor !== undefined) continue;
        value.type = output.stated ?? value.type;
      }
      const at = describe(node);
      replaceUses(output, value);
      node.graph.removeNode(node);
      changes.push({ at, what: "identity removed", decidedBy: "global" });
    }
    return { changes, misses: [] };
  },
});
