/**
 * In which order a runtime computes gradients, and so how long it keeps what they need.
 *
 * ONNX Runtime does not run nodes in the order of the file. It starts from those that nothing reads, the last of the file first, and runs
 * before each what it needs, depth first. With the gradient of the first layer as the last node all others come after it: every activation
 * and every gradient of one is kept to the end. So what nothing reads stands at the end of the file, in the order opposite to the one
 * wanted: the loss is computed first, then the gradients of the last layer, whose activations are free from then on.
 */
import type { Graph } from "../graph/graph.ts";

/** Reorders nodes that nothing reads so that those are run first that stand first. */
export function runInOrder(graph: Graph): void {
  const ends = [...graph.nodes()].filter((node) => node.outputs.every((output) => (output?.uses.size ?? 0) === 0));
  graph.moveToEnd(ends.reverse());
}
