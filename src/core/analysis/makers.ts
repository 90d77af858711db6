/** Finds the nodes that compute a value, looking through nodes that only move, cast or quantize. */
import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Bound } from "../ops/define.ts";
import { convertsQuantization } from "./codes.ts";
import type { Inference } from "./infer.ts";

/** A node with its bound definition, and the output through which the value passes. */
export interface Maker {
  readonly node: Node;
  readonly bound: Bound;
  readonly output: Value;
}

/**
 * Yields the nodes that only move, cast or quantize a value, last node first. The node that computes the value follows.
 * @param scaled Whether to also look through nodes that scale and shift by stored values.
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
    else if (!moves && bound.unchanged() === undefined && !convertsQuantization(node, inference)) return;
    else output = node.inputs[bound.unchanged() ?? 0];
  }
}
