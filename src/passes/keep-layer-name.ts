/** A layer's name survives what is done to its output. */
import { layerName, partName, scopesKey } from "../analysis/layer-names.ts";
import type { Layer } from "../analysis/layers.ts";
import { nodeName, type Value } from "../graph/graph.ts";

/** Names the node of a layer whose name follows from that of its output, before that output is renamed or moves to another node. */
export function keepLayerName({ name, node, role: { part } }: Layer): void {
  const own = nodeName(node);
  if (node.name !== "" || node.graph.hasNode(own)) return;
  if (name === partName(own, part) || name === layerName("", node, part)) node.name = own;
}

/** Calls the node that computes a value as the layer's, in whose place it comes: by its name, and by the module that exporters wrote down. */
export function handOnLayerName({ node }: Layer, { producer }: Value): void {
  if (producer === undefined) return;
  producer.name = node.name;
  const scopes = node.metadata.get(scopesKey);
  if (scopes !== undefined) producer.metadata = new Map([...producer.metadata, [scopesKey, scopes]]);
}
