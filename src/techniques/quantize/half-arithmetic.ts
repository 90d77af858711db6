/**
 * Computes in float16 where ONNX's types allow it, with a Cast wherever a value changes type:
 *
 *     h = Gemm(x, fc1.weight)                x16 = Cast(x) {to=float16}
 *     s = Exp(h)                        →    h16 = Gemm(x16, fc1.weight)       fc1.weight: float16[128, 784]
 *                                            h = Cast(h16) {to=float32}
 *                                            s = Exp(h)
 *
 * All graphs, including subgraphs, keep their input and output types. Nodes stay in float32 if ONNX fixes their types, if they read a value
 * that float16 cannot represent, or if they read floats computed from integers, which can be large and which runtimes fuse.
 *
 * Values that represent infinity (attention masks add −3.4e38) become ±32,752. In float32 such a sum loses the score, so a fully
 * masked row attends to all positions equally. In float16 the row would follow the scores, so masked sums before a softmax are
 * clipped to at least −16,376 (`maskedSums`).
 */
import { allLayers, excludesNode, type Inference, infer, type Layer, maskingOf, selectLayers } from "#analysis";
import type { Graph, Model, Node, OperatorSchema, Tensor, Value } from "#ir";
import {
  allNodes,
  clampAllToHalf,
  deferTensor,
  describeRole,
  emitter,
  fromNumbers,
  halfClampValue,
  isInfiniteInHalf,
  Miss,
  nodeText,
  removeUnusedEverywhere,
  replaceUses,
  schemaAt,
  subgraphs,
  toFloat64,
  toFloats,
  typeCodes,
} from "#ir";
import type { Change, Context, Outcome } from "#pass";
import { entryOf } from "../../core/ops/index.ts";
import { storeConstants } from "../../rewrite/clean-up/store-constants.ts";
import { foldMask } from "../../rewrite/edit/mask.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { castOpset, explainUnfitHalf, isLargeMatrix, minElements, smallestInfinite } from "./float16.ts";
import type { HalfSettings } from "./settings.ts";

export async function quantizeToHalfArithmetic(
  model: Model,
  options: HalfSettings,
  context: Context,
): Promise<Outcome> {
  await storeConstants(model, {}, context);
  for (const value of [...model.graph.values()]) {
    const masking = value.tensor === undefined ? undefined : maskingOf(value);
    if (masking !== undefined) await foldMask(model, masking);
  }
  raiseOpset(model, castOpset);
  const all = allLayers(model, infer(model));
  const nodes = [...allNodes(model.graph)];
  const selectedNodes = new Set(selectLayers(all, options).map(({ node }) => node));
  const layerOfNode = new Map(all.map((layer) => [layer.node, layer]));
  const { unfit: unfitStored, infinities } = await screenTensors(nodes, context);
  const unfit = new Map([...unfitStored, ...(await unfitNormalizations(nodes, infer(model)))]);
  const candidates = nodes.filter((node) =>
    layerOfNode.has(node) ? selectedNodes.has(node) : options.layers === undefined && !excludesNode(options, node),
  );
  const { halfNodes, misses } = chooseNodes(model, candidates, { unfit, infinities, layerOfNode });
  if (halfNodes.size === 0) return { changes: [], misses };
  const changes = changesOf(halfNodes, layerOfNode);
  const sums = maskedSums(halfNodes, infinities, infer(model));
  const clampChanges = await writeInHalf(model, halfNodes);
  for (const sum of sums) changes.push(clipMasked(model, sum));
  removeUnusedEverywhere(model);
  return { changes: [...changes, ...clampChanges], misses };
}

function changesOf(halfNodes: ReadonlyMap<Node, HalfPorts>, layerOfNode: ReadonlyMap<Node, Layer>): Change[] {
  const layers = new Set([...halfNodes.keys()].flatMap((node) => layerOfNode.get(node)?.name ?? []));
  // An operator without float outputs (Shape) reads float16, but does not compute in it.
  const [first, ...further] = [...halfNodes].flatMap(([node, { outputs }]) =>
    layerOfNode.has(node) || outputs.length === 0 ? [] : [node],
  );
  const moreText = further.length === 0 ? "" : `, as ${further.length} more operators without weights do`;
  return [
    ...[...layers].map((at): Change => ({ at, what: "computes in float16", decidedBy: "global" })),
    ...(first === undefined
      ? []
      : [{ at: nodeText(first), what: `computes in float16${moreText}`, decidedBy: "global" as const }]),
  ];
}

/** Positions of the inputs and outputs of a node that become float16. */
interface HalfPorts {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

const isFloat32 = (value: Value | undefined): value is Value => value?.type?.type === "float32";

function readFill(node: Node): readonly [name: string, tensor: Tensor] | undefined {
  if (node.inputs.some(isFloat32)) return undefined;
  const attributes = { ...entryOf(node)?.defaults, ...Object.fromEntries(node.attributes) };
  for (const [name, attribute] of Object.entries(attributes))
    if (attribute.kind === "tensor" && attribute.value.type === "float32") return [name, attribute.value];
  return undefined;
}

export function findHalfPorts(node: Node, inference: Inference): HalfPorts | Miss {
  const site = inference.site(node);
  const entry = entryOf(node);
  const ports = halfPortsOf(node, schemaAt(node.domain, node.op, site.version));
  if (ports === undefined) return new Miss("its types are fixed: ONNX has no float16 for it");
  const reason = entry?.needsFloat32?.(node);
  if (reason !== undefined) return new Miss(reason);
  const inputs = site.inputs.map((operand, index) =>
    operand !== undefined && ports.inputs.includes(index) ? { ...operand, type: "float16" as const } : operand,
  );
  const bound = entry?.at({ ...site, inputs });
  const inferred = bound === undefined || bound instanceof Miss ? undefined : bound.infer();
  const hasFixedHalf = node.outputs.some((output, index) => {
    const becomesHalf = inferred !== undefined && !(inferred instanceof Miss) && inferred[index]?.type === "float16";
    return isFloat32(output) && becomesHalf && !ports.outputs.includes(index);
  });
  return hasFixedHalf ? new Miss("an output with a type fixed by ONNX would become float16 as well") : ports;
}

/** Returns the inputs and outputs of a node that can be float16, if ONNX has float16 for them. */
function halfPortsOf(node: Node, schema: OperatorSchema | undefined): HalfPorts | undefined {
  if (schema === undefined) return undefined;
  const { input: letterIn, output: letterOut } = schema.half;
  const letters = new Set<string>();
  const inputs = node.inputs.flatMap((value, index) => {
    const letter = value === undefined ? undefined : letterIn(index);
    if (letter === undefined || !isFloat32(value)) return [];
    letters.add(letter);
    return [index];
  });
  const areFloats = node.inputs.every((value, index) => {
    const letter = letterIn(index);
    return value === undefined || letter === undefined || !letters.has(letter) || isFloat32(value);
  });
  const isFill = readFill(node) !== undefined;
  const outputs = [...node.outputs.keys()].filter((index) => {
    const letter = letterOut(index);
    return letter !== undefined && (isFill || letters.has(letter));
  });
  return (isFill || inputs.length > 0) &&
    areFloats &&
    outputs.every((index) => node.outputs[index] === undefined || isFloat32(node.outputs[index]))
    ? { inputs, outputs }
    : undefined;
}

interface Screening {
  readonly unfit: ReadonlyMap<Value, string>;
  /** Stored values with an element that represents infinity, such as the -3.4e38 of an attention mask. */
  readonly infinities: ReadonlySet<Value>;
  readonly layerOfNode: ReadonlyMap<Node, Layer>;
}

function chooseNodes(model: Model, nodes: readonly Node[], { unfit, infinities, layerOfNode }: Screening) {
  const inference = infer(model);
  const misses: Miss[] = [];
  const portsByNode = new Map<Node, HalfPorts>();
  for (const node of nodes) {
    if (!(node.inputs.some(isFloat32) || readFill(node) !== undefined) || subgraphs(node).length > 0) continue;
    const ports = findHalfPorts(node, inference);
    const reason = ports instanceof Miss ? ports.reason : explainFloat(node, unfit);
    if (!(ports instanceof Miss) && reason === undefined) portsByNode.set(node, ports);
    else if (node.outputs.some(isFloat32) && reason !== undefined)
      misses.push(new Miss(reason, layerOfNode.get(node)?.name ?? nodeText(node)));
  }
  // A second pass is needed: only after the first it is known which nodes stay in float32.
  const isComputedFromIntegers = (value: Value | undefined): boolean => {
    const { producer } = value ?? {};
    if (producer === undefined || portsByNode.has(producer) || !isFloat32(value)) return false;
    const graphs = subgraphs(producer);
    return graphs.length > 0
      ? graphs.some(({ outputs }) => outputs.some(isComputedFromIntegers))
      : computesFloatsFromIntegers(producer, inference);
  };
  for (const node of [...portsByNode.keys()].filter(({ inputs }) => inputs.some(isComputedFromIntegers))) {
    // Masks are computed from flags, which are exact.
    if (node.inputs.some((input) => input !== undefined && infinities.has(input))) continue;
    portsByNode.delete(node);
    const layer = layerOfNode.get(node);
    if (layer !== undefined) misses.push(new Miss("it reads values represented by integers", layer.name));
  }
  const isolatedNames = removeIsolated(nodes, portsByNode).flatMap((node) => layerOfNode.get(node)?.name ?? []);
  const reason = `its weight has fewer than ${minElements} elements, and its neighbors stay in float32`;
  misses.push(...isolatedNames.map((layer) => new Miss(reason, layer)));
  return { halfNodes: portsByNode, misses };
}

function explainFloat(node: Node, unfit: ReadonlyMap<Value, string>): string | undefined {
  for (const value of [...node.inputs, ...node.outputs]) {
    if (value === undefined) continue;
    const { role } = value;
    if (role !== undefined && role.kind !== "parameter" && role.kind !== "buffer")
      return `"${value.name}" is ${describeRole(role)}`;
    const reason = unfit.get(value);
    if (reason !== undefined) return `"${value.name}" ${reason}`;
  }
  return undefined;
}

/** Returns whether a float32 node computes floats from integers, or integers and their scale from floats. */
function computesFloatsFromIntegers(node: Node, inference: Inference): boolean {
  if (![node.inputs[0], ...node.outputs].some((value) => /^(u?int\d+|bool)$/.test(value?.type?.type ?? "")))
    return false;
  // If the outputs have the type of a float operand, they are values of this operand: the integers only select.
  const { domain, op } = node;
  return (
    entryOf(node)?.codes !== undefined ||
    halfPortsOf(node, schemaAt(domain, op, inference.site(node).version)) === undefined
  );
}

/** Removes and returns nodes without a weight to convert whose neighbors stay in float32. */
function removeIsolated(nodes: readonly Node[], convertible: Map<Node, HalfPorts>): readonly Node[] {
  const isHalf = (value: Value | undefined): boolean => {
    const producer = value?.producer;
    const ports = producer === undefined ? undefined : convertible.get(producer);
    return ports?.outputs.some((output) => producer?.outputs[output] === value) ?? false;
  };
  const isWeight = (value: Value | undefined): boolean => value !== undefined && isLargeMatrix(value);
  return nodes.filter((node) => {
    const ports = convertible.get(node);
    if (ports === undefined || ports.inputs.some((input) => isHalf(node.inputs[input]) || isWeight(node.inputs[input])))
      return false;
    const reads = node.outputs.flatMap((value) => [...(value?.uses ?? [])]);
    const isRead = reads.some(({ node: reader, input }) => convertible.get(reader)?.inputs.includes(input));
    return (ports.outputs.length === 0 || !isRead) && convertible.delete(node);
  });
}

async function screenTensors(nodes: readonly Node[], context: Context) {
  const stored = new Set(nodes.flatMap(({ inputs }) => inputs.filter((value) => isFloat32(value) && value.tensor)));
  const unfit = new Map<Value, string>();
  const infinities = new Set<Value>();
  for (const [index, value] of [...stored].entries()) {
    context.progress(index, stored.size);
    if (value?.tensor === undefined) continue;
    const numbers = toFloats(await value.tensor.read());
    const clampedNumbers = clampAllToHalf(numbers);
    const isPlain = clampedNumbers === numbers && !numbers.includes(Number.NaN);
    const reason = explainUnfitHalf(isPlain ? numbers : clampedNumbers.filter(Number.isFinite), "float16");
    if (reason !== undefined) unfit.set(value, reason);
    if (!isPlain && hasInfinity(numbers)) infinities.add(value);
  }
  context.progress(stored.size, stored.size);
  return { unfit, infinities };
}

async function unfitNormalizations(nodes: readonly Node[], inference: Inference): Promise<ReadonlyMap<Value, string>> {
  const unfit = new Map<Value, string>();
  for (const node of nodes) {
    const bound = inference.at(node);
    const affine = bound instanceof Miss ? bound : bound.affine();
    const [output] = node.outputs;
    if (affine instanceof Miss || affine.kind !== "normalization" || output === undefined) continue;
    const tensors = affine.inputs.flatMap((input) => node.inputs[input]?.tensor ?? []);
    if (tensors.length < affine.inputs.length) continue;
    const numbers = await Promise.all(tensors.map(async (tensor) => toFloat64(await tensor.read())));
    const { scale, shift } = affine.of(numbers);
    const largest = [...scale, ...shift].find((number) => Math.abs(number) >= smallestInfinite);
    if (largest !== undefined)
      unfit.set(output, `is scaled or shifted by ${largest.toPrecision(3)}; the largest float16 is 65,504`);
  }
  return unfit;
}

function hasInfinity(numbers: Float32Array | Float64Array): boolean {
  return numbers.some((number, index, all) => Number.isFinite(number) && isInfiniteInHalf(number, index, all));
}

/** Clip limit of masked scores: masked sums are below it because they contain −32,752, and visible scores are above it. */
const lowestScore = -halfClampValue / 2;

/** Finds the last sum of scores and mask before each softmax. No product lies between the mask and the softmax. */
function maskedSums(
  halfNodes: ReadonlyMap<Node, HalfPorts>,
  infinities: ReadonlySet<Value>,
  inference: Inference,
): ReadonlySet<Node> {
  const maskedValues = new Set<Value | undefined>(infinities);
  const softmaxes: Node[] = [];
  const productFreeNodes = new Set<Node>();
  for (const node of halfNodes.keys()) {
    const bound = inference.at(node);
    if (bound instanceof Miss) continue;
    const cost = bound.cost();
    const fill = readFill(node)?.[1].small;
    if (bound.distribution()?.form === "probabilities") softmaxes.push(node);
    else if (!(cost instanceof Miss) && cost.macs === 0) productFreeNodes.add(node);
    const isMasked =
      fill === undefined
        ? productFreeNodes.has(node) && node.inputs.some((input) => maskedValues.has(input))
        : hasInfinity(toFloats(fill));
    if (isMasked) for (const output of node.outputs) maskedValues.add(output);
  }
  const sums = new Set<Node>();
  const scores = new Set(softmaxes.map(({ inputs: [scores] }) => scores));
  for (const value of scores) {
    const { producer } = value ?? {};
    if (producer === undefined || !productFreeNodes.has(producer)) continue;
    if (isSum(producer, inference) && producer.inputs.some((input) => maskedValues.has(input))) sums.add(producer);
    else for (const input of producer.inputs) scores.add(input);
  }
  return sums;
}

function isSum(node: Node, inference: Inference): boolean {
  const bound = inference.at(node);
  const products = (bound instanceof Miss ? undefined : bound.homogeneous()?.products) ?? [];
  const { inputs } = node;
  return (
    inputs.length > 1 &&
    inputs.every((_, index) => products.some((product) => product.length === 1 && product[0] === index))
  );
}

/** Makes all masked scores equal, as they are in float32. */
function clipMasked(model: Model, node: Node): Change {
  const [sum] = node.outputs;
  const at = nodeText(node);
  if (sum === undefined) throw new Error(`${at} has no output`);
  const emit = emitter(node.graph, { by: "quantize", opsets: model.header.opsets });
  const lowest = emit.constant(fromNumbers("float16", [], [lowestScore]), `${sum.name}_lowest`);
  const limitedSum = emit.named(`${sum.name}_limited`).Clip([sum, lowest]);
  limitedSum.type = sum.type;
  replaceUses(sum, limitedSum, limitedSum.producer);
  node.graph.sort();
  return { at, what: `masked scores become ${lowestScore}, all equal as in float32`, decidedBy: "global" };
}

/** Writes nodes in float16. @returns the changes that report clipped values. */
export async function writeInHalf(model: Model, halfNodes: ReadonlyMap<Node, HalfPorts>): Promise<readonly Change[]> {
  const clampChanges: Change[] = [];
  const reportClamping = async (at: string, tensor: Tensor): Promise<void> => {
    const numbers = toFloats(await tensor.read());
    const clamped = clampAllToHalf(numbers);
    const clippedNumber = clamped === numbers ? undefined : numbers.find((number, index) => number !== clamped[index]);
    if (clippedNumber === undefined || Number.isNaN(clippedNumber)) return;
    const text = `its ${clippedNumber.toPrecision(3)} stands for infinity and becomes ${Math.sign(clippedNumber) * halfClampValue}: float16 ends at 65,504`;
    clampChanges.push({ at, what: text, decidedBy: "global" });
  };
  const { opsets } = model.header;
  // A Cast is inserted directly after the value's producer: before the node that followed it originally.
  const nodeAfter = new Map<Node | Graph, Node>();
  const last = new Map<Graph, Node>();
  for (const node of allNodes(model.graph)) {
    nodeAfter.set(last.get(node.graph) ?? node.graph, node);
    last.set(node.graph, node);
  }
  const cast = (value: Value, type: "float16" | "float32"): Value => {
    const next = nodeAfter.get(value.producer ?? value.graph);
    const emit = emitter(value.graph, { ...(next === undefined ? {} : { before: next }), by: "quantize", opsets });
    const result = emit.named(`${value.name}_${type}`).Cast([value], { to: typeCodes[type] });
    result.type = { type, dims: value.type?.dims };
    return result;
  };
  const halfOf = widenedHalves(model);
  for (const [node, { outputs }] of halfNodes) {
    const wrongAttribute = node.graph.parent === undefined ? undefined : entryOf(node)?.wrongInHalfInside;
    if (wrongAttribute !== undefined) node.graph.setAttribute(node, wrongAttribute, undefined);
    const filling = readFill(node);
    if (filling !== undefined) {
      await reportClamping(nodeText(node), filling[1]);
      node.graph.setAttribute(node, filling[0], { kind: "tensor", value: await deferHalf(filling[1]) });
    }
    for (const output of outputs) {
      const value = node.outputs[output];
      if (value === undefined) continue;
      const { dims } = value.type ?? {};
      const float32Value = cast(value, "float32");
      replaceUses(value, float32Value, float32Value.producer);
      value.type = { type: "float16", dims };
      halfOf.set(float32Value, value);
    }
  }
  for (const [node, { inputs }] of halfNodes) {
    for (const input of inputs) {
      const value = node.inputs[input];
      if (value === undefined) continue;
      const { tensor } = value;
      if (tensor !== undefined && !halfOf.has(value) && isOnlyHalf(value, halfNodes))
        await reportClamping(value.name, tensor);
      const half =
        halfOf.get(value) ?? (isOnlyHalf(value, halfNodes) ? await storedHalf(value) : cast(value, "float16"));
      halfOf.set(value, half);
      if (half !== value) node.graph.setInput(node, input, half);
    }
  }
  return clampChanges;
}

/** Returns the float16 sources of values that are only widened, by the float32 value. */
function widenedHalves(model: Model): Map<Value, Value> {
  const inference = infer(model);
  const sources = new Map<Value, Value>();
  for (const node of allNodes(model.graph)) {
    const [source, second] = node.inputs;
    const [output] = node.outputs;
    if (source?.type?.type !== "float16" || second !== undefined || !isFloat32(output)) continue;
    const bound = inference.at(node);
    if (!(bound instanceof Miss) && bound.homogeneous() !== undefined) sources.set(output, source);
  }
  return sources;
}

function isOnlyHalf(value: Value, halfNodes: ReadonlyMap<Node, HalfPorts>): boolean {
  return (
    value.tensor !== undefined &&
    !value.graph.isOutput(value) &&
    [...value.uses].every(({ node, input }) => halfNodes.get(node)?.inputs.includes(input))
  );
}

async function storedHalf(value: Value): Promise<Value> {
  const { tensor } = value;
  if (tensor === undefined) return value;
  value.tensor = await deferHalf(tensor);
  value.type = { type: "float16", dims: tensor.dims };
  return value;
}

/** Computes the values on read, because weights are read one at a time. */
function deferHalf(tensor: Tensor): Promise<Tensor> {
  const { dims } = tensor;
  return deferTensor("float16", dims, async () =>
    fromNumbers("float16", dims, clampAllToHalf(toFloats(await tensor.read()))),
  );
}
