/** Decides for static quantization which nodes compute in integers, and the scale of each activation, by ranges measured on samples. */
import { excludesNode, type Inference, type Layer, optionsOfLayer, type Selection } from "#analysis";
import { Miss, type Node, type PithError, type Value } from "#ir";
import type { Dataset } from "../../data/index.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";
import { notFiniteError, type ValueRange } from "../calibrate/observe.ts";
import { fullRange, type ScaleAndZeroPoint, scaleAndZeroPoint } from "../shared/affine-codes.ts";
import type { ModelRoundings } from "./fake-rounding.ts";
import { type Placement, placeQuantization } from "./placement.ts";
import { ruleOf } from "./quantizable.ts";
import { channelRanges } from "./quantize-tensor.ts";
import { measureRanges } from "./ranges.ts";
import {
  explainNotFinite,
  explainUnfitRange,
  formatNumber,
  isUnresolved,
  measureNoise,
  reportUnresolved,
} from "./resolution.ts";
import { type ActivationType, isWide, type StaticSettings } from "./settings.ts";
import type { Rounding } from "./weights/rounding-source.ts";

export interface MeasureOptions extends Selection {
  readonly activations: ActivationType;
  readonly ranges?: StaticSettings["ranges"] | undefined;
  readonly data?: Dataset | undefined;
  readonly samples: number;
  readonly equalize?: boolean | undefined;
}

export interface ScaledType extends ScaleAndZeroPoint {
  readonly type: ActivationType;
}

export interface MeasuredPlacement {
  readonly placement: Placement;
  readonly scales: ReadonlyMap<Value, ScaledType>;
  /** Clamps to remove: their inputs use the grid of their outputs. */
  readonly clamps: readonly Node[];
}

/** Places and measures again without the values that no scale represents well. @throws PithError E_DATA for activations that are not finite. */
export async function placeWithScales(
  inference: Inference,
  selectedLayers: readonly Layer[],
  options: MeasureOptions,
  { model, context, existing }: Pick<Rounding, "model" | "context" | "existing">,
): Promise<MeasuredPlacement> {
  const unfit = new Map<Value, string>();
  const unresolvedRanges = new Map<Value, ValueRange>();
  const inFloat = new Map<Node, string>();
  for (const node of model.graph.nodes())
    if (excludesNode(options, node)) inFloat.set(node, "stays in float: excluded");
  const ranges = new Map<Value, ValueRange>();
  const checkedConstants = new Set<Value>();
  let firstError: PithError | undefined;
  for (;;) {
    const placement = placeQuantization(model, inference, selectedLayers, { unfit, inFloat });
    const rejectedCount = unfit.size + inFloat.size;
    const types = typesOf(placement, options);
    const bitsOf = (value: Value): number => (isWide(types.get(value) ?? options.activations) ? 16 : 8);
    const constants = [...placement.targets.flatMap(({ layer: { bias } }) => bias ?? []), ...placement.constants];
    for (const value of new Set(constants)) {
      if (checkedConstants.has(value)) continue;
      checkedConstants.add(value);
      const dense = await readStoredValue(model, value, context.engine);
      const { min, max } = channelRanges(dense, undefined);
      const range = { min: min[0] ?? 0, max: max[0] ?? 0 };
      // A bias is stored as int32, which resolves any range.
      const reason = placement.constants.has(value)
        ? explainUnfitRange(range, measureNoise(dense, range, bitsOf(value)), "needed", bitsOf(value))
        : explainNotFinite(range);
      if (reason !== undefined) unfit.set(value, reason);
      else ranges.set(value, range);
    }
    if (unfit.size + inFloat.size > rejectedCount) continue;
    const unmeasuredValues = [...placement.activations].flatMap(([value, from]) =>
      from === undefined && !existing.activations.has(value) && !ranges.has(value) && !placement.clamps.has(value)
        ? [value]
        : [],
    );
    if (unmeasuredValues.length > 0) {
      const neededValues = findNeededValues(placement);
      for (const [value, { range, noise }] of await measureRanges(model, unmeasuredValues, bitsOf, options, context)) {
        ranges.set(value, range);
        const kind = neededValues.has(value) ? "needed" : "free";
        const reason = explainUnfitRange(range, isProbabilities(value, inference) ? 0 : noise, kind, bitsOf(value));
        if (reason === undefined || (range.min > range.max && value.type?.dims?.includes(0))) continue;
        unfit.set(value, reason);
        if (isUnresolved(noise, kind)) unresolvedRanges.set(value, range);
        if (!(range.min > range.max) && !Number.isFinite(range.max - range.min))
          firstError ??= notFiniteError(value.name, range);
      }
    }
    const rangeOf = (value: Value): ValueRange => roundedRange(value, placement, ranges, existing);
    for (const [node, reason] of findUnevenJoins(placement, inference, rangeOf)) inFloat.set(node, reason);
    for (const [node, reason] of findCoarseFactors(placement, inference, rangeOf)) inFloat.set(node, reason);
    if (unfit.size + inFloat.size > rejectedCount) continue;
    if (placement.targets.length === 0 && firstError !== undefined) throw firstError;
    reportUnresolved(unresolvedRanges, options, context);
    return withoutClamps(placement, scalesOf(placement, inference, ranges, options, existing), inference);
  }
}

function findNeededValues({ targets, activations }: Placement): ReadonlySet<Value> {
  return new Set(
    targets.flatMap(({ data, layer, rule }) => [
      rootOf(data, activations),
      ...(rule.floatResult === true ? [] : layer.node.outputs.flatMap((output) => output ?? [])),
    ]),
  );
}

function rootOf(value: Value, activations: Placement["activations"]): Value {
  const from = activations.get(value);
  return from === undefined ? value : rootOf(from, activations);
}

/**
 * Finds clamps to [l, h] that quantization makes redundant, because quantized values saturate at most half a step beyond the bounds:
 *
 *     l / scale + zero point - lowest ≤ 1/2,     highest - (h / scale + zero point) ≤ 1/2
 */
function withoutClamps(
  placement: Placement,
  scales: ReadonlyMap<Value, ScaledType>,
  inference: Inference,
): MeasuredPlacement {
  const activations = new Map(placement.activations);
  const clamps: Node[] = [];
  const { unrounded } = placement;
  const gridOf = new Map<Value, ScaledType | undefined>();
  // In a chain of clamps, the grid after the last one counts.
  for (const [input, output] of [...placement.clamps].toReversed()) {
    const { producer: clamp } = output;
    const rule = ruleOf(clamp, inference);
    const grid = gridOf.get(output) ?? scales.get(output);
    if (clamp === undefined || grid === undefined || rule?.kind !== "clamp" || !saturates(rule, grid)) continue;
    if ([...output.uses].some(({ node }) => unrounded.has(node))) continue;
    activations.delete(input);
    clamps.unshift(clamp);
    gridOf.set(input, grid);
  }
  return { placement: { ...placement, activations }, scales, clamps };
}

/** Half a step, and the error of rounding a scale to float32. */
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

/** Maximum ratio of joined ranges: each input then keeps 6 of the 8 bits. */
const maxRatio = 4;
const steps = 255;

/** Returns the range that the quantized values of a value cover. */
function roundedRange(
  value: Value,
  { activations, clamps }: Placement,
  ranges: ReadonlyMap<Value, ValueRange>,
  { activations: learnedRoundings }: ModelRoundings,
): ValueRange {
  const root = rootOf(value, activations);
  const rounding = learnedRoundings.get(root);
  if (rounding !== undefined) {
    const { low, scale } = rounding;
    return { min: low * scale, max: (low + steps) * scale };
  }
  const { min, max } = ranges.get(clamps.get(root) ?? root) ?? { min: 0, max: 0 };
  return { min: Math.min(min, 0), max: Math.max(max, 0) };
}

const widthOf = ({ min, max }: ValueRange): number => max - min;

/** Finds operators that join values of very different ranges under one scale, such as scores and boxes. */
function findUnevenJoins(
  { operators, activations, targets }: Placement,
  inference: Inference,
  rangeOf: (value: Value) => ValueRange,
): readonly (readonly [Node, string])[] {
  const layerInputs = new Set(targets.map(({ data }) => rootOf(data, activations)));
  return operators.flatMap((node) => {
    const rule = ruleOf(node, inference);
    const [output] = node.outputs;
    if (rule?.kind !== "activation" || rule.joins !== true) return [];
    if (output === undefined || layerInputs.has(rootOf(output, activations))) return [];
    const widths = node.inputs
      .flatMap((input) => (input === undefined ? [] : widthOf(rangeOf(input))))
      .filter((width) => width > 0);
    const [narrow, wide] = [Math.min(...widths), Math.max(...widths)];
    if (widths.length < 2 || wide <= maxRatio * narrow) return [];
    const ranges = `${formatNumber(narrow)} and ${formatNumber(wide)}`;
    return [[node, `stays in float: it concatenates ranges of ${ranges}, and one scale would not resolve both`]];
  });
}

/**
 * Finds operators that multiply an activation x by stored factors f, if rounding the factors changes the product y more than rounding y does:
 *
 *     largest |x| · width of f > maxRatio · width of y
 */
function findCoarseFactors(
  { operators, constants }: Placement,
  inference: Inference,
  rangeOf: (value: Value) => ValueRange,
): readonly (readonly [Node, string])[] {
  const magnitudeOf = (value: Value): number => {
    const { min, max } = rangeOf(value);
    return constants.has(value) ? max - min : Math.max(-min, max);
  };
  return operators.flatMap((node) => {
    const [output] = node.outputs;
    const bound = inference.at(node);
    const products = (bound instanceof Miss ? undefined : bound.homogeneous()?.products) ?? [];
    const isCoarse = products.some((product) => {
      const operands = product.flatMap((index) => node.inputs[index] ?? []);
      const change = operands.reduce((all, operand) => all * magnitudeOf(operand), 1);
      const isScaled = operands.length > 1 && operands.some((operand) => constants.has(operand));
      return isScaled && output !== undefined && change > maxRatio * widthOf(rangeOf(output));
    });
    return isCoarse ? [[node, "stays in float: one scale would not resolve its stored factors"] as const] : [];
  });
}

function isProbabilities({ producer }: Value, inference: Inference): boolean {
  const bound = producer === undefined ? undefined : inference.at(producer);
  return bound !== undefined && !(bound instanceof Miss) && bound.distribution()?.form === "probabilities";
}

function scalesOf(
  placement: Placement,
  inference: Inference,
  ranges: ReadonlyMap<Value, ValueRange>,
  options: MeasureOptions,
  existing: ModelRoundings,
): ReadonlyMap<Value, ScaledType> {
  const { activations, clamps } = placement;
  const types = typesOf(placement, options);
  const clampInputs = new Map([...clamps].map(([input, output]) => [output, input]));
  const scales = new Map<Value, ScaledType>();
  const scaleOf = (value: Value): ScaledType => {
    const cachedScale = scales.get(value);
    if (cachedScale !== undefined) return cachedScale;
    const from = activations.get(value);
    const type = types.get(value) ?? options.activations;
    const output = existing.activations.has(value) ? undefined : clamps.get(value);
    const scale =
      from !== undefined
        ? scaleOf(from)
        : output !== undefined
          ? { ...scaleOf(output) }
          : { type, ...separateScale(value, type) };
    scales.set(value, scale);
    return scale;
  };
  /** Skips clamps, which can be removed: the kernel that computes the value uses the grid of the clamp's output. */
  const skipClamps = (value: Value): Value => {
    const input = clampInputs.get(value);
    return input === undefined ? value : skipClamps(input);
  };
  const separateScale = (value: Value, type: ActivationType): ScaleAndZeroPoint => {
    const { low, high } = fullRange(type);
    const learnedRounding = existing.activations.get(value);
    if (learnedRounding !== undefined) return { scale: learnedRounding.scale, zeroPoint: low - learnedRounding.low };
    const measured = ranges.get(value);
    // An empty tensor has no range.
    const { min, max } = measured === undefined || measured.min > measured.max ? { min: 0, max: 0 } : measured;
    const { producer } = skipClamps(value);
    const setting = { type, symmetric: false };
    if (isProbabilities(skipClamps(value), inference)) return scaleAndZeroPoint(0, 1, setting);
    const [input] = producer?.inputs ?? [];
    const rule = ruleOf(producer, inference);
    const finest = rule?.kind === "activation" ? rule.finest : undefined;
    if (finest === undefined || input === undefined || !activations.has(input))
      return scaleAndZeroPoint(min, max, setting);
    return scaleAndZeroPoint(min, max, { ...setting, minimumRange: scaleOf(input).scale * finest * (high - low) });
  };
  for (const value of activations.keys()) scaleOf(value);
  return scales;
}

/** Returns the types of activations with separate scales. */
function typesOf(
  { targets, operators, activations, clamps }: Placement,
  options: MeasureOptions,
): ReadonlyMap<Value, ActivationType> {
  const types = new Map<Value, ActivationType>();
  const rootOf = (value: Value): Value => {
    const from = activations.get(value) ?? clamps.get(value);
    return from === undefined ? value : rootOf(from);
  };
  const requestType = (value: Value | undefined, type: ActivationType | undefined): void => {
    if (value === undefined || type === undefined) return;
    const root = rootOf(value);
    const requestedType = types.get(root);
    if (requestedType === undefined || (isWide(type) && !isWide(requestedType))) types.set(root, type);
  };
  for (const { layer, data } of targets) {
    const { activations: type } = optionsOfLayer(options, layer).options;
    for (const value of [data, ...layer.node.outputs]) requestType(value, type);
  }
  for (const { inputs, outputs } of operators) {
    const inputTypes = inputs.flatMap((value) => (value === undefined ? [] : (types.get(rootOf(value)) ?? [])));
    for (const output of outputs)
      if (output !== undefined && !types.has(rootOf(output)))
        requestType(output, inputTypes.find(isWide) ?? inputTypes[0]);
  }
  return types;
}
