/** Scales of activations: learned with the model, or from ranges measured on data. What no scale suits stays in float. */
import type { Inference } from "../analysis/infer.ts";
import type { Layer } from "../analysis/layers.ts";
import { ownOptions, type Selection } from "../analysis/selection.ts";
import { averageRange } from "../calibrate/average-range.ts";
import { histogram } from "../calibrate/histogram.ts";
import { notFinite, observe, observeWithStates, type ValueRange, valueRange } from "../calibrate/observe.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { type Dataset, isIndexed } from "../data/index.ts";
import { Miss, PithError } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { channelRanges, fullRange, type ScaleAndZeroPoint, scaleAndZeroPoint } from "../math/index.ts";
import type { Context } from "../passes/pass.ts";
import { readStoredValue } from "../passes/stored.ts";
import type { ModelRoundings } from "./model-roundings.ts";
import { type ActivationType, isWide, type RangeMethod } from "./options.ts";
import { type Placement, place } from "./placement.ts";
import { clippedBy } from "./ranges.ts";
import { isUnresolved, lostAmong, lostOf, shareLost, short, whyNotFinite, whyUnfit } from "./resolution.ts";
import { reportUnresolved } from "./unresolved.ts";

export interface MeasureOptions extends Selection {
  readonly activations: ActivationType;
  readonly symmetric?: boolean | undefined;
  readonly ranges?: RangeMethod | undefined;
  readonly data?: Dataset | undefined;
  readonly samples: number;
  readonly equalize?: boolean | undefined;
}

/** How an activation is rounded. */
export interface ScaledType extends ScaleAndZeroPoint {
  readonly type: ActivationType;
}

/** Where integers go among these layers, and how activations are rounded there. */
export interface MeasuredPlacement {
  readonly placement: Placement;
  readonly scales: ReadonlyMap<Value, ScaledType>;
  /** Clamps that vanish: what they read is rounded as what they give. */
  readonly clamps: readonly Node[];
}

/**
 * Places integers and measures what they are to hold, again without what turns out to suit no scale, until all that is left does.
 * @throws PithError E_DATA if activations are not finite and no layer is left.
 */
export async function placeMeasured(
  model: Model,
  inference: Inference,
  chosen: readonly Layer[],
  options: MeasureOptions,
  context: Context,
  existing: ModelRoundings,
): Promise<MeasuredPlacement> {
  const unfit = new Map<Value, string>();
  const unresolved = new Map<Value, ValueRange>();
  const apart = new Map<Node, string>();
  const ranges = new Map<Value, ValueRange>();
  const stored = new Set<Value>();
  let broken: PithError | undefined;
  for (;;) {
    const placement = place(model, inference, chosen, { unfit, apart });
    const before = unfit.size + apart.size;
    const types = typesOf(placement, options);
    const bitsOf = (value: Value): number => (isWide(types.get(value) ?? options.activations) ? 16 : 8);
    const constants = [...placement.targets.flatMap(({ layer: { bias } }) => bias ?? []), ...placement.constants];
    for (const value of new Set(constants)) {
      if (stored.has(value)) continue;
      stored.add(value);
      const dense = await readStoredValue(model, value, context.engine);
      const { min, max } = channelRanges(dense, undefined);
      const range = { min: min[0] ?? 0, max: max[0] ?? 0 };
      // A bias is int32 with per-channel scales: neither huge nor tiny numbers take anything from the others.
      const reason = placement.constants.has(value)
        ? whyUnfit(range, lostAmong(dense, range, bitsOf(value)), "needed", bitsOf(value))
        : whyNotFinite(range);
      if (reason !== undefined) unfit.set(value, reason);
    }
    if (unfit.size + apart.size > before) continue;
    const own = [...placement.activations].flatMap(([value, from]) =>
      from === undefined && !existing.activations.has(value) && !ranges.has(value) && !placement.limited.has(value)
        ? [value]
        : [],
    );
    if (own.length > 0) {
      const needed = neededInCodes(placement);
      for (const [value, { range, lost }] of await rangesOf(model, own, bitsOf, options, context)) {
        ranges.set(value, range);
        const kind = needed.has(value) ? "needed" : "free";
        const reason = whyUnfit(range, isProbabilities(value, inference) ? 0 : lost, kind, bitsOf(value));
        if (reason === undefined || (range.min > range.max && value.type?.dims?.includes(0))) continue;
        unfit.set(value, reason);
        if (isUnresolved(lost, kind)) unresolved.set(value, range);
        if (!(range.min > range.max) && !Number.isFinite(range.max - range.min))
          broken ??= notFinite(value.name, range);
      }
    }
    for (const [node, reason] of unevenJoins(placement, inference, ranges, existing)) apart.set(node, reason);
    if (unfit.size + apart.size > before) continue;
    if (placement.targets.length === 0 && broken !== undefined) throw broken;
    reportUnresolved(unresolved, options, context);
    return withoutClamps(placement, scalesOf(placement, inference, ranges, options, existing), inference);
  }
}

/** What layers on integers read, or cannot but give, as codes. */
function neededInCodes({ targets, activations }: Placement): ReadonlySet<Value> {
  return new Set(
    targets.flatMap(({ data, layer, rule }) => [
      rootOf(data, activations),
      ...(rule.floatResult === true ? [] : layer.node.outputs.flatMap((output) => output ?? [])),
    ]),
  );
}

/** The value whose scale a value has. */
function rootOf(value: Value, activations: Placement["activations"]): Value {
  const from = activations.get(value);
  return from === undefined ? value : rootOf(from, activations);
}

/**
 * A clamp to [l, h] before codes is not needed where these end at its bounds, as they saturate: no more than half a step beyond, by which
 * the rounding of a zero point moves them,
 *
 *     l / scale + zero point - least code ≤ 1/2, largest code - (h / scale + zero point) ≤ 1/2
 *
 * and nothing reads its numbers but as these codes.
 */
function withoutClamps(
  placement: Placement,
  scales: ReadonlyMap<Value, ScaledType>,
  inference: Inference,
): MeasuredPlacement {
  const activations = new Map(placement.activations);
  const clamps: Node[] = [];
  const { unrounded } = placement;
  const codesOf = new Map<Value, ScaledType | undefined>();
  // Of several in a row the codes behind the last count.
  for (const [input, output] of [...placement.limited].toReversed()) {
    const { producer: clamp } = output;
    const bound = clamp === undefined ? undefined : inference.at(clamp);
    const rule = bound === undefined || bound instanceof Miss ? bound : bound.quantize();
    const codes = codesOf.get(output) ?? scales.get(output);
    if (clamp === undefined || codes === undefined || [...output.uses].some(({ node }) => unrounded.has(node)))
      continue;
    if (rule === undefined || rule instanceof Miss || rule.kind !== "clamp" || !saturates(rule, codes)) continue;
    activations.delete(input);
    clamps.unshift(clamp);
    codesOf.set(input, codes);
  }
  return { placement: { ...placement, activations }, scales, clamps };
}

/** With what the rounding of a scale to float32 adds. */
const halfStep = 0.5 + 1e-3;

function saturates(
  { low, high }: { readonly low: number | undefined; readonly high: number | undefined },
  { type, scale, zeroPoint }: ScaledType,
): boolean {
  const codes = fullRange(type);
  const codeOf = (bound: number): number => bound / scale + zeroPoint;
  return (
    (low === undefined || codeOf(low) <= codes.low + halfStep) &&
    (high === undefined || codeOf(high) >= codes.high - halfStep)
  );
}

/** Of the 8 bits of a joint scale each part must keep six, so that an error of half a step is below a hundredth of its range. */
const mostUneven = 4;
/** Of 8 bits. */
const steps = 255;

/**
 * Operators that put numbers side by side under one scale, which leaves too few steps to those of the smallest range: the scores beside the boxes
 * of a detector. What a layer reads has one scale in any case.
 */
function unevenJoins(
  { operators, activations, targets }: Placement,
  inference: Inference,
  ranges: ReadonlyMap<Value, ValueRange>,
  { activations: learned }: ModelRoundings,
): readonly (readonly [Node, string])[] {
  const widthOf = (value: Value): number => {
    const root = rootOf(value, activations);
    const own = learned.get(root);
    if (own !== undefined) return own.scale * steps;
    const { min, max } = ranges.get(root) ?? { min: 0, max: 0 };
    return Math.max(max, 0) - Math.min(min, 0);
  };
  const read = new Set(targets.map(({ data }) => rootOf(data, activations)));
  return operators.flatMap((node) => {
    const bound = inference.at(node);
    const rule = bound instanceof Miss ? bound : bound.quantize();
    const [output] = node.outputs;
    if (rule instanceof Miss || rule.kind !== "activation" || rule.joins !== true) return [];
    if (output === undefined || read.has(rootOf(output, activations))) return [];
    const widths = node.inputs
      .flatMap((input) => (input === undefined ? [] : widthOf(input)))
      .filter((width) => width > 0);
    const [least, most] = [Math.min(...widths), Math.max(...widths)];
    if (widths.length < 2 || most <= mostUneven * least) return [];
    return [
      [
        node,
        `stays in float: it concatenates ranges of ${short(least)} and ${short(most)}, and one scale would not resolve both`,
      ],
    ];
  });
}

function isProbabilities({ producer }: Value, inference: Inference): boolean {
  const bound = producer === undefined ? undefined : inference.at(producer);
  return bound !== undefined && !(bound instanceof Miss) && bound.distribution()?.form === "probabilities";
}

/** How every quantized activation is rounded: by its own range, or as the value that it shares a scale with. */
function scalesOf(
  placement: Placement,
  inference: Inference,
  ranges: ReadonlyMap<Value, ValueRange>,
  options: MeasureOptions,
  existing: ModelRoundings,
): ReadonlyMap<Value, ScaledType> {
  const { activations, limited } = placement;
  const types = typesOf(placement, options);
  const unlimited = new Map([...limited].map(([input, output]) => [output, input]));
  const scales = new Map<Value, ScaledType>();
  const scaleOf = (value: Value): ScaledType => {
    const known = scales.get(value);
    if (known !== undefined) return known;
    const from = activations.get(value);
    const type = types.get(value) ?? options.activations;
    const output = existing.activations.has(value) ? undefined : limited.get(value);
    const found =
      from !== undefined
        ? scaleOf(from)
        : output !== undefined
          ? { ...scaleOf(output) }
          : { type, ...ownScale(value, type) };
    scales.set(value, found);
    return found;
  };
  /** What a value is before clamps, which may vanish: the kernel that computes it rounds it as their output is rounded. */
  const computed = (value: Value): Value => {
    const input = unlimited.get(value);
    return input === undefined ? value : computed(input);
  };
  const ownScale = (value: Value, type: ActivationType): ScaleAndZeroPoint => {
    const { low, high } = fullRange(type);
    const found = existing.activations.get(value);
    if (found !== undefined) return { scale: found.scale, zeroPoint: low - found.low };
    const measured = ranges.get(value);
    // Nothing to round takes any range.
    const { min, max } = measured === undefined || measured.min > measured.max ? { min: 0, max: 0 } : measured;
    const { producer } = computed(value);
    const bound = producer === undefined ? undefined : inference.at(producer);
    const setting = { type, symmetric: options.symmetric ?? false };
    if (bound === undefined || bound instanceof Miss) return scaleAndZeroPoint(min, max, setting);
    // Where the next layer rounds probabilities, ONNX Runtime computes them on integers, and is right over this range alone.
    if (isProbabilities(computed(value), inference)) return scaleAndZeroPoint(0, 1, { type, symmetric: false });
    const [input] = producer?.inputs ?? [];
    const rule = bound.quantize();
    const finest = rule instanceof Miss || rule.kind !== "activation" ? undefined : rule.finest;
    if (finest === undefined || input === undefined || !activations.has(input))
      return scaleAndZeroPoint(min, max, setting);
    return scaleAndZeroPoint(min, max, { ...setting, minimumRange: scaleOf(input).scale * finest * (high - low) });
  };
  for (const value of activations.keys()) scaleOf(value);
  return scales;
}

/** Types of activations that have a scale of their own: the widest that a layer beside them asks for, else the one of what an operator reads. */
function typesOf(
  { targets, operators, activations, limited }: Placement,
  options: MeasureOptions,
): ReadonlyMap<Value, ActivationType> {
  const types = new Map<Value, ActivationType>();
  const rootOf = (value: Value): Value => {
    const from = activations.get(value) ?? limited.get(value);
    return from === undefined ? value : rootOf(from);
  };
  const ask = (value: Value | undefined, type: ActivationType | undefined): void => {
    if (value === undefined || type === undefined) return;
    const root = rootOf(value);
    const known = types.get(root);
    if (known === undefined || (isWide(type) && !isWide(known))) types.set(root, type);
  };
  for (const { layer, data } of targets) {
    const { activations: type } = ownOptions(options, layer).own;
    for (const value of [data, ...layer.node.outputs]) ask(value, type);
  }
  for (const { inputs, outputs } of operators) {
    const read = inputs.flatMap((value) => (value === undefined ? [] : (types.get(rootOf(value)) ?? [])));
    for (const output of outputs)
      if (output !== undefined && !types.has(rootOf(output))) ask(output, read.find(isWide) ?? read[0]);
  }
  return types;
}

/** Samples on which it is counted what rounding would lose: it shows in few. */
const countedSamples = 16;

/** Samples of which each moves the average once. */
const averagedSamples = 16;

interface Measured {
  readonly range: ValueRange;
  /** The share of its smaller numbers that rounding over this range would lose. */
  readonly lost: number;
}

/** The range of each value over the samples. */
async function rangesOf(
  model: Model,
  values: readonly Value[],
  bitsOf: (value: Value) => number,
  { data, samples, ranges: method = "min-max" }: MeasureOptions,
  { engine, seed, signal, progress }: Context,
): Promise<ReadonlyMap<Value, Measured>> {
  if (data === undefined) throw missingData("quantize");
  const names = values.map((value) => value.name);
  const order = { ...(isIndexed(data) ? { shuffle: seed } : {}), signal };
  const bits = new Map(values.map((value) => [value.name, bitsOf(value)]));
  const found = new Map<string, Measured>();
  const all = { ...order, samples, progress };
  if (method === "min-max" || method === "average") {
    const [statistic, batch] = method === "average" ? [averageRange, { batch: averagedSamples }] : [valueRange, {}];
    const ranges = await observeWithStates(engine, model, data, names, statistic, { ...all, ...batch });
    const countable = names.filter((name) => isCountable(ranges.get(name)));
    const few = { ...order, samples: Math.min(countedSamples, samples) };
    const losing = (name: string): Statistic<number> => shareLost(ranges.get(name) ?? nothing, bits.get(name) ?? 8);
    const lost = await observe(engine, model, data, countable, losing, few);
    for (const [name, range] of ranges) found.set(name, { range, lost: lost.get(name) ?? 0 });
  } else {
    const seen = await observeWithStates(engine, model, data, names, histogram, all);
    for (const [name, own] of seen) {
      const range = isCountable(own) ? clippedBy[method](own) : own;
      found.set(name, { range, lost: isCountable(own) ? lostOf(own, range, bits.get(name) ?? 8) : 0 });
    }
  }
  return new Map(values.map((value) => [value, found.get(value.name) ?? { range: nothing, lost: 0 }]));
}

const nothing: ValueRange = { min: 0, max: 0 };

function isCountable({ min, max }: ValueRange = nothing): boolean {
  return Number.isFinite(max - min) && (min < 0 || max > 0);
}

export function missingData(owner: "quantize" | "fake-quantize"): PithError {
  return new PithError(
    "E_OPTION",
    `${owner}: "data": the static scheme measures ranges on data, but no data is given.`,
    {
      hint: `Pass a data set, or choose another scheme: "weights"${owner === "quantize" ? ' and "dynamic" need' : " needs"} none.`,
    },
  );
}
