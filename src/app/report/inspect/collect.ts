import { wayOutOf } from "../../../core/analysis/branches.ts";
import { channelGroups } from "../../../core/analysis/channels.ts";
import { cost } from "../../../core/analysis/cost.ts";
import { infer } from "../../../core/analysis/infer.ts";
import { allLayers, isInside, type Layer, weightCount } from "../../../core/analysis/layers.ts";
import { learnedCount, learnedTensors } from "../../../core/analysis/learned.ts";
import { isInPalette, storedForm, weightBits, weightSteps } from "../../../core/analysis/stored-form.ts";
import { isQuantized } from "../../../core/analysis/weight.ts";
import type { Miss } from "../../../core/errors.ts";
import {
  allGraphs,
  allNodes,
  allValues,
  describe,
  type Graph,
  type Node,
  operatorName,
  type Value,
} from "../../../core/graph/graph.ts";
import type { Model } from "../../../core/graph/model.ts";
import { isFloat } from "../../../core/tensor/convert.ts";
import { dimsText, elementCount } from "../../../core/tensor/dims.ts";
import type { Tensor } from "../../../core/tensor/types.ts";
import { preprocessingKey } from "../../../data/sidecars/preprocessing-spec.ts";
import { withFreeChannels } from "../../../rewrite/clean-up/free-channels.ts";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import { channelsIn, payingRank } from "../applicable-techniques.ts";
import { operationCount } from "../operation-count.ts";
import { describeBlocks } from "./blocks.ts";
import type { InspectedLayer, Inspection, Port, StoredTensors } from "./inspect.ts";
import { estimateSavings } from "./savings.ts";

/** @param model a copy: weights in Constant nodes become stored tensors. */
export async function collect(model: Model): Promise<Inspection> {
  const { header, graph } = model;
  const operators = countOperators(graph);
  storeWeights(model);
  const inference = infer(model);
  const costs = cost(model, inference);
  const inner = [...allGraphs(graph)].slice(1);
  const found = allLayers(model, inference).filter(({ isScale }) => isScale !== true);
  const learned = await learnedTensors(model, inference);
  // Finds channels as `prune` does.
  const free = await withFreeChannels(model);
  const groups = channelGroups(free, infer(free));
  const channels = channelsIn(groups);
  return {
    prepared: header.metadata.get(preprocessingKey),
    producer: [header.producerName, header.producerVersion].filter((part) => part !== "").join(" "),
    irVersion: header.irVersion,
    opsets: Object.fromEntries([...header.opsets].map(([domain, version]) => [domain || "ai.onnx", version])),
    inputs: graph.feeds.map(port),
    outputs: graph.outputs.map(port),
    operators,
    parameters: learnedCount(learned),
    macs: operationCount(costs.macs),
    layers: found.map((layer: Layer): InspectedLayer => {
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
        macs: operationCount(costs.perNode.get(layer.node)),
        payingRank: payingRank(layer),
        ...channels(layer),
      };
    }),
    blocks: describeBlocks(model, inference, learned),
    savings: estimateSavings(found, groups, channels, learned),
    notUnderstood: distinct([...inference.misses, ...costs.misses]),
    inside: {
      graphs: inner.length,
      nodes: inner.reduce((sum, { nodeCount }) => sum + nodeCount, 0),
      layers: found.filter(isInside).length,
      wayOut: [...graph.nodes()].map((node) => wayOutOf(node, inference)).find((way) => way !== undefined),
    },
    replaceable: graph.inputs.filter(({ tensor }) => tensor !== undefined).map(({ name }) => name),
    stored: countStored(graph),
    roles: countRoles(graph),
    metadata: Object.fromEntries(header.metadata),
  };
}

/** Several rules can fail for the same reason, so each node and reason is listed once. */
function distinct(misses: readonly Miss[]): { readonly at: string | undefined; readonly reason: string }[] {
  const found = new Map<string, { readonly at: string | undefined; readonly reason: string }>();
  for (const { at, reason } of misses) found.set(`${at} ${reason}`, { at, reason });
  return [...found.values()];
}

/** Bits of a quantized weight, and its number of scales. */
function quantizationOf(layer: Layer): { readonly bits: number | undefined; readonly scales: number | undefined } {
  const { weight, effective, node, bias } = layer;
  if (!isQuantized(layer)) return { bits: undefined, scales: undefined };
  const bits = weightBits(layer);
  if (isInPalette(layer)) return { bits, scales: undefined };
  const beside = (weight === effective ? node : effective.producer)?.inputs ?? [];
  const scale = beside.find(
    (value) => value !== weight && value !== bias && value?.tensor !== undefined && isFloat(value.tensor.type),
  );
  return { bits, scales: scale === undefined ? undefined : elementCount(scale.tensor?.dims ?? []) };
}

function sharersOf(layer: Layer): readonly string[] {
  const { weight, effective, node } = layer;
  const steps = weightSteps(layer);
  const others = new Set<Node>();
  for (const { uses } of new Set([weight, effective])) {
    for (const { node: reader } of uses) {
      if (others.size === mostSharers) break;
      if (reader !== node && !steps.has(reader)) others.add(reader);
    }
  }
  const tied = weight.role?.kind === "tied" ? [weight.role.name] : [];
  return [...tied, ...[...others].map(describe)];
}

/** A network unrolled over time reads one weight thousands of times, so complete lists would grow quadratically. */
const mostSharers = 8;

function port(value: Value): Port {
  return { name: value.name, type: value.type?.type, dims: dimsText(value.type?.dims) };
}

function countOperators(graph: Graph): Record<string, number> {
  const counts = new Map<string, number>();
  for (const node of allNodes(graph)) {
    const name = operatorName(node);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return Object.fromEntries([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)));
}

function countStored(graph: Graph): StoredTensors[] {
  const tensors = new Set<Tensor>();
  for (const part of allGraphs(graph)) {
    for (const { tensor } of part.values()) if (tensor !== undefined) tensors.add(tensor);
    for (const node of part.nodes()) {
      for (const attribute of node.attributes.values()) if (attribute.kind === "tensor") tensors.add(attribute.value);
    }
  }
  const byType = new Map<string, StoredTensors>();
  for (const { type, dims, bytes: size } of tensors) {
    const before = byType.get(type) ?? { type, tensors: 0, elements: 0, bytes: 0 };
    const elements = before.elements + elementCount(dims);
    byType.set(type, { type, tensors: before.tensors + 1, elements, bytes: before.bytes + size });
  }
  return [...byType.values()].sort((a, b) => b.bytes - a.bytes);
}

function countRoles(graph: Graph): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { role } of allValues(graph)) if (role !== undefined) counts[role.kind] = (counts[role.kind] ?? 0) + 1;
  return counts;
}
