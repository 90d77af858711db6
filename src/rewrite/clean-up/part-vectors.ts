/**
 * Separates equal biases and scales that a file stores once for several nodes, so that each can lose different entries. They share data until then.
 *      zeros: conv1, conv2     →     zeros: conv1     zeros_1: conv2
 */
import { describe } from "../../core/graph/graph.ts";
import { type Change, definePass, noOptions } from "../../core/pass/pass.ts";
import { isFloat } from "../../core/tensor/convert.ts";

export const partVectors = definePass({
  id: "part-vectors",
  summary: "Store a separate copy of a shared vector for each node",
  options: noOptions,
  async run({ graph }) {
    const changes: Change[] = [];
    for (const value of [...graph.values()]) {
      const { tensor, role } = value;
      if (tensor === undefined || role !== undefined || tensor.dims.length !== 1 || !isFloat(tensor.type)) continue;
      // Up to IR 3 a stored tensor is an input, which a caller can set.
      if (graph.inputs.includes(value) || graph.isOutput(value)) continue;
      const [, ...others] = value.uses;
      for (const { node, input } of others) {
        if (node.graph !== graph) continue;
        graph.setInput(node, input, graph.addTensor(value.name, tensor));
        changes.push({
          at: describe(node),
          what: `a separate vector for "${value.name}"`,
          kind: "vector parted",
          decidedBy: "global",
        });
      }
    }
    return { changes, misses: [] };
  },
});
