/**
 * Slices that together cut a value into parts without a rest, as one Split.
 *
 *     a = Slice(x, 0, 4)                    a, b = Split(x, [4, 4])
 *     b = Slice(x, 4, 8)              →
 *
 * What slices is told by the axis links of the entries: all axes stay but one, of which a run of indices is kept.
 */
import * as v from "valibot";
import { type Inference, infer } from "../analysis/infer.ts";
import { Miss } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import { allGraphs, type Graph, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { substitute } from "../graph/replace.ts";
import { int64 } from "../tensor/dense.ts";
import { type Change, definePass } from "./pass.ts";

export const splitSlices = definePass({
  id: "split-slices",
  summary: "Replace slices that cut a value into parts by one Split",
  options: v.strictObject({}),
  async run(model) {
    const inference = infer(model);
    const changes: Change[] = [];
    for (const graph of allGraphs(model.graph)) {
      const order = new Map([...graph.nodes()].map((node, place) => [node, place] as const));
      for (const value of [...graph.values()]) {
        const parts = partsOf(graph, value, inference);
        if (parts === undefined) continue;
        write(model, value, parts, order, inference);
        changes.push({
          at: value.name,
          what: `${parts.length} slices are one Split`,
          kind: "slices are one Split",
          decidedBy: "global",
        });
      }
    }
    return { changes, misses: [] };
  },
});

interface Part {
  readonly node: Node;
  readonly output: Value;
  readonly axis: number;
  readonly first: number;
  readonly size: number;
}

/** The slices of a value that leave nothing out and overlap nowhere, in order. */
function partsOf(graph: Graph, value: Value, inference: Inference): readonly Part[] | undefined {
  const found: Part[] = [];
  for (const { node, input } of value.uses) {
    const part = node.graph === graph && input === 0 ? partAt(node, inference) : undefined;
    if (part !== undefined) found.push(part);
  }
  for (const axis of new Set(found.map((part) => part.axis))) {
    const parts = found.filter((part) => part.axis === axis).sort((a, b) => a.first - b.first);
    let end = 0;
    const whole = parts.every(({ first, size }) => {
      const fits = first === end;
      end = first + size;
      return fits;
    });
    if (parts.length > 1 && whole && end === value.type?.dims?.[axis]) return parts;
  }
  return undefined;
}

function partAt(node: Node, inference: Inference): Part | undefined {
  const [output, ...others] = node.outputs;
  const bound = inference.at(node);
  if (output === undefined || output.role !== undefined || others.length > 0 || bound instanceof Miss) return undefined;
  const rule = bound.axes();
  const [before, dims] = [node.inputs[0]?.type?.dims, output.type?.dims];
  if (rule instanceof Miss || before === undefined || dims?.length !== before.length) return undefined;
  let found: Part | undefined;
  for (const link of rule.links) {
    if (!("from" in link)) return undefined;
    const { from, to, map } = link;
    if (from[1] !== to[1]) return undefined;
    if (map === undefined) continue;
    const size = dims[from[1]];
    const [first, last] = typeof size === "number" && size > 0 ? [map(0), map(size - 1)] : [];
    if (from[0] !== "out0" || to[0] !== "in0" || found !== undefined || typeof size !== "number") return undefined;
    if (first?.length !== 1 || last?.[0] !== (first[0] ?? 0) + size - 1) return undefined;
    found = { node, output, axis: from[1], first: first[0] ?? 0, size };
  }
  return found;
}

function write(
  model: Model,
  value: Value,
  parts: readonly Part[],
  order: ReadonlyMap<Node, number>,
  inference: Inference,
): void {
  const [part] = parts;
  const earliest = parts.map(({ node }) => node).reduce((a, b) => ((order.get(a) ?? 0) < (order.get(b) ?? 0) ? a : b));
  if (part === undefined) return;
  const emit = emitInto(model, { before: earliest, by: "split-slices", onNode: inference.visit });
  const sizes = parts.map(({ size }) => size);
  const old = (model.opsets.get("") ?? 1) < 13;
  const made = old
    ? emit.many("Split", [value], { axis: part.axis, split: sizes } as { axis: number }, parts.length)
    : emit.many(
        "Split",
        [value, emit.constant(int64([sizes.length], sizes), `${value.name}_sizes`)],
        { axis: part.axis },
        parts.length,
      );
  parts.forEach(({ output }, index) => {
    const replacement = made[index];
    if (replacement === undefined) return;
    replacement.type = output.stated ?? output.type;
    substitute(output, replacement);
  });
}
