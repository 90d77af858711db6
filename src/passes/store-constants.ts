/**
 * Constant nodes as stored tensors, under their names: exporters write either, and a stored tensor is no node.
 *
 *     c = Constant {value=float32[] = 2}        c: float32[] = 2
 *     y = Mul(x, c)                        →    y = Mul(x, c)
 *
 * A constant that is itself an output of a graph stays.
 */
import * as v from "valibot";
import { infer } from "../analysis/infer.ts";
import { isRandom } from "../analysis/random.ts";
import { Miss } from "../errors.ts";
import { allNodes, describe } from "../graph/graph.ts";
import { heldTensor } from "./lift-constants.ts";
import { type Change, definePass } from "./pass.ts";
import { storeInPlace } from "./store.ts";

export const storeConstants = definePass({
  id: "store-constants",
  summary: "Turn Constant nodes into stored tensors",
  options: v.strictObject({}),
  async run(model) {
    const inference = infer(model);
    const changes: Change[] = [];
    for (const node of allNodes(model.graph)) {
      const { graph } = node;
      const [output] = node.outputs;
      if (node.inputs.length > 0 || node.outputs.length !== 1 || output === undefined || isRandom(node)) continue;
      // Optional, sequence and other values that are no tensors come from nodes without inputs too.
      if (inference.at(node) instanceof Miss || graph.isOutput(output)) continue;
      const tensor = heldTensor(node);
      if (tensor === undefined) continue;
      const at = describe(node);
      storeInPlace(output, tensor);
      changes.push({ at, what: "is a stored tensor now", decidedBy: "global" });
    }
    return { changes, misses: [] };
  },
});
