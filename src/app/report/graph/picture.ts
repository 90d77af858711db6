/** Collects the boxes and edges of a drawing, without nodes that only process stored values. */
import type { Inference, Layer } from "#analysis";
import { layerName, moduleOf, nameBeforeMasking, storedRoot, weightBits, weightStorage } from "#analysis";
import type { DataType, Graph, Node, Value } from "#ir";
import { bitsOf, dimsText, Miss, operatorName, subgraphs, usedValues } from "#ir";
import { isIndexType, mergeGroups, plainBox } from "./merge-boxes.ts";

export type Family = "port" | "layer" | "trained" | "compute" | "move" | "shape" | "unknown";

export interface GraphBox {
  readonly family: Family;
  readonly title: string;
  /** Name by which options select the layer, or name of a table or node. */
  readonly name: string;
  /** Name of the trained table of a node that is not a layer. */
  readonly table: string | undefined;
  readonly layer: Layer | undefined;
  readonly outputType: DataType | undefined;
  /** Descriptions such as `x: float32 [N, 3]`, with a note if the value is stored. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Dimensions of the output; undefined if an input has the same dimensions. */
  readonly shape: string | undefined;
  /** Minimum bits of the quantized values that the node reads or writes. */
  readonly bits: number | undefined;
  /** Module path from the exporter, followed by the node. */
  readonly path: string;
  /** Whether the node has subgraphs, or the box represents several nodes. */
  readonly isCompound: boolean;
}

export interface Picture {
  readonly boxes: readonly GraphBox[];
  /** Pairs of indices into `boxes`, from producer to consumer. */
  readonly edges: readonly (readonly [number, number])[];
}

/** @param layers layers of the graph, whose nodes must be in order (`graph.sort()`). */
export function collectPicture(graph: Graph, inference: Inference, layers: readonly Layer[]): Picture {
  const layerOf = new Map<Node, Layer>();
  for (const layer of layers) if (!layerOf.has(layer.node)) layerOf.set(layer.node, layer);
  const boxes: GraphBox[] = [];
  const edges: [number, number][] = [];
  const indexOf = new Map<Value, number>();
  const add = (box: GraphBox): number => boxes.push(box) - 1;
  for (const input of graph.feeds) indexOf.set(input, add(port(input)));
  const isStored = (value: Value): boolean => inference.operand(value)?.stored === true;
  for (const node of graph.nodes()) {
    const usedNodeValues = [...new Set(usedValues(node))];
    // Nodes that only compute constants would hide the network.
    if (usedNodeValues.every(isStored) && subgraphs(node).length === 0) continue;
    const sources = new Set(usedNodeValues.map((value) => indexOf.get(value)));
    const box = add(nodeBox(node, usedNodeValues, inference, layerOf.get(node)));
    for (const from of sources) if (from !== undefined) edges.push([from, box]);
    for (const output of node.outputs) if (output !== undefined) indexOf.set(output, box);
  }
  for (const output of graph.outputs) {
    const from = indexOf.get(output);
    const box = add(port(output));
    if (from !== undefined) edges.push([from, box]);
  }
  return mergeGroups({ boxes, edges });
}

function port(value: Value): GraphBox {
  const { name, type } = value;
  const shape = type?.dims === undefined ? undefined : dimsText(type.dims);
  return { ...plainBox, family: "port", title: name, name, outputType: type?.type, inputs: [valueText(value)], shape };
}

function nodeBox(node: Node, operands: readonly Value[], inference: Inference, layer: Layer | undefined): GraphBox {
  const bound = inference.at(node);
  const [first] = node.outputs;
  const outer = subgraphs(node).length === 0 ? [] : operands.filter((value) => !node.inputs.includes(value));
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
    shape: first === undefined ? undefined : changedShape(first, operands, inference),
    bits: layer === undefined ? bitsAt(node, inference) : codeBits(layer),
    path: module === undefined ? node.name : `${module}/${node.op}`,
    isCompound: subgraphs(node).length > 0,
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

function changedShape(output: Value, operands: readonly Value[], inference: Inference): string | undefined {
  if (output.type?.dims === undefined) return undefined;
  const text = dimsText(output.type.dims);
  const incoming = operands.filter((value) => inference.operand(value)?.stored !== true);
  return incoming.some((value) => dimsText(value.type?.dims) === text) ? undefined : text;
}

function inputText(value: Value, inference: Inference): string {
  return `${valueText(value)}${inference.operand(value)?.stored === true ? ", stored" : ""}`;
}

function valueText({ name, type }: Value): string {
  return `${name}: ${type?.type ?? "?"} ${dimsText(type?.dims)}`;
}
