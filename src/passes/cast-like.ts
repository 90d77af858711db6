/** CastLike is a Cast to a type that stands elsewhere in the graph: once that is known, the value no longer depends on an activation. */
import { infer } from "../analysis/infer.ts";
import { emitter } from "../graph/emit.ts";
import { allGraphs } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { elementTypes } from "../onnx/element-types.ts";

/** Writes every CastLike as Cast, in place, where the type is known; returns how many. Costs one shape inference. */
export function castsByType(model: Model): number {
  infer(model);
  let count = 0;
  for (const graph of allGraphs(model.graph)) {
    for (const node of graph.nodes()) {
      const [x, like] = node.inputs;
      const [output] = node.outputs;
      const type = like?.type?.type;
      if (node.op !== "CastLike" || node.domain !== "" || x === undefined || output === undefined || type === undefined)
        continue;
      const emit = emitter(graph, { before: node, by: "cast-like", opsets: model.header.opsets });
      const cast = emit.named(`${output.name}_cast`).Cast([x], { to: elementTypes[type].code });
      cast.type = output.type;
      cast.role = output.role;
      graph.substitute(output, cast);
      count++;
    }
  }
  return count;
}
