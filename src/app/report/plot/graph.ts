/** Collects the boxes and edges that `pith plot` draws. Nodes that only process stored values are left out. Each subgraph is a separate picture. */
import type { Cost, Inference, Layer } from "#analysis";
import { layerAt, layerName, moduleOf, nameBeforeMasking, storedRoot, weightBits, weightStorage } from "#analysis";
import type { Attribute, DataType, Graph, Model, Node, Value } from "#ir";
import { bitsOf, dimsText, dimText, Miss, operatorName, subgraphs, usedValues } from "#ir";
import { bytes, count, counted } from "../../../core/numbers.ts";
import { isIndexType, plainBox, withGroups } from "./groups.ts";

export type Family = "port" | "layer" | "trained" | "compute" | "move" | "shape" | "unknown";

export interface Box {
  readonly family: Family;
  readonly title: string;
  /** Name by which options select the layer. For other nodes, the name of the trained table or of the node. */
  readonly name: string;
  /** Name of the trained table of a node that is not a layer, such as an embedding or positions. */
  readonly table: string | undefined;
  readonly layer: Layer | undefined;
  readonly outputType: DataType | undefined;
  /** Descriptions such as `x: float32 [N, 3]`, with a note if the value is stored. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: readonly (readonly [name: string, value: string])[];
  readonly macs: string | undefined;
  /** Dimensions of the output; undefined if an input has the same dimensions. */
  readonly shape: string | undefined;
  readonly miss: string | undefined;
  /** Minimum bits of the quantized values that the node reads or writes. For a layer, the bits of its weight. */
  readonly bits: number | undefined;
  /** Module path from the exporter, followed by the node. */
  readonly path: string;
  readonly graphs: readonly (readonly [attribute: string, picture: number])[];
}

export interface Picture {
  /** Title: "" for the main graph, else the node and its attribute. */
  readonly title: string;
  readonly parent: readonly [picture: number, box: number] | undefined;
  readonly boxes: readonly Box[];
  /** Pairs of indices into `boxes`, from producer to consumer. Each pair occurs once. */
  readonly edges: readonly (readonly [number, number])[];
}

/**
 * Returns the pictures in this order: the main graph, its subgraphs depth first, and the contents of each group of boxes.
 * @param layers layers of the main graph, whose nodes must be in order (`graph.sort()`).
 */
export function collectPictures(
  model: Model,
  inference: Inference,
  layers: readonly Layer[],
  costs: Cost,
): readonly [Picture, ...Picture[]] {
  const layerOf = new Map<Node, Layer>();
  for (const layer of layers) if (!layerOf.has(layer.node)) layerOf.set(layer.node, layer);
  const inner: Picture[] = [];
  const collectInner = (graph: Graph, title: string, parent: Picture["parent"]): number => {
    // Reserves an index that precedes those of its own subgraphs.
    const index = inner.push({ title, parent, boxes: [], edges: [] });
    inner[index - 1] = collectGraph(graph, title, parent, index, context);
    return index;
  };
  const context: CollectContext = { inference, layerOf, costs, collectInner };
  const main = collectGraph(model.graph, "", undefined, 0, context);
  return withGroups([main, ...inner]);
}

interface CollectContext {
  readonly inference: Inference;
  readonly layerOf: ReadonlyMap<Node, Layer>;
  readonly costs: Cost;
  /** Adds the picture of a subgraph, and returns its index. */
  readonly collectInner: (graph: Graph, title: string, parent: Picture["parent"]) => number;
}

function collectGraph(
  graph: Graph,
  title: string,
  parent: Picture["parent"],
  index: number,
  context: CollectContext,
): Picture {
  const { inference } = context;
  const boxes: Box[] = [];
  const edges: [number, number][] = [];
  const indexOf = new Map<Value, number>();
  const add = (box: Box): number => boxes.push(box) - 1;
  for (const input of graph.feeds) indexOf.set(input, add(port(input)));
  const isStored = (value: Value): boolean => inference.operand(value)?.stored === true;
  const sourceOf = (value: Value): number | undefined => {
    if (value.graph !== graph && !isStored(value) && !indexOf.has(value)) indexOf.set(value, add(port(value)));
    return indexOf.get(value);
  };
  for (const node of graph.nodes()) {
    const usedNodeValues = [...new Set(usedValues(node))];
    // Nodes that only compute constants are omitted, because they would hide the network.
    if (usedNodeValues.every(isStored) && subgraphs(node).length === 0) continue;
    const sources = new Set(usedNodeValues.map(sourceOf));
    const parentBox = [index, boxes.length] as const;
    const box = add(
      nodeBox(node, usedNodeValues, context, (body, title) => context.collectInner(body, title, parentBox)),
    );
    for (const from of sources) if (from !== undefined) edges.push([from, box]);
    for (const output of node.outputs) if (output !== undefined) indexOf.set(output, box);
  }
  for (const output of graph.outputs) {
    const from = sourceOf(output);
    const box = add(port(output));
    if (from !== undefined) edges.push([from, box]);
  }
  return { title, parent, boxes, edges };
}

function port(value: Value): Box {
  const { name, type } = value;
  const shape = type?.dims === undefined ? undefined : dimsText(type.dims);
  return { ...plainBox, family: "port", title: name, name, outputType: type?.type, inputs: [valueText(value)], shape };
}

function nodeBox(
  node: Node,
  used: readonly Value[],
  { inference, layerOf, costs }: CollectContext,
  addPicture: (graph: Graph, title: string) => number,
): Box {
  const bound = inference.at(node);
  const layer = layerOf.get(node) ?? innerLayer(node, inference);
  const macs = costs.perNode.get(node);
  const [first] = node.outputs;
  const outer = subgraphs(node).length === 0 ? [] : used.filter((value) => !node.inputs.includes(value));
  const title = operatorName(node);
  const table = layer === undefined ? tableOf(node, bound instanceof Miss ? [] : bound.parameters()) : undefined;
  const name = layer?.name ?? table ?? node.name;
  const module = moduleOf(node);
  return {
    family: familyOf(node, inference, layer),
    title,
    name,
    table,
    layer,
    outputType: first?.type?.type,
    inputs: [...node.inputs, ...outer].flatMap((value) => (value === undefined ? [] : [inputText(value, inference)])),
    outputs: node.outputs.flatMap((value) => (value === undefined ? [] : [valueText(value)])),
    attributes: [...node.attributes].map(([key, value]) => [key, attributeText(value)]),
    macs: macs === undefined || macs === 0 ? undefined : multipleText(dimText(macs)),
    shape: first === undefined ? undefined : changedShape(first, used, inference),
    miss: bound instanceof Miss ? bound.reason : undefined,
    bits: layer === undefined ? bitsAt(node, inference) : codeBits(layer),
    path: module === undefined ? node.name : `${module}/${node.op}`,
    graphs: [...node.attributes].flatMap(([key, value]) => {
      const bodies = value.kind === "graph" ? [value.value] : value.kind === "graphs" ? value.value : [];
      return bodies.map((graph): [string, number] => [key, addPicture(graph, `${name === "" ? title : name} ${key}`)]);
    }),
  };
}

function tableOf(node: Node, parameters: readonly number[]): string | undefined {
  const roots = parameters.flatMap((input) => {
    const value = node.inputs[input];
    return (value === undefined ? undefined : storedRoot(value)) ?? [];
  });
  const table = roots.find(({ tensor }) => (tensor?.dims ?? []).filter((size) => size !== 1).length >= 2);
  if (table === undefined) return undefined;
  const name = nameBeforeMasking(table);
  const stem = layerName(name, node, undefined);
  return name.startsWith(stem) ? stem : name;
}

/** Returns the layer of a node in a subgraph, so that its weight is shown. `collect` gets only the layers of the main graph. */
function innerLayer(node: Node, inference: Inference): Layer | undefined {
  if (node.graph.parent === undefined) return undefined;
  const layer = layerAt(node, inference);
  return layer instanceof Miss ? undefined : layer;
}

const codeTypes: ReadonlySet<DataType> = new Set<DataType>(["int8", "uint8", "int4", "uint4", "int2", "uint2"]);

function codeBits(layer: Layer): number | undefined {
  const storage = weightStorage(layer);
  return storage === "quantized" || storage === "packed" ? weightBits(layer) : undefined;
}

function bitsAt(node: Node, inference: Inference): number | undefined {
  const values = [...node.inputs, ...node.outputs].filter((value) => value !== undefined);
  const types = values.flatMap((value) => inference.operand(value)?.type ?? value.type?.type ?? []);
  const bits = types.flatMap((type) => (type !== "string" && codeTypes.has(type) ? [bitsOf[type]] : []));
  return bits.length === 0 ? undefined : Math.min(...bits);
}

function familyOf(node: Node, inference: Inference, layer: Layer | undefined): Family {
  if (layer !== undefined) return "layer";
  const bound = inference.at(node);
  if (bound instanceof Miss) return "unknown";
  if (isIndexType(node.outputs[0]?.type?.type)) return "shape";
  if (bound.parameters().some((input) => node.inputs[input]?.tensor !== undefined)) return "trained";
  const rule = bound.quantize();
  return !(rule instanceof Miss) && rule.kind === "transparent" ? "move" : "compute";
}

function changedShape(output: Value, used: readonly Value[], inference: Inference): string | undefined {
  if (output.type?.dims === undefined) return undefined;
  const text = dimsText(output.type.dims);
  const incoming = used.filter((value) => inference.operand(value)?.stored !== true);
  return incoming.some((value) => dimsText(value.type?.dims) === text) ? undefined : text;
}

/** Formats a product: "1179648*N" → "1.18 M × N". */
function multipleText(text: string): string {
  const product = /^(\d+)(?:\*([^ ]+))?$/.exec(text);
  if (product === null) return text;
  const number = count(Number(product[1]));
  return product[2] === undefined ? number : `${number} × ${product[2]}`;
}

function inputText(value: Value, inference: Inference): string {
  return `${valueText(value)}${inference.operand(value)?.stored === true ? ", stored" : ""}`;
}

function valueText({ name, type }: Value): string {
  return `${name}: ${type?.type ?? "?"} ${dimsText(type?.dims)}`;
}

const maxElements = 16;
const maxCharacters = 120;

export function attributeText(attribute: Attribute): string {
  switch (attribute.kind) {
    case "float":
    case "int":
      return String(attribute.value);
    case "string":
      return stringText(attribute.value);
    case "tensor":
      return `tensor ${attribute.value.type} ${dimsText(attribute.value.dims)}`;
    case "graph":
      return `graph of ${counted(attribute.value.nodeCount, "node")}`;
    case "floats":
    case "ints":
      return listText(attribute.value.map(String));
    case "strings":
      return listText(attribute.value.map(stringText));
    case "tensors":
      return counted(attribute.value.length, "tensor");
    case "graphs":
      return `${attribute.value.length} graphs`;
    case "opaque":
      return bytes(attribute.value.length);
  }
}

function stringText(value: string | Uint8Array): string {
  if (typeof value !== "string") return bytes(value.length);
  return value.length > maxCharacters ? `${value.slice(0, maxCharacters)}…` : value;
}

function listText(elements: readonly string[]): string {
  const countText = elements.length > maxElements ? `, … ${elements.length} in all` : "";
  return `[${elements.slice(0, maxElements).join(", ")}${countText}]`;
}
