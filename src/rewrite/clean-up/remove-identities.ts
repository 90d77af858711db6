/**
 * Removes nodes that output an input unchanged: Identity, Dropout at inference, a Reshape to the same shape, a sum with zeros. A node stays if its
 * output name is needed and its input cannot take that name. Values with roles stay, too: a product with a mask of ones is not removed.
 */
import { infer } from "#analysis";
import { allNodes, canTakeName, isUsed, nodeText, replaceUses } from "#ir";
import type { Change } from "#pass";
import { cleanUpChange, defineCleanUp } from "./clean-up.ts";
import { protectedValues } from "./protected-values.ts";

export const removeIdentities = defineCleanUp("remove-identities", "Remove identity nodes", (model) => {
  const inference = infer(model);
  const isProtected = protectedValues(model, inference);
  const changes: Change[] = [];
  for (const node of allNodes(model.graph)) {
    const { graph } = node;
    const input = inference.facet(node, "unchanged");
    const [output, ...otherOutputs] = node.outputs;
    const value = input === undefined ? undefined : node.inputs[input];
    if (value === undefined || output === undefined || output.role !== undefined) continue;
    if (otherOutputs.some((other) => other !== undefined && isUsed(other))) continue;
    if (node.inputs.some((other) => other !== undefined && other !== value && isProtected(other))) continue;
    if (graph.isOutput(output)) {
      if (!canTakeName(value, graph) || value.tensor !== undefined) continue;
      value.type = output.stated ?? value.type;
    }
    const at = nodeText(node);
    replaceUses(output, value);
    node.graph.removeNode(node);
    changes.push(cleanUpChange(at, "identity removed"));
  }
  return changes;
});
