/**
 * Replaces fused operators by primitives (`lower`), which any runtime and technique supports.
 *      y = com.microsoft.FusedMatMul(a, b) {transB=1}        →        t = Transpose(b); y = MatMul(a, t)
 */
import * as v from "valibot";
import { infer, matchesName } from "#analysis";
import type { Model, Node } from "#ir";
import {
  allGraphs,
  allNodes,
  emitInto,
  Miss,
  nodeText,
  removeUnused,
  removeUnusedEverywhere,
  replaceNode,
  substitute,
} from "#ir";
import { type Change, definePass, withHelp } from "#pass";
import { entryOf } from "../../core/ops/index.ts";
import { raiseOpset } from "./raise-opset.ts";

export const loweringOpset = 18;

/** Raises the model to opset 18 if it has such operators. @throws PithError E_UNSUPPORTED if it cannot be raised. */
export const lowerFused = definePass({
  id: "lower-fused",
  summary: "Write fused operators as primitives",
  options: v.strictObject({
    operators: withHelp(
      v.optional(v.array(v.string()), ["com.microsoft.*"]),
      "operators to lower: names or patterns; prefix the domain if it is not ai.onnx",
    ),
  }),
  async run(model, { operators: patterns }) {
    const isChosen = (node: Node): boolean => {
      const name = node.domain === "" ? node.op : `${node.domain}.${node.op}`;
      return matchesName(patterns, name) && entryOf(node)?.facets.lower === true;
    };
    if (![...allNodes(model.graph)].some(isChosen)) return { changes: [], misses: [] };
    const version = model.opsets.get("") ?? loweringOpset;
    const changes: Change[] = [];
    if (version < loweringOpset) {
      raiseOpset(model, loweringOpset);
      changes.push({ at: "the model", what: `written in opset ${loweringOpset}`, decidedBy: "global" });
    }
    const misses = lowerAll(model, isChosen, changes);
    if (changes.length > 0) removeUnusedEverywhere(model);
    return { changes, misses };
  },
});

function lowerAll(model: Model, isChosen: (node: Node) => boolean, changes: Change[]): readonly Miss[] {
  const inference = infer(model);
  const misses: Miss[] = [];
  for (const graph of [...allGraphs(model.graph)]) {
    const oldValues = new Set(graph.values());
    for (const node of [...graph.nodes()].filter(isChosen)) {
      const at = nodeText(node);
      const bound = inference.at(node);
      const emit = emitInto(model, { before: node, by: "lower-fused", onNode: inference.visit });
      const loweredValues = bound instanceof Miss ? bound : bound.lower(emit, node.inputs);
      if (loweredValues instanceof Miss) {
        misses.push(new Miss(loweredValues.reason, at));
        removeUnused(graph, oldValues);
        continue;
      }
      replaceNode(node, loweredValues);
      changes.push({ at, what: "written as primitives", decidedBy: "op" });
    }
  }
  return misses;
}

/** Replaces operators with an input that only states a type, such as CastLike, in place. Returns their number. */
export function lowerTypeCasts(model: Model): number {
  const inference = infer(model);
  let count = 0;
  for (const node of allNodes(model.graph)) {
    const [output] = node.outputs;
    if (output === undefined || entryOf(node)?.typeOnly === undefined) continue;
    const bound = inference.at(node);
    if (bound instanceof Miss) continue;
    const emit = emitInto(model, { before: node, by: "cast-like" });
    const loweredValues = bound.lower(emit.named(`${output.name}_cast`), node.inputs);
    if (loweredValues instanceof Miss) continue;
    const [cast] = loweredValues;
    if (cast === undefined) continue;
    cast.type = output.type;
    cast.role = output.role;
    substitute(output, cast);
    count++;
  }
  return count;
}
