/** A layer's name survives what is done to its output. */
import type { Layer } from "../analysis/layers.ts";

/** Names the node of a layer that is known by the name of its output, before that output is renamed or moves to another node. */
export function keepLayerName({ name, node }: Layer): void {
  if (node.name === "" && node.outputs[0]?.name === name && !node.graph.hasNode(name)) node.name = name;
}
