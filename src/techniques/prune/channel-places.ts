/**
 * Finds the tensors in which channel criteria score units (channels that are removed jointly), and collects the statistics that the
 * criteria need: of layer inputs, or of gradients of gates. The gates of a group are a vector ξ of ones, one per unit, by which each
 * channel is multiplied before a layer sums over the channels:
 *
 *     y = Conv(x, w)        y = Conv(x · ξ[unit of each channel], w)
 */
import { type Group, outputsOf, type Slice } from "../../core/analysis/channels.ts";
import { type Inference, infer } from "../../core/analysis/infer.ts";
import { type Layer, layers } from "../../core/analysis/layers.ts";
import { Miss, PithError } from "../../core/errors.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Node } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { parameter } from "../../core/graph/role.ts";
import { statisticOf } from "../../core/pass/custom-methods.ts";
import type { Context } from "../../core/pass/pass.ts";
import { fromNumbers, isFloat } from "../../core/tensor/convert.ts";
import { int64 } from "../../core/tensor/dense.ts";
import { groupBy } from "../../core/tensor/group-by.ts";
import { draw } from "../../data/batches/select.ts";
import { trainPart } from "../../data/sources/open.ts";
import { observe } from "../calibrate/observe.ts";
import type { ActivationStatistic, ChannelPlace, ChannelStatistic, GateStatistic } from "./criterion.ts";
import { gradientEvidence, type ScoringOptions } from "./importance.ts";

export interface Network {
  readonly inference: Inference;
  readonly layers: readonly Layer[];
}

export function networkOf(model: Model): Network {
  const inference = infer(model);
  return { inference, layers: layers(model, inference) };
}

export interface ChannelSlice extends Slice {
  readonly layer?: Layer;
}

export function findSlices(place: ChannelPlace, group: Group, network: Network): readonly ChannelSlice[] | Miss {
  if (place === "layers") return outputSlices(group);
  if (place === "scales") {
    const scales = group.slices.filter(({ value }) => [...value.uses].some((use) => isScale(use, network)));
    return scales.length > 0
      ? scales
      : new Miss("no normalization scales them; exporters often fold batch normalization into the layer before it");
  }
  const slices = [...new Set(readingsOf(group, network).map(({ slice }) => slice))];
  return slices.length > 0 ? slices : new Miss("no layer reads them");
}

/** Returns the output channels of the group's layers. A weight that several layers share is returned once. */
function outputSlices(group: Group): readonly ChannelSlice[] {
  return Array.from(groupBy(group.layers, ({ weight }) => weight).values(), ([layer]) => layer).flatMap((layer) => {
    const slice = outputsOf(group, layer);
    return slice === undefined ? [] : { ...slice, layer };
  });
}

function isScale({ node, input }: { readonly node: Node; readonly input: number }, { inference }: Network): boolean {
  const bound = inference.at(node);
  return !(bound instanceof Miss) && bound.scales().includes(input) && bound.parameters().includes(input);
}

/** An input at which a layer sums over the channels. */
interface Reading {
  readonly node: Node;
  readonly input: number;
  readonly slice: Slice;
}

function readingsOf({ slices }: Group, network: Network): readonly Reading[] {
  const summing = network.layers.filter(({ effective, role }) =>
    slices.some(({ value, axis }) => value === effective && axis === role.in),
  );
  return [...new Set(summing.map(({ node }) => node))].flatMap((node) =>
    node.inputs.flatMap((_, input) => findReading(node, input, network, slices) ?? []),
  );
}

/** For a quantized input, returns the input of its QuantizeLinear node, because a quantized value has no gradient. */
function findReading(node: Node, input: number, { inference }: Network, slices: readonly Slice[]): Reading | undefined {
  const readComputed = (reader: Node, position: number): Reading | undefined => {
    const slice = slices.find(({ value }) => value === reader.inputs[position]);
    return slice !== undefined && inference.operand(slice.value)?.stored === false
      ? { node: reader, input: position, slice }
      : undefined;
  };
  const readsFloats = ({ slice }: Reading): boolean => isFloat(inference.operand(slice.value)?.type ?? "int8");
  const reading = readComputed(node, input);
  const { producer } = reading?.slice.value ?? {};
  if (reading === undefined || readsFloats(reading) || producer === undefined) return reading;
  return producer.inputs.flatMap((_, position) => readComputed(producer, position) ?? []).find(readsFloats);
}

/** Returns statistics per value (activations) or per group (gates). @throws PithError E_OPTION without samples. */
export function channelEvidence(
  model: Model,
  groups: readonly Group[],
  id: string,
  evidence: ChannelStatistic<unknown>,
  options: ScoringOptions,
  context: Context,
): Promise<ReadonlyMap<object, unknown>> {
  const network = networkOf(model);
  const readings = new Map(groups.map((group) => [group, readingsOf(group, network)]));
  return evidence.of === "gates"
    ? gateGradients(model, readings, network.inference, id, evidence, options, context)
    : activationStatistics(model, readings, id, evidence, options, context);
}

type Readings = ReadonlyMap<Group, readonly Reading[]>;

async function activationStatistics(
  model: Model,
  readings: Readings,
  id: string,
  evidence: ActivationStatistic<unknown>,
  { data, samples = 256 }: ScoringOptions,
  { engine, seed, signal }: Context,
): Promise<ReadonlyMap<object, unknown>> {
  if (data === undefined) throw new PithError("E_OPTION", `"data": the criterion "${id}" requires samples.`);
  const statistic = statisticOf(`The importance "${id}"`, evidence);
  const axes = new Map([...readings.values()].flat().map(({ slice: { value, axis } }) => [value, axis]));
  if (axes.size === 0) return axes;
  const places = Array.from(axes, ([{ name }, axis]) => ({ name, axis }));
  const chosen = draw(await trainPart(data), samples, seed);
  const statistics = await observe(engine, model, chosen, places, statistic, { signal });
  return new Map(Array.from(axes.keys(), (value) => [value, statistics.get(value.name)]));
}

async function gateGradients(
  model: Model,
  readings: Readings,
  inference: Inference,
  id: string,
  evidence: GateStatistic<unknown>,
  options: ScoringOptions,
  context: Context,
): Promise<ReadonlyMap<object, unknown>> {
  const copy = model.clone();
  const gates = new Map(Array.from(readings, ([group, inputs]) => [group, writeGates(copy, group, inputs, inference)]));
  const names = [...gates.values()].flatMap((name) => (name instanceof Miss ? [] : name));
  if (names.length === 0) return gates;
  const statistic = { ...evidence, of: "gradients" as const };
  const gradients = await gradientEvidence(copy, names, { id, evidence: statistic }, options, context);
  const noGradient = new Miss("the loss has no gradient with respect to them");
  return new Map(
    Array.from(gates, ([group, name]) => [group, name instanceof Miss ? name : (gradients.get(name) ?? noGradient)]),
  );
}

/** Inserts the gates of a group into a copy of the model. @returns the name of the gate vector. */
function writeGates(copy: Model, group: Group, readings: readonly Reading[], inference: Inference): string | Miss {
  const [first] = readings;
  if (first === undefined) return new Miss("no layer reads them");
  const type = inference.operand(first.slice.value)?.type;
  if (type === undefined || !isFloat(type)) return new Miss("layers read them as integers");
  const ones = (count: number) => fromNumbers(type, [count], new Float64Array(count).fill(1));
  const [firstNode] = copy.graph.nodes();
  const emitFirst = emitInto(copy, { before: firstNode });
  const gates = emitFirst.constant(ones(group.units), "gates", parameter);
  const padded = emitFirst.Concat([gates, emitFirst.constant(ones(1))], { axis: 0 });
  for (const { node, input, slice } of readings) {
    const reader = copy.graph.value(node.outputs[0]?.name ?? "")?.producer;
    const value = reader?.inputs[input];
    const rank = inference.operand(slice.value)?.dims?.length;
    if (reader === undefined || value === undefined || rank === undefined) continue;
    const emit = emitInto(copy, { before: reader });
    // -1 marks an index without a unit; it gathers the last element, 1.
    const factors = emit.Gather([padded, emit.constant(int64([slice.unitOf.length], slice.unitOf))]);
    const shape = Array.from({ length: rank }, (_, axis) => (axis === slice.axis ? -1 : 1));
    copy.graph.setInput(reader, input, emit.Mul([value, emit.Reshape([factors, shape])]));
  }
  return gates.name;
}
