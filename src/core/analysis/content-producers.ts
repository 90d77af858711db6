/** Finds the node that computes the contents of a value, behind nodes that only move, cast or quantize elements. */
import { Miss, type Node, type Value } from "#graph";
import type { BoundOp } from "../ops/define.ts";
import type { Inference } from "./infer.ts";
import { convertsQuantization } from "./quantized-values.ts";

export interface ContentProducer {
  readonly node: Node;
  readonly bound: BoundOp;
  readonly output: Value;
}

/** Yields, backward from a value, nodes that only move, cast, quantize (`throughScaling`: or scale) it, and then its maker. */
export function* contentProducers(
  value: Value,
  inference: Inference,
  throughScaling = false,
): Generator<ContentProducer, void, undefined> {
  const seen = new Set<Value>();
  for (let output: Value | undefined = value; output?.producer !== undefined && !seen.has(output); ) {
    seen.add(output);
    const node: Node = output.producer;
    const bound = inference.at(node);
    if (bound instanceof Miss || node.outputs[0] !== output) return;
    yield { node, bound, output };
    const affine = throughScaling ? bound.affine() : undefined;
    if (affine !== undefined && !(affine instanceof Miss)) output = node.inputs[affine.dataInput];
    else if (!keepsContents(node, bound, inference)) return;
    else output = node.inputs[bound.unchanged() ?? 0];
  }
}

/** Returns the asymptotes of the saturating operator that computes a value: 0 and 1 for Sigmoid. */
export function saturationBounds(value: Value, inference: Inference): readonly [low: number, high: number] | undefined {
  for (const { bound } of contentProducers(value, inference)) {
    const bounds = bound.saturates();
    if (bounds !== undefined) return bounds;
  }
  return undefined;
}

/** Returns whether a node only moves, casts or quantizes elements. */
export function keepsContents(node: Node, bound: BoundOp, inference: Inference): boolean {
  const rule = bound.quantize();
  const isRearrangement = !(rule instanceof Miss) && rule.kind === "transparent";
  return isRearrangement || bound.unchanged() !== undefined || convertsQuantization(node, inference);
}
