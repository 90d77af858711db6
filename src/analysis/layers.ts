/**
 * Layers: the nodes with a weight, found through a mask, a DequantizeLinear or any other work on stored tensors alone, so that a layer
 * keeps its name through every technique.
 */
import { Miss, PithError } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { byNearness, nearest } from "../graph/nearest.ts";
import type { WeightRole } from "../ops/index.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import { valueAt } from "./channel-links.ts";
import type { Inference } from "./infer.ts";
import { plainName } from "./masks.ts";

export interface Layer {
  /** The parameter's stem ("fc1" of "fc1.weight"), else the layer's place in the network that was exported, else the node's name. */
  readonly name: string;
  readonly node: Node;
  readonly role: WeightRole;
  /** The stored tensor with the numbers: behind a mask the parameter, behind a DequantizeLinear the integers. */
  readonly weight: Value;
  /** What the node reads: `weight` itself, or what masks and roundings make of it. */
  readonly effective: Value;
  readonly bias: Value | undefined;
  /** Output and input channels, over all groups. */
  readonly outputs: number;
  readonly inputs: number;
}

/** All layers of the main graph, in order. */
export function layers(model: Model, inference: Inference): readonly Layer[] {
  const found: Layer[] = [];
  for (const node of model.graph.nodes()) {
    const roles = rolesAt(node, inference);
    if (roles instanceof Miss) continue;
    for (const role of roles) {
      const layer = layerOf(node, role);
      if (!(layer instanceof Miss)) found.push(layer);
    }
  }
  return apart(found);
}

/** Layers of other weights that have one name, as two products in one module do, are told apart by their nodes. */
function apart(found: readonly Layer[]): readonly Layer[] {
  const weights = new Map<string, Set<Value>>();
  for (const { name, weight } of found) weights.set(name, (weights.get(name) ?? new Set()).add(weight));
  return found.map((layer) => {
    const several = (weights.get(layer.name)?.size ?? 0) > 1;
    return several && layer.node.name !== "" ? { ...layer, name: partName(layer.node.name, layer.role.part) } : layer;
  });
}

/** The layer that a node is, or why it is none. A node with several weights (a recurrent one) is several layers: the first of them. */
export function layerAt(node: Node, inference: Inference): Layer | Miss {
  const roles = rolesAt(node, inference);
  if (roles instanceof Miss) return roles;
  const [role] = roles;
  return role === undefined ? new Miss("has no weight", node.name) : layerOf(node, role);
}

function rolesAt(node: Node, inference: Inference): readonly WeightRole[] | Miss {
  const bound = inference.at(node);
  return bound instanceof Miss ? bound : bound.weights();
}

function layerOf(node: Node, role: WeightRole): Layer | Miss {
  const effective = node.inputs[role.input];
  const dims = fixedDims(effective?.type?.dims);
  if (effective === undefined || dims === undefined)
    return new Miss("its weight's dimensions are not known", node.name);
  const weight = storedRoot(effective);
  if (weight === undefined) return new Miss("its weight is computed", node.name);
  const bias = role.bias === undefined ? undefined : node.inputs[role.bias];
  return {
    name: layerName(weight, node, role.part),
    node,
    role,
    weight,
    effective,
    bias,
    outputs: role.packed?.outputs ?? (dims[role.out] ?? 0) * (role.out === 0 || role.groups === 1 ? 1 : role.groups),
    inputs: role.packed?.inputs ?? (dims[role.in] ?? 0) * (role.in === 0 || role.groups === 1 ? 1 : role.groups),
  };
}

/**
 * The stored tensor behind a value: itself, or what its producer works on. Of several stored inputs it is the one with as many elements as
 * the result that is no mask; scales, zero points and shapes are smaller.
 */
export function storedRoot(value: Value): Value | undefined {
  if (value.tensor !== undefined) return value;
  const dims = fixedDims(value.type?.dims);
  if (value.producer === undefined || dims === undefined) return undefined;
  const count = elementCount(dims);
  for (const input of value.producer.inputs) {
    const inputDims = fixedDims(input?.type?.dims);
    if (
      input === undefined ||
      inputDims === undefined ||
      elementCount(inputDims) !== count ||
      input.role?.kind === "mask"
    )
      continue;
    const root = storedRoot(input);
    if (root !== undefined) return root;
  }
  return undefined;
}

/** Where a layer's output channels lie in its stored weight. */
export interface StoredAxis {
  readonly axis: number;
  /** Whether channels have other indices there than in the layer. */
  readonly renumbered: boolean;
}

/** The axis of the stored weight along which the layer's output channels lie: through masks, transpositions, reshapes. */
export function storedOutputAxis({ role, effective, weight }: Layer, inference: Inference): StoredAxis | undefined {
  return axisBehind(effective, { axis: role.out, renumbered: false }, weight, inference);
}

function axisBehind(
  value: Value,
  { axis, renumbered }: StoredAxis,
  root: Value,
  inference: Inference,
): StoredAxis | undefined {
  if (value === root) return { axis, renumbered };
  const node = value.producer;
  const bound = node === undefined ? undefined : inference.at(node);
  if (node === undefined || bound === undefined || bound instanceof Miss) return undefined;
  const rule = bound.axes();
  if (rule instanceof Miss) return undefined;
  for (const link of rule.links) {
    if (!("from" in link)) continue;
    for (const [near, far] of [
      [link.to, link.from],
      [link.from, link.to],
    ] as const) {
      const before = valueAt(node, far[0]);
      if (near[0] !== "out0" || near[1] !== axis || before === undefined || storedRoot(before) !== root) continue;
      const next = { axis: far[1], renumbered: renumbered || link.map !== undefined };
      return axisBehind(before, next, root, inference);
    }
  }
  return undefined;
}

/** Endings by which exporters mark the weight of a layer, and the one that quantization appends. */
const weightEnding = /[./:_](weight|kernel|w)(_quantized)?$/i;

function layerName(weight: Value, node: Node, part: string | undefined): string {
  const name = plainName(weight);
  const stem = name.replace(weightEnding, "");
  if (stem !== name && stem !== "") return stem;
  return partName(moduleOf(node) ?? (node.name !== "" ? node.name : (node.outputs[0]?.name ?? name)), part);
}

function partName(place: string, part: string | undefined): string {
  return part === undefined ? place : `${place}.${part}`;
}

/** Under this key PyTorch lists the modules around a node, outermost first, and the node last: "['', 'bert', 'bert.pooler', 'linear']". */
const scopesKey = "pkg.torch.onnx.name_scopes";

/**
 * The path of the module that a node was exported from, where the exporter wrote it down: parameters that it rearranged have no names of
 * their own ("val_62", "onnx::MatMul_123"). The older exporter of PyTorch names nodes "/layer1/layer1.0/conv1/Conv", in which a part that
 * repeats the one before it stands in its place: "layer1.0.conv1".
 */
export function moduleOf(node: Node): string | undefined {
  const scopes = [...(node.metadata.get(scopesKey) ?? "").matchAll(/'([^']*)'/g)].map(([, scope]) => scope ?? "");
  const innermost = scopes.at(-2);
  if (innermost !== undefined && innermost !== "") return innermost;
  if (!node.name.startsWith("/")) return undefined;
  const path: string[] = [];
  for (const part of node.name.split("/").slice(1, -1)) {
    const last = path.at(-1);
    if (last !== undefined && part.startsWith(`${last}.`)) path.pop();
    path.push(part);
  }
  return path.length === 0 ? undefined : path.join(".");
}

export interface Selection {
  /** Names or patterns: "fc1", "layer1.*". All if absent. */
  readonly layers?: string | readonly string[] | undefined;
  readonly except?: string | readonly string[] | undefined;
}

/**
 * The layers that a selection names.
 * @throws PithError E_NAME for a name or pattern that fits no layer.
 */
export function selectLayers<L extends { readonly name: string }>(
  all: readonly L[],
  selection: Selection,
): readonly L[] {
  const patterns = list(selection.layers);
  const excluded = list(selection.except);
  for (const pattern of [...(patterns ?? []), ...(excluded ?? [])]) {
    if (all.some(({ name }) => matches(pattern, name))) continue;
    const names = [...new Set(all.map(({ name }) => name))];
    throw new PithError("E_NAME", `No layer is called "${pattern}".`, { hint: namesHint(pattern, names) });
  }
  return all.filter(
    ({ name }) =>
      (selection.layers === undefined || isNamed(selection.layers, name)) && !isNamed(selection.except, name),
  );
}

/** Layers that a hint names. */
const namesShown = 12;

/** `Did you mean "fc1"? Layers: fc1, fc2.`, the nearest first. */
function namesHint(pattern: string, names: readonly string[]): string {
  if (names.length === 0) return "The model has no layers with a weight.";
  const meant = nearest(pattern, names);
  // Of several that are equally near none is more likely.
  const alone = meant === nearest(pattern, names.toReversed());
  const question = meant === undefined || !alone ? "" : `Did you mean "${meant}"? `;
  const sorted = byNearness(pattern, names);
  const more = sorted.length > namesShown ? ` and ${sorted.length - namesShown} more` : "";
  return `${question}Layers: ${sorted.slice(0, namesShown).join(", ")}${more}.`;
}

/** Whether patterns, of which `*` stands for any run of characters, fit a name. None fit nothing. */
export function isNamed(patterns: Selection["layers"], name: string): boolean {
  return (list(patterns) ?? []).some((pattern) => matches(pattern, name));
}

function matches(pattern: string, name: string): boolean {
  const escaped = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${escaped.join(".*")}$`).test(name);
}

function list(patterns: string | readonly string[] | undefined): readonly string[] | undefined {
  if (patterns === undefined) return undefined;
  return typeof patterns === "string" ? patterns.split(",").map((pattern) => pattern.trim()) : patterns;
}
