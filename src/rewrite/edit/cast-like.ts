/** Writes CastLike as Cast, because only the type of its second input matters, and other operators with `typeOnly` likewise. */
import { infer } from "../../core/analysis/infer.ts";
import { Miss } from "../../core/errors.ts";
import { emitInto } from "../../core/graph/emit.ts";
import { allNodes } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { substitute } from "../../core/graph/replace.ts";
import { entryOf } from "../../core/ops/index.ts";

/** Rewrites operators with `typeOnly` inputs in place, if the type is known; returns their number. */
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
