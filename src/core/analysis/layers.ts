/** Finds layers: nodes with a trained weight. */
import type { Graph, Model, Node, Value } from "#graph";
import { allNodes, bytesFor, elementCount, fixedDims, isFloat, Miss, nodeName, usedValues } from "#graph";
import type { WeightRole } from "../ops/entry.ts";
import { cachePerRevision } from "./cache-per-revision.ts";
import type { Inference } from "./infer.ts";
import { layerName, matrixName, partName } from "./layer-names.ts";
import { nameBeforeMasking } from "./masks.ts";
import { storedRoot } from "./stored-root.ts";

export interface Layer {
  /** The name by which users select the layer (`layerName`). */
  readonly name: string;
  readonly node: Node;
  readonly role: WeightRole;
  /** The stored tensor: the parameter that a mask multiplies, or the integers that DequantizeLinear reads. */
  readonly weight: Value;
  /** The value that the node reads, after masks and dequantization. */
  readonly effective: Value;
  readonly bias: Value | undefined;
  /** Number of output channels, after unpacking. */
  readonly outputs: number;
  /** Number of input channels, after unpacking. */
  readonly inputs: number;
  /** Whether the layer selects scales or zero points for rows of quantized values that another layer selects (`findRowDequantization`). */
  readonly isScale?: true;
}

export const layers: (model: Model, inference: Inference) => readonly Layer[] = cachePerRevision((model, inference) =>
  allLayers(model, inference).filter((layer) => !isInSubgraph(layer)),
);

export const isInSubgraph = ({ node }: Pick<Layer, "node">): boolean => node.graph.parent !== undefined;

/** Returns the layers of the main graph, then those of subgraphs. */
export const allLayers: (model: Model, inference: Inference) => readonly Layer[] = cachePerRevision(
  (model, inference) => {
    const candidates: Layer[] = [];
    for (const node of allNodes(model.graph)) {
      for (const role of inference.facet(node, "weights") ?? []) {
        const layer = layerOf(node, role, inference);
        if (!(layer instanceof Miss)) candidates.push(layer);
      }
    }
    const scales = new Set(
      candidates.flatMap(({ node, role }) =>
        role.kind === "lookup" ? (findRowDequantization(node, role, inference)?.scales ?? []) : [],
      ),
    );
    return distinguishNames(candidates.map((layer) => (scales.has(layer.node) ? { ...layer, isScale: true } : layer)));
  },
);

/** Renames layers of different weights that share a name. Layers of one weight, such as tied ones, keep one name. */
function distinguishNames(candidates: readonly Layer[]): readonly Layer[] {
  const graphs = new Map<Graph, number>();
  const matrixOf = (layer: Layer): string => {
    const { graph } = layer.weight;
    if (!graphs.has(graph)) graphs.set(graph, graphs.size);
    return `${graphs.get(graph)} ${matrixName(weightName(layer))}`;
  };
  const matrices = new Map<string, Set<string>>();
  for (const layer of candidates)
    matrices.set(layer.name, (matrices.get(layer.name) ?? new Set()).add(matrixOf(layer)));
  const renamedLayers = candidates.map((layer) =>
    matrices.get(layer.name)?.size === 1 ? layer : { ...layer, name: partName(nodeName(layer.node), layer.role.part) },
  );
  const names = new Set(renamedLayers.map(({ name }) => name));
  const matrixByName = new Map<string, string>();
  return renamedLayers.map((layer) => {
    const matrix = matrixOf(layer);
    let { name } = layer;
    const isTaken = (other: string): boolean =>
      matrixByName.has(other) ? matrixByName.get(other) !== matrix : other !== layer.name && names.has(other);
    for (let count = 2; isTaken(name); count++) name = `${layer.name}_${count}`;
    matrixByName.set(name, matrix);
    return name === layer.name ? layer : { ...layer, name };
  });
}

/** Returns the name that the weight had before it was masked. */
export function weightName({ effective, weight }: Pick<Layer, "effective" | "weight">): string {
  return effective === weight ? weight.name : nameBeforeMasking(weight);
}

/** Returns the first layer of a node, or a Miss if the node is not a layer. */
export function layerAt(node: Node, inference: Inference): Layer | Miss {
  const bound = inference.at(node);
  const roles = bound instanceof Miss ? bound : bound.weights();
  if (roles instanceof Miss) return roles;
  const [role] = roles;
  return role === undefined ? new Miss("has no weight", node.name) : layerOf(node, role, inference);
}

/** Returns the weights that are computed from several stored tensors, for example concatenated. */
export function computedWeights(model: Model, inference: Inference): ReadonlySet<Value> {
  const weights = new Set<Value>();
  for (const node of allNodes(model.graph))
    for (const { input } of inference.facet(node, "weights") ?? []) {
      const value = node.inputs[input];
      if (value !== undefined && value.type?.dims !== undefined && storedRoot(value) === undefined) weights.add(value);
    }
  return weights;
}

function layerOf(node: Node, role: WeightRole, inference: Inference): Layer | Miss {
  const effective = node.inputs[role.input];
  const dims = fixedDims(effective?.type?.dims);
  if (effective === undefined || dims === undefined)
    return new Miss("its weight's dimensions are not known", node.name);
  const weight = storedRoot(effective);
  if (weight === undefined)
    return new Miss(`its weight is computed from constants${storageAdvice(effective, dims)}`, node.name);
  const bias = role.bias === undefined ? undefined : node.inputs[role.bias];
  const rowWidth =
    role.packed?.outputs ?? (role.kind === "lookup" ? findRowDequantization(node, role, inference)?.width : undefined);
  return {
    name: layerName(weightName({ effective, weight }), node, role.part),
    node,
    role,
    weight,
    effective,
    bias,
    outputs: rowWidth ?? (dims[role.out] ?? 0) * (role.out === 0 || role.groups === 1 ? 1 : role.groups),
    inputs: role.packed?.inputs ?? (dims[role.in] ?? 0) * (role.in === 0 || role.groups === 1 ? 1 : role.groups),
  };
}

/** Returns the number of elements of a layer's weight, after unpacking; 0 if the layer selects scales or zero points. */
export function weightCount({ role, effective, outputs, inputs, isScale }: Layer): number {
  if (isScale) return 0;
  const dims = fixedDims(effective.type?.dims) ?? [];
  if (role.packed !== undefined) return outputs * inputs;
  return role.kind === "lookup" ? (elementCount(dims) / (dims[role.out] || 1)) * outputs : elementCount(dims);
}

/** Returns the advice to store a computed weight with `simplify`, if this makes the file smaller. */
function storageAdvice(weight: Value, dims: readonly number[]): string {
  const { type } = weight;
  const sources = new Set([weight]);
  let bytes = 0;
  for (const { tensor, producer } of sources) {
    bytes += tensor?.bytes ?? 0;
    for (const input of producer?.inputs ?? []) if (input !== undefined) sources.add(input);
  }
  const isStored = type !== undefined && type.type !== "string" && bytesFor(type.type, elementCount(dims)) <= bytes;
  return isStored ? ": run `simplify` first, which stores it" : "";
}

/** The maximum number of scales or zero points per stored byte of a row. */
const maxScaleShare = 1 / 4;
const codeTypes: ReadonlySet<unknown> = new Set(["uint8", "int8"]);

/**
 * Finds the dequantization of the rows that a Gather selects from a quantized embedding table:
 *      h = (digits(Gather(values, ids)) - digits(Gather(zero_point, ids))) · Gather(scale, ids)
 * @returns The number of elements of a row, and the nodes that select scales or zero points.
 */
function findRowDequantization(
  node: Node,
  { input, data }: WeightRole,
  inference: Inference,
): { readonly width: number; readonly scales: readonly Node[] } | undefined {
  const [table, indices, rows] = [node.inputs[input], node.inputs[data], node.outputs[0]];
  const elements = lastDim(rows);
  const weightsOf = (step: Node): readonly WeightRole[] => inference.facet(step, "weights") ?? [];
  if (table === undefined || indices === undefined || rows === undefined || elements === undefined) return undefined;
  if (!codeTypes.has(storedRoot(table)?.type?.type)) return undefined;
  /** Returns whether a node reads no weight, or selects values few enough to be scales or zero points. */
  const isStep = (step: Node): boolean => {
    const [role] = weightsOf(step);
    if (role === undefined) return true;
    const share = (lastDim(step.outputs[0]) ?? elements) / elements;
    return role.kind === "lookup" && step.inputs[role.data] === indices && share <= maxScaleShare;
  };
  const derivedValues = new Set<Value>([rows]);
  const computedValues = new Set<Value>([indices, rows]);
  let width = elements;
  for (const value of derivedValues)
    for (const { node: next } of value.uses) {
      if (!computeFrom(next, computedValues, isStep)) continue;
      for (const output of next.outputs) {
        if (output === undefined) continue;
        derivedValues.add(output);
        const outputWidth = lastDim(output);
        const isRow = output.type?.dims?.length === rows.type?.dims?.length && isFloat(output.type?.type ?? "bool");
        // A byte holds at most 8 values.
        if (isRow && outputWidth !== undefined && outputWidth <= 8 * elements) width = Math.max(width, outputWidth);
      }
    }
  const steps = new Set([...computedValues].flatMap(({ producer }) => producer ?? []));
  steps.delete(node);
  return { width, scales: [...steps].filter((step) => weightsOf(step).length > 0) };
}

function lastDim(value: Value | undefined): number | undefined {
  const last = value?.type?.dims?.at(-1);
  return typeof last === "number" ? last : undefined;
}

/** Returns whether `node` and its producers pass `isStep` and read only stored or `computed` values. Adds their outputs to `computed`. */
function computeFrom(node: Node, computed: Set<Value>, isStep: (node: Node) => boolean): boolean {
  const pending = [node];
  for (let next = pending.at(-1); next !== undefined; next = pending.at(-1)) {
    if (!isStep(next)) return false;
    const missingValues = usedValues(next).filter((value) => value.tensor === undefined && !computed.has(value));
    for (const { producer } of missingValues) {
      if (producer === undefined) return false;
      pending.push(producer);
    }
    if (missingValues.length > 0) continue;
    pending.pop();
    for (const output of next.outputs) if (output !== undefined) computed.add(output);
  }
  return true;
}
