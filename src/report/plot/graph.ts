/** The boxes and edges of a picture: ports and nodes of the main graph, but for nodes that only work on stored numbers (masks, scales). */
import type { Cost } from "../../analysis/cost.ts";
import type { Inference } from "../../analysis/infer.ts";
import type { Layer } from "../../analysis/layers.ts";
import { Miss } from "../../errors.ts";
import type { Attribute } from "../../graph/attribute.ts";
import { type Node, subgraphs, usedValues, type Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { dimsText, dimText } from "../../tensor/dims.ts";
import type { DataType } from "../../tensor/types.ts";
import { count } from "../numbers.ts";

/** What a box is for, as far as its operator's entry says. */
export type Family = "port" | "layer" | "trained" | "compute" | "move" | "shape" | "unknown";

export interface Box {
  readonly family: Family;
  /** The operator, or the name of an input or output of the model. */
  readonly title: string;
  /** The name by which layers are selected, else the node's. */
  readonly name: string;
  readonly layer: Layer | undefined;
  /** `x: float32 [N, 3]`, and whether it is stored. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: readonly (readonly [name: string, value: string])[];
  /** Multiply-accumulates, where there are any. */
  readonly macs: string | undefined;
  /** Written below the box: the dimensions of its output, where they are not those of what comes in. */
  readonly shape: string | undefined;
  /** Why its operator is not understood. */
  readonly miss: string | undefined;
}

export interface Picture {
  readonly boxes: readonly Box[];
  /** Pairs of indices into `boxes`, from producer to consumer, each pair once. */
  readonly edges: readonly (readonly [number, number])[];
}

/** Written-out elements of an attribute, and characters of a text in it. */
const mostElements = 16;
const mostCharacters = 120;

/** @param layers those of the main graph. The nodes must be in order (`graph.sort()`). */
export function collect(model: Model, inference: Inference, layers: readonly Layer[], costs: Cost): Picture {
  const layerOf = new Map(layers.map((layer) => [layer.node, layer]));
  const boxes: Box[] = [];
  const edges: [number, number][] = [];
  const placeOf = new Map<Value, number>();
  const add = (box: Box): number => boxes.push(box) - 1;
  for (const input of model.graph.feeds) placeOf.set(input, add(port(input)));
  for (const node of model.graph.nodes()) {
    const used = [...new Set(usedValues(node))];
    // Nodes that only prepare constants would hide the network; a node that reads nothing at all is one of them.
    if (used.every((value) => inference.operand(value)?.stored === true)) continue;
    const index = add(nodeBox(node, used, inference, layerOf.get(node), costs));
    const sources = new Set(used.map((value) => placeOf.get(value)));
    for (const from of sources) if (from !== undefined) edges.push([from, index]);
    for (const output of node.outputs) if (output !== undefined) placeOf.set(output, index);
  }
  for (const output of model.graph.outputs) {
    const from = placeOf.get(output);
    const index = add(port(output));
    if (from !== undefined) edges.push([from, index]);
  }
  return { boxes, edges };
}

function port(value: Value): Box {
  const text = valueText(value);
  const shape = dimsText(value.type?.dims);
  const empty = { layer: undefined, attributes: [], macs: undefined, miss: undefined };
  return { family: "port", title: value.name, name: value.name, inputs: [text], outputs: [], shape, ...empty };
}

function nodeBox(node: Node, used: readonly Value[], inference: Inference, layer: Layer | undefined, costs: Cost): Box {
  const bound = inference.at(node);
  const macs = costs.perNode.get(node);
  const [first] = node.outputs;
  const outer = subgraphs(node).next().done === true ? [] : used.filter((value) => !node.inputs.includes(value));
  return {
    family: familyOf(node, inference, layer),
    title: node.domain === "" ? node.op : `${node.domain}.${node.op}`,
    name: layer?.name ?? node.name,
    layer,
    inputs: [...node.inputs, ...outer].flatMap((value) => (value === undefined ? [] : [inputText(value, inference)])),
    outputs: node.outputs.flatMap((value) => (value === undefined ? [] : [valueText(value)])),
    attributes: [...node.attributes].map(([name, value]) => [name, attributeText(value)]),
    macs: macs === undefined || macs === 0 ? undefined : multipleText(dimText(macs)),
    shape: first === undefined ? undefined : changedShape(first, used, inference),
    miss: bound instanceof Miss ? bound.reason : undefined,
  };
}

const indexTypes: ReadonlySet<DataType> = new Set<DataType>(["int64", "int32", "bool"]);

function familyOf(node: Node, inference: Inference, layer: Layer | undefined): Family {
  if (layer !== undefined) return "layer";
  const bound = inference.at(node);
  if (bound instanceof Miss) return "unknown";
  if (bound.parameters().some((input) => node.inputs[input]?.tensor !== undefined)) return "trained";
  const type = node.outputs[0]?.type?.type;
  if (type !== undefined && indexTypes.has(type)) return "shape";
  const rule = bound.quantize();
  return !(rule instanceof Miss) && rule.kind === "transparent" ? "move" : "compute";
}

function changedShape(output: Value, used: readonly Value[], inference: Inference): string | undefined {
  const text = dimsText(output.type?.dims);
  const incoming = used.filter((value) => inference.operand(value)?.stored !== true);
  return incoming.some((value) => dimsText(value.type?.dims) === text) ? undefined : text;
}

/** "1179648*N" → "1.18 M × N". */
function multipleText(text: string): string {
  const product = /^(\d+)(?:\*([^ ]+))?$/.exec(text);
  if (product === null) return text;
  const number = count(Number(product[1]));
  return product[2] === undefined ? number : `${number} × ${product[2]}`;
}

function inputText(value: Value, inference: Inference): string {
  const stored = inference.operand(value)?.stored === true;
  return stored ? `${valueText(value)}, stored` : valueText(value);
}

function valueText({ name, type }: Value): string {
  return `${name}: ${type?.type ?? "?"} ${dimsText(type?.dims)}`;
}

function attributeText(attribute: Attribute): string {
  switch (attribute.kind) {
    case "float":
    case "int":
      return String(attribute.value);
    case "string":
      return stringText(attribute.value);
    case "tensor":
      return `tensor ${attribute.value.type} ${dimsText(attribute.value.dims)}`;
    case "graph":
      return `graph of ${attribute.value.nodeCount} nodes`;
    case "floats":
    case "ints":
      return listText(attribute.value.map(String));
    case "strings":
      return listText(attribute.value.map(stringText));
    case "tensors":
      return `${attribute.value.length} tensors`;
    case "graphs":
      return `${attribute.value.length} graphs`;
    case "opaque":
      return `${attribute.value.length} bytes`;
  }
}

function stringText(value: string | Uint8Array): string {
  if (typeof value !== "string") return `${value.length} bytes`;
  return value.length > mostCharacters ? `${value.slice(0, mostCharacters)}…` : value;
}

function listText(elements: readonly string[]): string {
  const more = elements.length > mostElements ? `, … ${elements.length} in all` : "";
  return `[${elements.slice(0, mostElements).join(", ")}${more}]`;
}
