/** Scales of activations: learned with the model, or from ranges measured on data. What no scale suits stays in float. */
import type { Inference } from "../analysis/infer.ts";
import type { Layer } from "../analysis/layers.ts";
import { measureRanges, notFinite, observe, type ValueRange } from "../calibrate/observe.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { type Dataset, isIndexed } from "../data/index.ts";
import { Miss, PithError } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { channelRanges, fullRange, type ScaleAndZeroPoint, scaleAndZeroPoint } from "../math/index.ts";
import type { Context } from "../passes/pass.ts";
import { readStoredValue } from "../passes/stored.ts";
import type { ModelRoundings } from "./model-roundings.ts";
import { type Placement, place } from "./placement.ts";
import { lostAmong, shareLost, short, whyNotFinite, whyUnfit } from "./resolution.ts";

export interface MeasureOptions {
  readonly activations: "uint8" | "int8";
  readonly data?: Dataset | undefined;
  readonly samples: number;
}

/** Where integers go among these layers, and the scales of activations there. */
export interface Measured {
  readonly placement: Placement;
  readonly scales: ReadonlyMap<Value, ScaleAndZeroPoint>;
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
): Promise<Measured> {
  const unfit = new Map<Value, string>();
  const apart = new Map<Node, string>();
  const ranges = new Map<Value, ValueRange>();
  const stored = new Set<Value>();
  let broken: PithError | undefined;
  for (;;) {
    const placement = place(model, inference, chosen, unfit, apart);
    const before = unfit.size + apart.size;
    const constants = [...placement.targets.flatMap(({ layer: { bias } }) => bias ?? []), ...placement.constants];
    for (const value of new Set(constants)) {
      if (stored.has(value)) continue;
      stored.add(value);
      const dense = await readStoredValue(model, value, context.engine);
      const { min, max } = channelRanges(dense, undefined);
      const range = { min: min[0] ?? 0, max: max[0] ?? 0 };
      // A bias is int32 with per-channel scales: neither huge nor tiny numbers take anything from the others.
      const reason = placement.constants.has(value) ? whyUnfit(range, lostAmong(dense, range)) : whyNotFinite(range);
      if (reason !== undefined) unfit.set(value, reason);
    }
    if (unfit.size + apart.size > before) continue;
    const own = [...placement.activations].flatMap(([value, from]) =>
      from === undefined && !existing.activations.has(value) && !ranges.has(value) ? [value] : [],
    );
    if (own.length > 0) {
      for (const [value, { range, lost }] of await rangesOf(model, own, options, context)) {
        ranges.set(value, range);
        const reason = whyUnfit(range, isProbabilities(value, inference) ? 0 : lost);
        if (reason === undefined || (range.min > range.max && value.type?.dims?.includes(0))) continue;
        unfit.set(value, reason);
        if (!(range.min > range.max) && !Number.isFinite(range.max - range.min))
          broken ??= notFinite(value.name, range);
      }
    }
    for (const [node, reason] of unevenJoins(placement, inference, ranges)) apart.set(node, reason);
    if (unfit.size + apart.size > before) continue;
    if (placement.targets.length === 0 && broken !== undefined) throw broken;
    return { placement, scales: scalesOf(placement, inference, ranges, options, existing) };
  }
}

/** Of the 8 bits of a joint scale each part must keep six, so that an error of half a step is below a hundredth of its range. */
const mostUneven = 4;

/**
 * Operators that put numbers side by side under one scale, which leaves too few steps to those of the smallest range: the scores beside the boxes
 * of a detector. What a layer reads has one scale in any case.
 */
function unevenJoins(
  { operators, activations, targets }: Placement,
  inference: Inference,
  ranges: ReadonlyMap<Value, ValueRange>,
): readonly (readonly [Node, string])[] {
  const rootOf = (value: Value): Value => {
    const from = activations.get(value);
    return from === undefined ? value : rootOf(from);
  };
  const widthOf = (value: Value): number => {
    const { min, max } = ranges.get(rootOf(value)) ?? { min: 0, max: 0 };
    return Math.max(max, 0) - Math.min(min, 0);
  };
  const read = new Set(targets.map(({ data }) => rootOf(data)));
  return operators.flatMap((node) => {
    const bound = inference.at(node);
    const rule = bound instanceof Miss ? bound : bound.quantize();
    const [output] = node.outputs;
    if (rule instanceof Miss || rule.kind !== "activation" || rule.joins !== true) return [];
    if (output === undefined || read.has(rootOf(output))) return [];
    const widths = node.inputs
      .flatMap((input) => (input === undefined ? [] : widthOf(input)))
      .filter((width) => width > 0);
    const [least, most] = [Math.min(...widths), Math.max(...widths)];
    if (widths.length < 2 || most <= mostUneven * least) return [];
    return [
      [
        node,
        `stays in float: it joins ranges of ${short(least)} and ${short(most)}, and one scale would not resolve both`,
      ],
    ];
  });
}

function isProbabilities({ producer }: Value, inference: Inference): boolean {
  const bound = producer === undefined ? undefined : inference.at(producer);
  return bound !== undefined && !(bound instanceof Miss) && bound.distribution()?.form === "probabilities";
}

/** Scale and zero point of every quantized activation, from its own range or that of the value it shares with. */
function scalesOf(
  { activations }: Placement,
  inference: Inference,
  ranges: ReadonlyMap<Value, ValueRange>,
  options: MeasureOptions,
  existing: ModelRoundings,
): ReadonlyMap<Value, ScaleAndZeroPoint> {
  const scales = new Map<Value, ScaleAndZeroPoint>();
  const scaleOf = (value: Value): ScaleAndZeroPoint => {
    const known = scales.get(value);
    if (known !== undefined) return known;
    const from = activations.get(value);
    const found = from === undefined ? ownScale(value) : scaleOf(from);
    scales.set(value, found);
    return found;
  };
  const ownScale = (value: Value): ScaleAndZeroPoint => {
    const found = existing.activations.get(value);
    if (found !== undefined) return { scale: found.scale, zeroPoint: fullRange(options.activations).low - found.low };
    const measured = ranges.get(value);
    // Nothing to round takes any range.
    const { min, max } = measured === undefined || measured.min > measured.max ? { min: 0, max: 0 } : measured;
    const bound = value.producer === undefined ? undefined : inference.at(value.producer);
    const setting = { type: options.activations, symmetric: false } as const;
    if (bound === undefined || bound instanceof Miss) return scaleAndZeroPoint(min, max, setting);
    // Where the next layer rounds probabilities, ONNX Runtime computes them on integers, and is right over this range alone.
    if (isProbabilities(value, inference)) return scaleAndZeroPoint(0, 1, setting);
    const [input] = value.producer?.inputs ?? [];
    const rule = bound.quantize();
    const finest = rule instanceof Miss || rule.kind !== "activation" ? undefined : rule.finest;
    if (finest === undefined || input === undefined || !activations.has(input))
      return scaleAndZeroPoint(min, max, setting);
    const { low, high } = fullRange(options.activations);
    return scaleAndZeroPoint(min, max, { ...setting, minimumRange: scaleOf(input).scale * finest * (high - low) });
  };
  for (const value of activations.keys()) scaleOf(value);
  return scales;
}

/** Samples on which it is counted what 8 bits would lose: it shows in few. */
const countedSamples = 16;

/** The range of each value over the samples, and which share of its smaller numbers 8 bits over that range would lose. */
async function rangesOf(
  model: Model,
  values: readonly Value[],
  { data, samples }: MeasureOptions,
  { engine, seed, signal, progress }: Context,
): Promise<ReadonlyMap<Value, { readonly range: ValueRange; readonly lost: number }>> {
  if (data === undefined) throw missingData("quantize");
  const order = { ...(isIndexed(data) ? { shuffle: seed } : {}), signal };
  const names = values.map((value) => value.name);
  const ranges = await measureRanges(engine, model, data, names, { ...order, samples, progress });
  const rangeOf = (name: string): ValueRange => ranges.get(name) ?? { min: 0, max: 0 };
  const countable = names.filter((name) => {
    const { min, max } = rangeOf(name);
    return Number.isFinite(max - min) && (min < 0 || max > 0);
  });
  const few = { ...order, samples: Math.min(countedSamples, samples) };
  const statistic = (name: string): Statistic<number> => shareLost(rangeOf(name));
  const lost = countable.length === 0 ? undefined : await observe(engine, model, data, countable, statistic, few);
  return new Map(values.map((value) => [value, { range: rangeOf(value.name), lost: lost?.get(value.name) ?? 0 }]));
}

export function missingData(owner: "quantize" | "fake-quantize"): PithError {
  return new PithError("E_OPTION", `${owner}: "data": the static scheme measures ranges on data, and got none.`, {
    hint: `Give a data set, or choose another scheme: "weights"${owner === "quantize" ? ' and "dynamic" need' : " needs"} none.`,
  });
}
