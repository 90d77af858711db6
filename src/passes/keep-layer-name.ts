/** A layer's name survives what is done to its output. */
import { layerName, partName } from "../analysis/layer-names.ts";
import type { Layer } from "../analysis/layers.ts";
import { nodeName } from "../graph/graph.ts";

/** Names the node of a layer whose name follows from that of its output, before that output is renamed or moves to another node. */
export function keepLayerName({ name, node, role: { part } }: Layer): void {
  const own = nodeName(node);
  if (node.name !== "" || node.graph.hasNode(own)) return;
  if (name === partName(own, part) || name === layerName("", node, part)) node.name = own;
}
