/**
 * CastLike is a Cast to a type that stands elsewhere in the graph: once that is known, the value no longer depends on an activation. So with
 * every operator that asks an input for its element type alone (`typeOnly`): it is written without that input.
 */
import { infer } from "../analysis/infer.ts";
import { Miss } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import { allNodes } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { substitute } from "../graph/replace.ts";
import { entryOf } from "../ops/index.ts";

/** Writes every CastLike as Cast, in place, where the type is known; returns how many. Costs one shape inference. */
export function castsByType(model: Model): number {
  const inference = infer(model);
  let count = 0;
  for (const node of allNodes(model.graph)) {
    const [output] = node.outputs;
    if (output === undefined || entryOf(node)?.typeOnly === undefined) continue;
    const bound = inference.at(node);
    if (bound instanceof Miss) continue;
    const emit = emitInto(model, { before: node, by: "cast-like" });
    const lowered = bound.lower(emit.named(`${output.name}_cast`), node.inputs);
    if (lowered instanceof Miss) continue;
    const [cast] = lowered;
    if (cast === undefined) continue;
    cast.type = output.type;
    cast.role = output.role;
    substitute(output, cast);
    count++;
  }
  return count;
}
