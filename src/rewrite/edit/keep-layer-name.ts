import { type Layer, layerName, partName, scopesKey } from "#analysis";
import { nodeName, type Value } from "#ir";

/** Names the node of a layer that is named after its output, before that output is renamed or moved. */
export function keepLayerName({ name, node, role: { part } }: Layer): void {
  const defaultName = nodeName(node);
  if (node.name !== "" || node.graph.hasNode(defaultName)) return;
  if (name === partName(defaultName, part) || name === layerName("", node, part)) node.name = defaultName;
}

/** Gives the producer of a value the name and module path of the layer that it replaces. */
export function passOnLayerName({ node }: Layer, { producer }: Value): void {
  if (producer === undefined) return;
  producer.name = node.name;
  const scopes = node.metadata.get(scopesKey);
  if (scopes !== undefined) producer.metadata = new Map([...producer.metadata, [scopesKey, scopes]]);
}
