/**
 * Equal stored tensors once. Candidates have the same type, dimensions and size; they are told apart by SHA-256 of their elements, read one
 * after the other, so that memory holds one tensor.
 *
 * Roles are honoured (`protected.ts`): two zero biases that are trained stay two. Weights that are listed among the inputs are part of the
 * model's interface, and stay.
 */
import * as v from "valibot";
import { infer } from "../analysis/infer.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { replaceUses } from "../graph/replace.ts";
import { bytesOf, hexadecimal } from "../tensor/dense.ts";
import type { Tensor } from "../tensor/types.ts";
import { type Change, definePass } from "./pass.ts";
import { protectedValues } from "./protected.ts";

export const mergeInitializers = definePass({
  id: "merge-initializers",
  summary: "Store equal tensors once",
  options: v.strictObject({}),
  async run(model, _, context) {
    const { graph } = model;
    const isHeld = protectedValues(model, infer(model));
    const changes: Change[] = [];
    for (const candidates of groupsOf(graph, isHeld)) {
      const firsts = new Map<string, Value>();
      for (const value of candidates) {
        if (context.signal.aborted) return { changes, misses: [] };
        if (value.tensor === undefined) continue;
        const hash = await hashOf(value.tensor);
        const first = firsts.get(hash);
        if (first === undefined) firsts.set(hash, value);
        else {
          changes.push({
            at: value.name,
            what: `stored once, as "${first.name}"`,
            kind: "stored once",
            decidedBy: "global",
          });
          replaceUses(value, first);
          graph.removeValue(value);
        }
      }
    }
    return { changes, misses: [] };
  },
});

function groupsOf(graph: Graph, isHeld: (value: Value) => boolean): readonly (readonly Value[])[] {
  const known = new Set([...graph.inputs, ...graph.outputs]);
  const groups = new Map<string, Value[]>();
  for (const value of graph.values()) {
    const { tensor } = value;
    if (tensor === undefined || known.has(value) || isHeld(value)) continue;
    const key = `${tensor.type} ${tensor.dims.join(" ")} ${tensor.bytes}`;
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push(value);
  }
  return [...groups.values()].filter((group) => group.length > 1);
}

async function hashOf(tensor: Tensor): Promise<string> {
  const dense = await tensor.read();
  const bytes = dense.type === "string" ? new TextEncoder().encode(JSON.stringify(dense.data)) : bytesOf(dense);
  return hexadecimal(bytes.length <= 64 ? bytes : new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.slice())));
}
