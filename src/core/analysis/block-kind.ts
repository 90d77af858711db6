/**
 * Writes a block's operators, attributes, connections, dimensions and stored integers (axes, sizes) as a text, by which `blocks.ts` compares blocks.
 */
import { type Attribute, allGraphs, describe, type Node, subgraphs, usedValues, type Value } from "../graph/graph.ts";
import { inOrder } from "../graph/order.ts";
import { dimsText } from "../tensor/dims.ts";
import type { Dense, Tensor } from "../tensor/types.ts";

/** Returns a text that is equal for blocks that differ only in trained values. */
export function kindOf(outputs: readonly Value[], inputs: readonly Value[]): string {
  const labels = new Map<Value, string>(inputs.map((value, index) => [value, `in${index}`]));
  const sources = (values: readonly Value[]): Node[] =>
    values.flatMap((value) => (labels.has(value) || value.producer === undefined ? [] : [value.producer]));
  const nodes = inOrder(sources(outputs), (node) => sources(usedValues(node)), describe);
  const lines = inputs.map(({ type }) => `${type?.type ?? "?"} ${type?.dims?.length ?? "?"}`);
  let count = 0;
  const name = (value: Value | undefined): string => {
    if (value === undefined) return "-";
    const label = labels.get(value);
    if (label !== undefined) return label;
    const text = `v${count++}`;
    labels.set(value, text);
    if (value.tensor !== undefined) return `${text}=${tensorText(value.tensor)}`;
    return value.producer === undefined ? `${text}=fed` : text;
  };
  for (const node of nodes) {
    const readValues = [...node.inputs, ...usedValues(node).filter((value) => !node.inputs.includes(value))];
    const subgraphOps = subgraphs(node).flatMap((graph) =>
      [...allGraphs(graph)].map((part) => [...part.nodes()].map(({ op }) => op).join()),
    );
    const attributes = [...node.attributes].map(([key, value]) => `${key}=${attributeText(value)}`).sort();
    const parts = [node.domain, node.op, readValues.map(name), attributes, subgraphOps, node.outputs.map(name)];
    lines.push(parts.join(" "));
  }
  return [...lines, outputs.map(name).join()].join("\n");
}

function tensorText({ type, dims, small }: Tensor): string {
  return `${type}${dimsText(dims)}${type === "int64" || type === "int32" ? elementsText(small) : ""}`;
}

function elementsText(small: Dense | undefined): string {
  return small === undefined ? "" : `{${Array.from(small.data as ArrayLike<unknown>, String).join()}}`;
}

function attributeText(attribute: Attribute): string {
  switch (attribute.kind) {
    case "tensor":
      return tensorText(attribute.value);
    case "tensors":
      return attribute.value.map(tensorText).join();
    case "graph":
    case "graphs":
      return "graph";
    default:
      return String(attribute.value);
  }
}
