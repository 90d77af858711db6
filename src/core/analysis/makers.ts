/** Finds the nodes that computed a value, through nodes that only move, cast or quantize it. */
import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Bound } from "../ops/define.ts";
import { retypes } from "./codes.ts";
import type { Inference } from "./infer.ts";

export interface Maker {
  readonly node: Node;
  readonly bound: Bound;
  readonly output: Value;
}

/**
 * Yields the nodes that only move a value, last first, and then the node before them.
 * @param scaled Also passes nodes that scale and shift by stored values.
 */
export function* makersOf(value: Value, inference: Inference, scaled = false): Generator<Maker, void, undefined> {
  const seen = new Set<Value>();
  for (let output: Value | undefined = value; output?.producer !== undefined && !seen.has(output); ) {
    seen.add(output);
    const node: Node = output.producer;
    const bound = inference.at(node);
    if (bound instanceof Miss || node.outputs[0] !== output) return;
    yield { node, bound, output };
    const rule = bound.quantize();
    const affine = scaled ? bound.affine() : undefined;
    const moves = !(rule instanceof Miss) && rule.kind === "transparent";
    if (affine !== undefined && !(affine instanceof Miss)) output = node.inputs[affine.data];
    else if (!moves && bound.unchanged() === undefined && !retypes(node, inference)) return;
    else output = node.inputs[bound.unchanged() ?? 0];
  }
}
