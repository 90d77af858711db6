/** Collects what `pith inspect` shows. */
import type { Inference, Layer } from "#analysis";
import {
  allLayers,
  branchAdvice,
  channelGroups,
  cost,
  extractBlock,
  findBlocks,
  hasPalette,
  infer,
  isInSubgraph,
  isQuantized,
  learnedCount,
  learnedTensors,
  storedForm,
  storedRoot,
  weightBits,
  weightCount,
  weightNodes,
} from "#analysis";
import type { Dim, Graph, Miss, Model, Node, Tensor, Value } from "#ir";
import {
  allGraphs,
  allNodes,
  allValues,
  dimsText,
  elementCount,
  encodedSize,
  floorDims,
  groupBy,
  isFloat,
  multiplyDims,
  nodeText,
  operatorName,
} from "#ir";
import { preprocessingKey } from "../../../data/sidecars/preprocessing-spec.ts";
import { operationCountOf } from "../../../judge/record/operation-count.ts";
import { withFreeChannels } from "../../../rewrite/clean-up/free-channels.ts";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import { channelFinder, payingRank } from "../applicable-techniques.ts";
import type { Blocks, InspectedLayer, Inspection, Port, StoredTensors } from "./inspect.ts";
import { estimateSavings } from "./savings.ts";

/** @param model copy of the model, whose weights in Constant nodes become stored tensors. */
export async function inspectModel(model: Model): Promise<Inspection> {
  const { header, graph } = model;
  const operators = countOperators(graph);
  const bytes = await encodedSize(model);
  storeWeights(model);
  const inference = infer(model);
  const costs = cost(model, inference);
  const innerGraphs = [...allGraphs(graph)].slice(1);
  const layers = allLayers(model, inference).filter(({ isScale }) => isScale !== true);
  const learnedCounts = await learnedTensors(model, inference);
  // Channels are found in the same way as in `prune`.
  const freeModel = await withFreeChannels(model);
  const groups = channelGroups(freeModel, infer(freeModel));
  const channels = channelFinder(groups);
  const countedTensors = new Set<Tensor>();
  return {
    bytes,
    prepared: header.metadata.get(preprocessingKey),
    producer: [header.producerName, header.producerVersion].filter((part) => part !== "").join(" "),
    irVersion: header.irVersion,
    opsets: Object.fromEntries([...header.opsets].map(([domain, version]) => [domain || "ai.onnx", version])),
    inputs: graph.feeds.map(describePort),
    outputs: graph.outputs.map(describePort),
    operators,
    parameters: learnedCount(learnedCounts),
    macs: operationCountOf(costs.macs),
    layers: layers.map((layer): InspectedLayer => {
      const { dims, type } = storedForm(layer);
      return {
        name: layer.name,
        operator: layer.node.op,
        weight: `${type} ${dimsText(dims)}`,
        ...quantizationOf(layer),
        sharedWith: sharersOf(layer),
        outputs: layer.outputs,
        inputs: layer.inputs,
        groups: layer.role.groups,
        parameters: layer.weight.tensor === undefined ? 0 : weightCount(layer),
        bytes: countBytes(layer, countedTensors),
        macs: operationCountOf(shareOfMacs(layer, layers, costs.perNode.get(layer.node))),
        payingRank: payingRank(layer),
        ...channels(layer),
      };
    }),
    blocks: describeBlocks(model, inference, learnedCounts),
    savings: estimateSavings(layers, groups, channels, learnedCounts),
    notUnderstood: listDistinct([...inference.misses, ...costs.misses]),
    inside: {
      graphs: innerGraphs.length,
      nodes: innerGraphs.reduce((sum, { nodeCount }) => sum + nodeCount, 0),
      layers: layers.filter(isInSubgraph).length,
      inlineCommand: [...graph.nodes()]
        .map((node) => branchAdvice(node, inference))
        .find((advice) => advice !== undefined),
    },
    replaceable: graph.inputs.filter(({ tensor }) => tensor !== undefined).map(({ name }) => name),
    stored: countStored(graph),
    roles: countBy([...allValues(graph)].flatMap(({ role }) => role?.kind ?? [])),
    metadata: Object.fromEntries(header.metadata),
  };
}

/** Returns the part of its node's MACs that a layer has, in proportion to its elements. */
function shareOfMacs(layer: Layer, layers: readonly Layer[], macs: Dim | undefined): Dim | undefined {
  const counts = layers.flatMap((other) => (other.node === layer.node ? [weightCount(other)] : []));
  if (macs === undefined || counts.length < 2) return macs;
  const total = counts.reduce((sum, count) => sum + count, 0);
  return floorDims(multiplyDims(macs, weightCount(layer)), Math.max(1, total));
}

/** Returns each node and reason once, because several rules can fail for the same reason. */
function listDistinct(misses: readonly Miss[]): Inspection["notUnderstood"] {
  return [...groupBy(misses, ({ at, reason }) => `${at} ${reason}`).values()].map(([{ at, reason }]) => ({
    at,
    reason,
  }));
}

function describeBlocks(model: Model, inference: Inference, learnedCounts: ReadonlyMap<Value, number>): Blocks {
  const { blocks: all, repeats } = findBlocks(model, inference);
  const counts = new Map(Array.from(learnedCounts, ([{ name }, count]) => [name, count]));
  const names = (values: readonly Value[]): readonly string[] => values.map(({ name }) => name);
  return {
    all: all.map((block) => ({
      name: block.name,
      kind: block.structureId,
      nodes: block.nodes.length,
      layers: block.layers,
      parameters: [...extractBlock(model, block).graph.values()].reduce(
        (sum, { name }) => sum + (counts.get(name) ?? 0),
        0,
      ),
      inputs: names(block.inputs),
      sides: names(block.sideInputs),
      outputs: names(block.outputs),
    })),
    repeats: repeats.flatMap((members) =>
      members[0] === undefined ? [] : [{ first: all.indexOf(members[0]), count: members.length }],
    ),
  };
}

/** Returns the bytes of a layer's tensors that are not in `counted`, and adds them to it. */
function countBytes(layer: Layer, counted: Set<Tensor>): number {
  const operands = [layer.node, ...weightNodes(layer)].flatMap(({ inputs }) => inputs);
  let bytes = 0;
  for (const operand of [layer.weight, ...operands]) {
    const tensor = (operand && storedRoot(operand))?.tensor;
    if (tensor === undefined || counted.has(tensor)) continue;
    counted.add(tensor);
    bytes += tensor.bytes;
  }
  return bytes;
}

/** Returns the bits of a quantized weight, and its number of scales. */
function quantizationOf(layer: Layer): { readonly bits: number | undefined; readonly scales: number | undefined } {
  const { weight, effective, node, bias } = layer;
  if (!isQuantized(layer)) return { bits: undefined, scales: undefined };
  const bits = weightBits(layer);
  if (hasPalette(layer)) return { bits, scales: undefined };
  const operands = (weight === effective ? node : effective.producer)?.inputs ?? [];
  const scale = operands.find(
    (value) => value !== weight && value !== bias && value?.tensor !== undefined && isFloat(value.tensor.type),
  );
  return { bits, scales: scale === undefined ? undefined : elementCount(scale.tensor?.dims ?? []) };
}

function sharersOf(layer: Layer): readonly string[] {
  const { weight, effective, node } = layer;
  const steps = weightNodes(layer);
  const sharers = new Set<Node>();
  for (const { uses } of new Set([weight, effective])) {
    for (const { node: reader } of uses) {
      if (sharers.size === maxSharers) break;
      if (reader !== node && !steps.has(reader)) sharers.add(reader);
    }
  }
  const tiedNames = weight.role?.kind === "tied" ? [weight.role.name] : [];
  return [...tiedNames, ...[...sharers].map(nodeText)];
}

/** Maximum number of listed nodes that share a weight, because the lists could grow quadratically. */
const maxSharers = 8;

function describePort(value: Value): Port {
  return { name: value.name, type: value.type?.type, dims: dimsText(value.type?.dims) };
}

function countOperators(graph: Graph): Record<string, number> {
  const counts = Object.entries(countBy(Array.from(allNodes(graph), operatorName)));
  return Object.fromEntries(counts.sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)));
}

function countBy(names: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    Array.from(
      groupBy(names, (name) => name),
      ([name, { length }]) => [name, length],
    ),
  );
}

function countStored(graph: Graph): StoredTensors[] {
  const tensors = new Set<Tensor>();
  for (const part of allGraphs(graph)) {
    for (const { tensor } of part.values()) if (tensor !== undefined) tensors.add(tensor);
    for (const node of part.nodes()) {
      for (const attribute of node.attributes.values()) if (attribute.kind === "tensor") tensors.add(attribute.value);
    }
  }
  const byType = Array.from(
    groupBy(tensors, ({ type }) => type),
    ([type, members]) => ({
      type,
      tensors: members.length,
      elements: members.reduce((sum, { dims }) => sum + elementCount(dims), 0),
      bytes: members.reduce((sum, tensor) => sum + tensor.bytes, 0),
    }),
  );
  return byType.sort((a, b) => b.bytes - a.bytes);
}
