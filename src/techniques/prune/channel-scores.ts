/**
 * Scores the units of a group (channels that are removed jointly) by the criterion's `units`, or by a norm of their entries' scores. Each
 * producing layer contributes the sum over a unit's slice, relative to the mean over its units; the result is the mean over layers.
 * Estimates of the loss change are comparable and are summed instead.
 */
import type { Group, Inference, Layer, Slice } from "#analysis";
import { describeNonFinite, infer, layers, outputKind, outputSliceOf } from "#analysis";
import { draw } from "#batches";
import type { Model, Node } from "#ir";
import {
  emitInto,
  fromNumbers,
  groupBy,
  int64,
  isFloat,
  Miss,
  optionError,
  PithError,
  parameter,
  random,
  stripPeriod,
  toFloats,
} from "#ir";
import type { Context } from "#pass";
import type { Engine } from "../../core/engine/index.ts";
import { trainPart } from "../../data/sources/open.ts";
import type { Loss } from "../../learn/train/loss.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";
import { readWeight, type WeightNumbers } from "../../rewrite/edit/weight-numbers.ts";
import { observe } from "../calibrate/observe.ts";
import { awaitedAnswerOf, statisticOf } from "../shared/methods.ts";
import { channelSquares, rowsAlong } from "./channel-values.ts";
import type { ScoredGroup } from "./choose-units.ts";
import { activation, criteria, magnitude, taylor } from "./criteria.ts";
import {
  type ActivationStatistic,
  type ChannelPlace,
  type ChannelStatistic,
  type Channels,
  type GateStatistic,
  type Importance,
  isChannelEvidence,
} from "./criterion.ts";
import { createEvidence, gradientEvidence, type Scorer, type ScoringOptions, scorerOf } from "./importance.ts";
import { missesOf } from "./removal-texts.ts";

export type UnitScorer = (group: Group) => Promise<Float64Array | Miss>;

/** Returns a scorer by sums of squared scores. */
export function scoreByNorm(model: Model, scorer: Scorer, engine: Engine): UnitScorer {
  const [network, readSlice] = [networkOf(model), weightReader(model, engine)];
  return (group) =>
    reduceSlices(group, network, "layers", "mean", async (slice) => {
      const weight = await readSlice(slice);
      if (weight instanceof Miss) return weight;
      const { dims, values } = weight;
      const scores = slice.layer === undefined ? values : scorer.scores(slice.layer, dims, values);
      return scores instanceof Miss ? scores : channelSquares(scores, dims, slice.axis);
    });
}

function weightReader(model: Model, engine: Engine): (slice: ChannelSlice) => Promise<WeightNumbers | Miss> {
  const readStored = async ({ value }: ChannelSlice): Promise<WeightNumbers> => {
    const dense = await readStoredValue(model, value, engine);
    return { dims: dense.dims, values: toFloats(dense) };
  };
  return async (slice) => {
    const { value, layer } = slice;
    const numbers = layer === undefined ? await readStored(slice) : await readWeight(model, layer, engine);
    const nonFiniteText = numbers instanceof Miss ? undefined : describeNonFinite(numbers.values);
    return nonFiniteText === undefined ? numbers : new Miss(`"${value.name}" ${nonFiniteText}`);
  };
}

export async function unitScorerOf(
  model: Model,
  groups: readonly Group[],
  options: ScoringOptions,
  context: Context,
): Promise<UnitScorer> {
  const criterion = criteria.of(options.importance ?? "magnitude");
  const { id, evidence: statistic } = criterion;
  const layers = groups.flatMap((group) => group.layers);
  if (criterion.units === undefined)
    return scoreByNorm(model, await scorerOf(model, layers, options, context), context.engine);
  const evidenceOf: ReadonlyMap<object, unknown> = isChannelEvidence(statistic)
    ? await channelEvidence(model, groups, id, statistic, options, context)
    : await createEvidence(id, statistic, model, layers, options, context);
  const [network, readSlice] = [networkOf(model), weightReader(model, context.engine)];
  const subject = `The importance "${id}"`;
  return async (group) => {
    const evidence = evidenceOf.get(group);
    if (evidence instanceof Miss) return evidence;
    const name = group.layers[0]?.name ?? "";
    const invalidScores = (text: string): PithError =>
      optionError(`${subject}: expected a Float64Array with a score for each unit of "${name}", got ${text}.`);
    const scoreAll =
      (reduction: "mean" | "sum") => (place: ChannelPlace, score: (channels: Channels) => ArrayLike<number>) =>
        reduceSlices(group, network, place, reduction, async (slice) => {
          const { value, axis, layer, unitOf } = slice;
          const evidence = evidenceOf.get(layer?.weight ?? value);
          if (evidence instanceof Miss) return evidence;
          const weight = place === "activations" ? { dims: [0], values: new Float64Array() } : await readSlice(slice);
          if (weight instanceof Miss) return weight;
          const { dims, values } = weight;
          const rows = (numbers: ArrayLike<number> = values) => rowsAlong(numbers, dims, axis);
          const scores = score({ name: layer?.name ?? value.name, values, rows, evidence });
          if (scores.length !== unitOf.length)
            throw invalidScores(`${scores.length} scores for ${unitOf.length} channels`);
          return scores;
        });
    const numbers = random(context.seed, "importance", id, name);
    const units = { count: group.units, evidence, random: numbers, mean: scoreAll("mean"), sum: scoreAll("sum") };
    const scores = await awaitedAnswerOf(subject, async () => criterion.units?.(units));
    if (scores instanceof Miss) return scores;
    if (!(scores instanceof Float64Array)) throw invalidScores("another value");
    if (scores.length !== group.units) throw invalidScores(`${scores.length} scores for ${group.units} units`);
    return scores.some(Number.isNaN) ? new Miss(`the criterion "${id}" gives NaN`) : scores;
  };
}

/** The default is Taylor scores for classifiers or with a `loss`, activations for other models, and magnitudes without samples. */
export async function defaultUnitScorer(
  model: Model,
  groups: readonly Group[],
  options: ScoringOptions,
  context: Context,
): Promise<{ readonly scorer: UnitScorer; readonly criterion: Importance }> {
  const { data, loss } = options;
  const scoreBy = async (
    importance: NonNullable<ScoringOptions["importance"]>,
    change: Partial<ScoringOptions> = {},
  ) => ({
    scorer: await unitScorerOf(model, groups, { ...options, ...change, importance }, context),
    criterion: criteria.of(importance),
  });
  if (options.importance !== undefined) return scoreBy(options.importance);
  if (data === undefined) return scoreBy(magnitude);
  const note = (text: string): void => context.log({ id: "criterion", text, level: "note" });
  let reason = "the model does not score classes";
  if (loss !== undefined || ["classes", "labels"].includes(outputKind(model, undefined))) {
    try {
      const ranking = await scoreBy(taylor, { loss: loss ?? (await evenCrossEntropy()) });
      note("channels are ranked by how much the predictions would change without them (Taylor scores)");
      return ranking;
    } catch (error) {
      // The error of a loss that the user chose is not hidden.
      if (loss !== undefined || !(error instanceof PithError) || error.code === "E_STOPPED") throw error;
      reason = stripPeriod(error.message);
    }
  }
  const ranking = await scoreBy(activation);
  note(`channels are ranked by the size of their values (activations): ${reason}`);
  return ranking;
}

/** Returns the cross-entropy of the predictions to the even distribution: its gradient softmax − 1 / classes does not vanish on training samples. */
async function evenCrossEntropy(): Promise<Loss> {
  const [{ outputOf }, { requireClasses, scoreRows }] = [
    await import("../../learn/train/loss.ts"),
    await import("../../learn/train/losses/cross-entropy.ts"),
  ];
  return {
    name: "cross-entropy with the even distribution",
    build(scope) {
      const { rows, classes } = scoreRows(scope, outputOf(scope));
      requireClasses(classes);
      const { emit } = scope;
      const value = emit.Neg([emit.ReduceMean([emit.LogSoftmax([rows], { axis: -1 })], { keepdims: 0 })]);
      return { value, feeds: () => ({}) };
    },
  };
}

/** Scores groups one at a time, so that memory holds the weights of one layer. */
export async function scoreGroups(
  groups: readonly Group[],
  scorer: UnitScorer,
): Promise<{ readonly scored: readonly ScoredGroup[]; readonly misses: readonly Miss[] }> {
  const scored: ScoredGroup[] = [];
  const misses: Miss[] = [];
  for (const group of groups) {
    const scores = await scorer(group);
    if (scores instanceof Miss)
      misses.push(...missesOf(group, `its channels cannot be ranked: ${scores.reason}`, scores.at));
    else scored.push({ group, scores });
  }
  return { scored, misses };
}

/** Sums the scores of each unit over all tensors (for "mean": each relative to its mean, then averaged). */
async function reduceSlices(
  group: Group,
  network: Network,
  place: ChannelPlace,
  reduction: "mean" | "sum",
  score: (slice: ChannelSlice) => Promise<ArrayLike<number> | Miss>,
): Promise<Float64Array | Miss> {
  const slices = findSlices(place, group, network);
  if (slices instanceof Miss) return slices;
  const totals = new Float64Array(group.units);
  const tensorCounts = new Float64Array(group.units);
  for (const slice of slices) {
    const scores = await score(slice);
    if (scores instanceof Miss) return scores;
    const sums = new Map<number, number>();
    slice.unitOf.forEach((unit, index) => {
      if (unit >= 0) sums.set(unit, (sums.get(unit) ?? 0) + (scores[index] ?? 0));
    });
    const mean = [...sums.values()].reduce((total, sum) => total + sum, 0) / Math.max(1, sums.size);
    const scale = reduction === "sum" || mean === 0 ? 1 : mean;
    for (const [unit, sum] of sums) {
      totals[unit] = (totals[unit] ?? 0) + sum / scale;
      tensorCounts[unit] = (tensorCounts[unit] ?? 0) + 1;
    }
  }
  return reduction === "sum" ? totals : totals.map((total, unit) => total / Math.max(1, tensorCounts[unit] ?? 0));
}

interface Network {
  readonly inference: Inference;
  readonly layers: readonly Layer[];
}

function networkOf(model: Model): Network {
  const inference = infer(model);
  return { inference, layers: layers(model, inference) };
}

interface ChannelSlice extends Slice {
  readonly layer?: Layer;
}

function findSlices(place: ChannelPlace, group: Group, network: Network): readonly ChannelSlice[] | Miss {
  if (place === "layers") return outputSlices(group);
  const slices = [...new Set(summandsOf(group, network).map(({ slice }) => slice))];
  return slices.length > 0 ? slices : new Miss("no layer reads them");
}

/** Returns the output channels of the group's layers. A weight that several layers share is returned once. */
function outputSlices(group: Group): readonly ChannelSlice[] {
  return Array.from(groupBy(group.layers, ({ weight }) => weight).values(), ([layer]) => layer).flatMap((layer) => {
    const slice = outputSliceOf(group, layer);
    return slice === undefined ? [] : { ...slice, layer };
  });
}

/** An input at which a layer sums over the channels. */
interface Summand {
  readonly node: Node;
  readonly input: number;
  readonly slice: Slice;
}

function summandsOf({ slices }: Group, network: Network): readonly Summand[] {
  const summing = network.layers.filter(({ effective, role }) =>
    slices.some(({ value, axis }) => value === effective && axis === role.in),
  );
  return [...new Set(summing.map(({ node }) => node))].flatMap((node) =>
    node.inputs.flatMap((_, input) => findSummand(node, input, network, slices) ?? []),
  );
}

/** For a quantized input, returns the input of its QuantizeLinear node, because a quantized value has no gradient. */
function findSummand(node: Node, input: number, { inference }: Network, slices: readonly Slice[]): Summand | undefined {
  const readComputed = (reader: Node, position: number): Summand | undefined => {
    const slice = slices.find(({ value }) => value === reader.inputs[position]);
    return slice !== undefined && inference.operand(slice.value)?.stored === false
      ? { node: reader, input: position, slice }
      : undefined;
  };
  const readsFloats = ({ slice }: Summand): boolean => isFloat(inference.operand(slice.value)?.type ?? "int8");
  const reading = readComputed(node, input);
  const { producer } = reading?.slice.value ?? {};
  if (reading === undefined || readsFloats(reading) || producer === undefined) return reading;
  return producer.inputs.flatMap((_, position) => readComputed(producer, position) ?? []).find(readsFloats);
}

/**
 * Collects the statistics that a criterion needs: of layer inputs, or of gradients of the gates ξ, a vector of ones, one per unit:
 *
 *     y = Conv(x, w)        y = Conv(x · ξ[unit of each channel], w)
 */
function channelEvidence(
  model: Model,
  groups: readonly Group[],
  id: string,
  evidence: ChannelStatistic<unknown>,
  options: ScoringOptions,
  context: Context,
): Promise<ReadonlyMap<object, unknown>> {
  const network = networkOf(model);
  const readings = new Map(groups.map((group) => [group, summandsOf(group, network)]));
  return evidence.of === "gates"
    ? gateGradients(model, readings, network.inference, id, evidence, options, context)
    : activationStatistics(model, readings, id, evidence, options, context);
}

type InputsByGroup = ReadonlyMap<Group, readonly Summand[]>;

async function activationStatistics(
  model: Model,
  readings: InputsByGroup,
  id: string,
  evidence: ActivationStatistic<unknown>,
  { data, samples = 256 }: ScoringOptions,
  { engine, seed, signal }: Context,
): Promise<ReadonlyMap<object, unknown>> {
  if (data === undefined) throw optionError(`"data": the criterion "${id}" requires samples.`);
  const statistic = statisticOf(`The importance "${id}"`, evidence);
  const axes = new Map([...readings.values()].flat().map(({ slice: { value, axis } }) => [value, axis]));
  if (axes.size === 0) return axes;
  const places = Array.from(axes, ([{ name }, axis]) => ({ name, axis }));
  const drawnSamples = draw(await trainPart(data), samples, seed);
  const statistics = await observe(engine, model, drawnSamples, places, statistic, { signal });
  return new Map(Array.from(axes.keys(), (value) => [value, statistics.get(value.name)]));
}

async function gateGradients(
  model: Model,
  readings: InputsByGroup,
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
function writeGates(copy: Model, group: Group, readings: readonly Summand[], inference: Inference): string | Miss {
  const [first] = readings;
  if (first === undefined) return new Miss("no layer reads them");
  const type = inference.operand(first.slice.value)?.type;
  if (type === undefined || !isFloat(type)) return new Miss("layers read them as integers");
  const ones = (count: number) => fromNumbers(type, [count], new Float64Array(count).fill(1));
  const [firstNode] = copy.graph.nodes();
  const emitFirst = emitInto(copy, { before: firstNode });
  const gates = emitFirst.constant(ones(group.units), "gates", parameter);
  const paddedGates = emitFirst.Concat([gates, emitFirst.constant(ones(1))], { axis: 0 });
  for (const { node, input, slice } of readings) {
    const reader = copy.graph.value(node.outputs[0]?.name ?? "")?.producer;
    const value = reader?.inputs[input];
    const rank = inference.operand(slice.value)?.dims?.length;
    if (reader === undefined || value === undefined || rank === undefined) continue;
    const emit = emitInto(copy, { before: reader });
    // -1 marks an index without a unit; it gathers the last element, 1.
    const factors = emit.Gather([paddedGates, emit.constant(int64([slice.unitOf.length], slice.unitOf))]);
    const shape = Array.from({ length: rank }, (_, axis) => (axis === slice.axis ? -1 : 1));
    copy.graph.setInput(reader, input, emit.Mul([value, emit.Reshape([factors, shape])]));
  }
  return gates.name;
}
