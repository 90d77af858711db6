/**
 * Precision fallback: keeps as few layers as possible at higher precision, so that a step meets its goal.
 *
 * 1. Measures each layer's share of the output error with only that layer quantized. With b more bits, 4⁻ᵇ of this error remains.
 * 2. Orders the steps of layers to higher-precision formats by error reduction per byte.
 * 3. Predicts how many steps meet the goal: the measured loss is about proportional to the error. Each attempt corrects the prediction.
 */
import { allLayers, infer, isStored } from "#analysis";
import {
  counted,
  elementCount,
  encodedSize,
  fixedDims,
  Miss,
  type Model,
  throwIfAborted,
  usedValues,
  type Value,
} from "#ir";
import { type AnyPass, type Context, type OptionValues, quantizedKind } from "#pass";
import type { Dataset } from "../../data/index.ts";
import type { Blame } from "../../runtime/noise/layer-errors.ts";
import { whyNotSmaller } from "../measure/improvement.ts";
import type { StepOutput } from "../steps/runner.ts";
import { type ErrorEstimates, estimateErrors } from "./layer-table.ts";
import type { FallbackAttempt, PreciseLayer, PrecisionFallback } from "./precise-layers.ts";
import { formatPrecision, formatSettings, precisionReason } from "./precise-layers.ts";

export interface FallbackJudge {
  readonly samples: Dataset | undefined;
  measure(model: Model): Promise<FallbackVerdict>;
}

export interface FallbackVerdict {
  /** "barely": the estimate meets the goal, but by so little that the result can miss it on other samples. */
  readonly met: "clearly" | "barely" | "no";
  /** "0.4 points lost". */
  readonly text: string;
  /** Measured loss divided by the allowed loss; undefined if losses have no ratio. */
  readonly lossRatio?: number | undefined;
}

export interface FallbackRequest {
  readonly pass: AnyPass;
  readonly options: OptionValues;
  readonly original: Model;
  readonly requestedOutput: StepOutput;
  /** Runs the step (or another pass) with other options on a copy of the original. */
  run(options: OptionValues, pass?: AnyPass): Promise<StepOutput>;
  readonly search: FallbackJudge;
  readonly output: string | undefined;
  /** Number of samples on which both models ran before, which limits the search for the layers with the largest error. */
  readonly evaluated?: number | undefined;
  /** Loss of the requested output, as `FallbackVerdict.lossRatio`. */
  readonly lossRatio?: number | undefined;
}

/** Reason why no layers at higher precision meet the goal, and the layers with the largest error. */
export class FailedFallback extends Miss {
  readonly blamed: Blame | undefined;

  constructor(reason: string, blamed: Blame | undefined) {
    super(reason);
    this.blamed = blamed;
  }
}

const maxAttempts = { layers: 6, settings: 2 };

type FallbackOutput = Pick<FallbackRequest, "options"> & {
  readonly output: StepOutput;
  readonly fallback: PrecisionFallback;
};

/** @returns a Miss if nothing smaller than the original meets the goal. */
export async function findFallback(request: FallbackRequest, context: Context): Promise<FallbackOutput | Miss> {
  const { pass, options } = request;
  const settings = pass.fallbackSettings?.(options) ?? [];
  const errors = settingErrors(settings);
  const { best, attempts } = await tryOptions(request, context, errors, maxAttempts.settings, (count) => {
    const setting = settings[count - 1] ?? {};
    return { options: { ...options, ...setting }, text: formatSettings(setting) };
  });
  if (best?.met !== "clearly") return findPreciseLayers(request, context);
  const { count, ...result } = best.result;
  return { ...result, fallback: { settings: settings[count - 1] ?? {}, preciseLayers: [], attempts } };
}

/** Returns squared errors relative to the requested setting: neighbors differ by at most √2, many settings by less, so that none is below `minError`. */
export const settingErrors = (settings: readonly OptionValues[]): readonly number[] =>
  [{}, ...settings].map((_, index) => Math.max(Math.SQRT1_2, minError ** (1 / settings.length)) ** index);

async function tryOptions(
  { original, run, search, lossRatio }: FallbackRequest,
  { progress, signal }: Context,
  errors: readonly number[],
  limit: number,
  optionsOf: (count: number) => { readonly options: OptionValues; readonly text: string; readonly layers?: number },
) {
  const attempts: FallbackAttempt[] = [];
  const best = await findCount(errors, lossRatio, limit, async (count) => {
    throwIfAborted(signal, "Stopped while higher precision was searched.");
    const { options, text, ...attempt } = optionsOf(count);
    progress(attempts.length, limit, `attempt ${attempts.length + 1} of ${limit}: ${text}`);
    const output = await run(options);
    if ((await whyNotSmaller(original, output.model)) !== undefined) return undefined;
    const verdict = await search.measure(output.model);
    attempts.push({ ...attempt, found: verdict.text });
    return { ...verdict, result: { output, options, count } };
  });
  return { best, attempts };
}

type Trial<T> = Pick<FallbackVerdict, "met" | "lossRatio"> & { readonly result: T };

/** A smaller error is not measurable. */
const minError = 1e-3;

/**
 * Finds the lowest count that clearly meets the goal, in few attempts. The loss is assumed to be a power of the error.
 * @param errors the relative error after 0, 1, 2 … steps, in descending order. @param lossRatio the loss after 0 steps.
 * @returns if no tried count clearly meets the goal, one that barely does.
 */
export async function findCount<T>(
  errors: readonly number[],
  lossRatio: number | undefined,
  attempts: number,
  attempt: (count: number) => Promise<Trial<T> | undefined>,
): Promise<Trial<T> | undefined> {
  const pointOf = (count: number, lossRatio: number | undefined) => ({
    count,
    error: Math.log(Math.max(minError, errors[Math.min(count, errors.length - 1)] ?? 0)),
    loss: Math.log(lossRatio ?? Number.NaN),
  });
  let [missing, before] = [pointOf(0, lossRatio), pointOf(0, undefined)];
  let meeting = pointOf(errors.length, undefined);
  let best: Trial<T> | undefined;
  for (let round = 0; round < attempts && meeting.count - missing.count > 1; round++) {
    const middle = (missing.error + meeting.error) / 2;
    const other = Number.isNaN(meeting.loss) ? before : meeting;
    const power = (missing.loss - other.loss) / (missing.error - other.error);
    const predictedError = missing.error - missing.loss / (power > 0 && Number.isFinite(power) ? power : 1);
    // The last attempts halve the interval, because predictions can approach the goal from one side only.
    const target = Number.isNaN(predictedError) || (round > 2 && best?.met === "clearly") ? middle : predictedError;
    const reached = errors.findIndex((_, count) => pointOf(count, undefined).error <= target);
    const count = Math.max(missing.count + 1, Math.min(meeting.count - 1, reached < 0 ? errors.length : reached));
    const trial = await attempt(count);
    const point = pointOf(count, trial?.lossRatio);
    // A count that cannot be tried bounds the search, as one that meets the goal does.
    if (trial === undefined || trial.met === "clearly") meeting = point;
    else [missing, before] = [point, missing];
    if (trial?.met === "clearly" || (trial?.met === "barely" && best?.met !== "clearly")) best = trial;
  }
  return best;
}

async function findPreciseLayers(request: FallbackRequest, context: Context): Promise<FallbackOutput | Miss> {
  const { original, requestedOutput, options } = request;
  const { steps, rows, blamed } = await rankPrecisionSteps(request, context);
  if (steps.length === 0) return new FailedFallback("none of its layers has a higher-precision form", blamed);
  const useful = countUsefulSteps(steps);
  let spareBytes = (await encodedSize(original)) - (await encodedSize(requestedOutput.model));
  const smaller = countUntil(steps, ({ bytes }) => {
    spareBytes -= bytes;
    return spareBytes < 0;
  });
  // One move more than estimated is tried, because the estimate can be too low.
  const errors = remainingErrors(steps).slice(0, Math.min(smaller + 1, useful) + 1);
  const { best, attempts } = await tryOptions(request, context, errors, maxAttempts.layers, (count) => {
    const chosen = steps.slice(0, count);
    const layers = layersOf(chosen).length;
    return { options: setPrecision(options, chosen), text: `${counted(layers, "layer")} at higher precision`, layers };
  });
  if (best === undefined) {
    const { layers = 0, found } = attempts.at(-1) ?? {};
    const lastText = found === undefined ? "" : `with ${counted(layers, "layer")} at higher precision ${found}`;
    const nextForm = formatPrecision(steps[0]?.precision);
    const reason =
      useful < smaller && attempts.length > 0
        ? `most weights would need ${nextForm} (${lastText}): use ${nextForm} for all layers`
        : `no choice of layers keeps the goal and makes the file smaller${lastText && `: ${lastText}`}`;
    return new FailedFallback(reason, blamed);
  }
  const { output, options: chosenOptions, count } = best.result;
  const [before, after] = [requestedOutput, output].map(({ model }) => bytesOfLayers(model));
  const preciseLayers = layersOf(steps.slice(0, count)).map((layer) => ({
    layer,
    bits: output.changes.findLast(({ at, kind }) => at === layer && kind === quantizedKind)?.bits,
    share: rows.get(layer)?.share,
    bytes: (after?.get(layer) ?? 0) - (before?.get(layer) ?? 0),
  }));
  return { output: addReasons(output, preciseLayers), options: chosenOptions, fallback: { preciseLayers, attempts } };
}

/** With fewer layers at higher precision, the next precision for all layers makes a clearly larger file. */
const minLayers = 3;

/** Returns the number of first steps after which most layers, or most weights, still have the requested precision. */
function countUsefulSteps(steps: readonly PrecisionStep[]): number {
  const weightsOf = new Map(steps.map(({ layer, weights }) => [layer, weights]));
  const halfOfWeights = [...weightsOf.values()].reduce((sum, weights) => sum + weights, 0) / 2;
  const precise = new Set<string>();
  let preciseWeights = 0;
  return countUntil(steps, ({ layer, weights }) => {
    preciseWeights += precise.has(layer) ? 0 : weights;
    return precise.add(layer).size >= Math.max(minLayers, weightsOf.size / 2) && preciseWeights > halfOfWeights;
  });
}

function countUntil<T>(items: readonly T[], isReached: (item: T) => boolean): number {
  const index = items.findIndex(isReached);
  return index < 0 ? items.length : index;
}

const layersOf = (steps: readonly PrecisionStep[]): readonly string[] => [...new Set(steps.map(({ layer }) => layer))];

interface PrecisionStep {
  readonly layer: string;
  readonly precision: OptionValues;
  readonly weights: number;
  readonly removedError: number;
  readonly bytes: number;
}

const floatBits = 32;
/** Added to the cost of a step, for the overhead of a separate format. Without it, tiny layers would seem nearly free. */
const overheadBytes = 256;

async function rankPrecisionSteps(
  request: FallbackRequest,
  context: Context,
): Promise<ErrorEstimates & { readonly steps: readonly PrecisionStep[] }> {
  const { pass, options, original, requestedOutput, search } = request;
  const formsByLayer = new Map(
    requestedOutput.changes.flatMap((change) => {
      const forms = pass.fallbackOverrides?.(options, change) ?? [];
      return forms.length === 0 ? [] : [[change.at, { forms, requestedBits: change.bits ?? 0 }] as const];
    }),
  );
  const table = await estimateErrors({ ...request, samples: search.samples }, new Set(formsByLayer.keys()), context);
  const originalLayers = new Map(allLayers(original, infer(original)).map((layer) => [layer.name, layer]));
  const steps = [...formsByLayer].flatMap(([layer, { forms, requestedBits }]) => {
    const weights = elementCount(fixedDims(originalLayers.get(layer)?.effective.type?.dims) ?? [0]);
    const remainingShare = (bits: number): number => (bits === floatBits ? 0 : 4 ** (requestedBits - bits));
    let before = requestedBits;
    return forms.map((precision): PrecisionStep => {
      const after = typeof precision.bits === "number" ? precision.bits : floatBits;
      const bytes = (weights * (after - before)) / 8;
      const removedError = (remainingShare(before) - remainingShare(after)) * (table.rows.get(layer)?.estimate ?? 0);
      before = after;
      return { layer, precision, weights, bytes, removedError };
    });
  });
  const gainOf = ({ removedError, bytes }: PrecisionStep): number => removedError / (overheadBytes + bytes);
  return { ...table, steps: steps.toSorted((a, b) => gainOf(b) - gainOf(a)) };
}

/** Returns the output error that remains after the first 0, 1, 2 … steps, relative to the error of the requested output. */
function remainingErrors(steps: readonly PrecisionStep[]): readonly number[] {
  const errors = [0];
  for (const { removedError } of steps.toReversed())
    errors.push((errors.at(-1) ?? 0) + Math.min(removedError, maxError));
  return errors.toReversed().map((error) => error / (errors.at(-1) || 1));
}

/** Upper limit of a layer's error in sums, because outputs that are not finite have an infinite error. */
const maxError = 1e9;

export function setPrecision(
  options: OptionValues,
  steps: readonly Pick<PrecisionStep, "layer" | "precision">[],
): OptionValues {
  const overrides = new Map<string, object>(Object.entries(Object(options.overrides)));
  for (const { layer, precision } of steps) {
    const override = overrides.get(layer);
    // The last matching pattern has precedence, so the override must be the last entry.
    overrides.delete(layer);
    overrides.set(layer, { ...override, ...precision });
  }
  return { ...options, overrides: Object.fromEntries(overrides) };
}

export function bytesOfLayers(model: Model): ReadonlyMap<string, number> {
  return new Map(
    allLayers(model, infer(model)).map(({ name, node, effective }) => {
      const storedValues = new Set<Value>();
      const pendingValues = [effective, ...node.inputs].filter((value) => value !== undefined && isStored(value));
      for (let value = pendingValues.pop(); value !== undefined; value = pendingValues.pop()) {
        if (storedValues.has(value)) continue;
        storedValues.add(value);
        if (value.producer !== undefined) pendingValues.push(...usedValues(value.producer));
      }
      return [name, [...storedValues].reduce((sum, { tensor }) => sum + (tensor?.bytes ?? 0), 0)] as const;
    }),
  );
}

function addReasons<M extends StepOutput>(output: M, preciseLayers: readonly PreciseLayer[]): M {
  const reasons = new Map(preciseLayers.map((one) => [one.layer, precisionReason(one)]));
  const changes = output.changes.map((change) => {
    const reason = change.kind === quantizedKind ? reasons.get(change.at) : undefined;
    return reason === undefined ? change : { ...change, what: `${change.what}; ${reason}` };
  });
  const misses = output.misses.map((miss) => {
    const reason = reasons.get(miss.at ?? "");
    return reason === undefined ? miss : { ...miss, reason: `kept in float; ${reason}` };
  });
  return { ...output, changes, misses };
}
