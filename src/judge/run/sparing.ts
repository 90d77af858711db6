/**
 * Precision fallback: keeps as few layers as possible at higher precision, so that a step meets its goal.
 *
 * 1. Measures each layer's share of the output error with only that layer quantized (`runtime/noise/layer-errors.ts`). With b more bits, 4⁻ᵇ of this
 * error remains.
 * 2. Orders the moves of layers to higher-precision formats by error reduction per byte. The longest prefix of this order whose file is smaller than
 * the original is tried first: if it misses the goal, shorter prefixes miss it, too. Then doubling and bisection find the shortest prefix that meets
 * the goal.
 * 3. Returns unneeded layers to the requested format: half of them at a time, then a quarter, down to individual ones. This corrects a wrong
 *    order.
 *
 * Every attempt runs the whole step on the original. Attempts are measured on other samples than the final evaluation.
 */
import { infer } from "../../core/analysis/infer.ts";
import { allLayers } from "../../core/analysis/layers.ts";
import { isStored } from "../../core/analysis/stored-root.ts";
import { Miss, throwIfAborted } from "../../core/errors.ts";
import { usedValues, type Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { counted, waiting } from "../../core/numbers.ts";
import { encodedSize } from "../../core/onnx/encode.ts";
import type { AnyPass, Change, Context, OptionValues } from "../../core/pass/pass.ts";
import { elementCount, fixedDims } from "../../core/tensor/dims.ts";
import type { Dataset } from "../../data/index.ts";
import type { Blame } from "../../runtime/noise/layer-errors.ts";
import { secondsSince } from "../../runtime/run/elapsed.ts";
import type { StepResult } from "../steps/runner.ts";
import { whyNotSmaller } from "./improvement.ts";
import { type ErrorShares, errorSharesOf } from "./layer-shares.ts";
import { formatSettings, type SparedLayer, type Sparing, type SparingAttempt, sparingReason } from "./sparing-text.ts";

export interface StepOutput extends Pick<StepResult, "changes" | "misses"> {
  readonly model: Model;
}

export interface SparingJudge {
  readonly samples: Dataset | undefined;
  measure(model: Model): Promise<SparingVerdict>;
}

export interface SparingVerdict {
  /** Whether the goal is met. "barely": the estimate meets the goal, but by so little that the result can miss it on other samples. */
  readonly holds: "clearly" | "barely" | "no";
  /** Measured drop in words: "0.4 points lost". */
  readonly text: string;
}

export interface SparingRequest {
  readonly pass: AnyPass;
  readonly options: OptionValues;
  readonly original: Model;
  readonly requestedOutput: StepOutput;
  /** Runs the step (or another pass) with other options on a copy of the original. */
  run(options: OptionValues, pass?: AnyPass): Promise<StepOutput>;
  readonly search: SparingJudge;
  readonly output: string | undefined;
  /** Number of samples on which both models ran before, which limits the search for the layers with the largest error; default: no limit. */
  readonly evaluated?: number | undefined;
}

/** Reason why no layers at higher precision meet the goal, and the layers with the largest error. */
export class NoFallback extends Miss {
  readonly blamed: Blame | undefined;

  constructor(reason: string, blamed: Blame | undefined) {
    super(reason);
    this.blamed = blamed;
  }
}

const maxAttempts = 24;
/** Minimum number of moves at which the longest prefix is tried first. With fewer moves, doubling from one move is as fast. */
const minPrefix = 5;

interface FallbackOutput {
  readonly output: StepOutput;
  readonly options: OptionValues;
  readonly sparing: Sparing;
}

/**
 * Finds less lossy settings, or if the pass has none that meet the goal, the layers to keep at higher precision.
 * @returns a Miss if nothing meets the goal with a file smaller than the original.
 */
export async function findFallback(request: SparingRequest, context: Context): Promise<FallbackOutput | Miss> {
  return (await findMilderSettings(request, context)) ?? findSparedLayers(request, context);
}

/** Tries the pass's less lossy settings. @returns the lossiest one that clearly meets the goal; undefined if no setting meets it. */
async function findMilderSettings(
  { pass, options, run, search }: SparingRequest,
  context: Context,
): Promise<FallbackOutput | undefined> {
  const attempts: SparingAttempt[] = [];
  return bisectSettings(pass.milderSettings?.(options) ?? [], context, async (settings) => {
    const changedOptions = { ...options, ...settings };
    const output = await run(changedOptions);
    const { holds, text } = await search.measure(output.model);
    attempts.push({ found: text });
    const sparing = { settings, spared: [], attempts };
    return holds === "clearly" ? { output, options: changedOptions, sparing } : undefined;
  });
}

/**
 * Finds the first setting for which `evaluate` returns a result, by bisection: later settings are assumed to have results as well. @returns this
 * result; undefined if there is none. @throws PithError E_STOPPED on the signal.
 */
export async function bisectSettings<T>(
  settings: readonly OptionValues[],
  { progress, signal }: Context,
  evaluate: (settings: OptionValues) => Promise<T | undefined>,
): Promise<T | undefined> {
  let [bestResult, attempts] = [undefined as T | undefined, 0];
  for (let [low, high] = [0, settings.length]; low < high; ) {
    const middle = Math.floor((low + high) / 2);
    const setting = settings[middle] ?? {};
    throwIfAborted(signal, "Stopped while settings were searched.");
    progress(attempts++, Math.ceil(Math.log2(settings.length + 1)), formatSettings(setting));
    const result = await evaluate(setting);
    if (result === undefined) low = middle + 1;
    else [bestResult, high] = [result, middle];
  }
  return bestResult;
}

async function findSparedLayers(request: SparingRequest, context: Context): Promise<FallbackOutput | Miss> {
  const { original, requestedOutput, options, search } = request;
  const { moves, shares, blamed } = await rankMoves(request, context);
  const noFallback = (reason: string): Miss => new NoFallback(reason, blamed);
  if (moves.length === 0) return noFallback("none of its layers has a higher-precision form");
  const attempts: SparingAttempt[] = [];
  const verdicts = new Map<string, SparingVerdict["holds"] | "no smaller">();
  let best: { readonly output: StepOutput; readonly moves: readonly MilderStep[] } | undefined;
  let lastText = "";
  const attempt = async (
    moves: readonly MilderStep[],
    accepted: readonly SparingVerdict["holds"][],
  ): Promise<SparingVerdict["holds"] | "no smaller"> => {
    const changed = applyForms(options, moves);
    const key = JSON.stringify(changed.overrides);
    const verdictBefore = verdicts.get(key);
    if (verdictBefore !== undefined) return verdictBefore;
    throwIfAborted(context.signal, "Stopped while layers to keep at higher precision were searched.");
    const layers = layersOf(moves).length;
    const attemptText = `attempt ${attempts.length + 1} of ${maxAttempts}`;
    context.progress(attempts.length, maxAttempts, `${attemptText}: ${counted(layers, "layer")} at higher precision`);
    const startTime = performance.now();
    const output = await request.run(changed);
    if ((await whyNotSmaller(original, output.model)) !== undefined) {
      verdicts.set(key, "no smaller");
      return "no smaller";
    }
    const { holds, text } = await search.measure(output.model);
    verdicts.set(key, holds);
    attempts.push({ layers, found: text });
    lastText = `with ${counted(layers, "layer")} at higher precision ${text}`;
    if (accepted.includes(holds)) best = { output, moves };
    if (attempts.length === 1) {
      const time = waiting(maxAttempts * secondsSince(startTime));
      if (time !== undefined) context.log({ id: "duration", text: `${time} at most, for ${maxAttempts} attempts` });
    }
    return holds;
  };
  let [failing, passing, limit] = [0, 0, moves.length + 1];
  const longestPrefix = await longestPrefixSmallerThanOriginal(moves, original, requestedOutput.model);
  if (longestPrefix >= minPrefix) {
    const verdict = await attempt(moves.slice(0, longestPrefix), ["clearly", "barely"]);
    if (verdict === "no")
      return noFallback(`no choice of layers keeps the goal and makes the file smaller: ${lastText}`);
    if (verdict === "clearly") passing = longestPrefix;
    else limit = longestPrefix;
  }
  for (let count = 1; passing === 0 && count > failing; ) {
    const prefixVerdict = await attempt(moves.slice(0, count), ["clearly", "barely"]);
    if (prefixVerdict === "clearly") passing = count;
    else if (prefixVerdict === "no smaller") limit = count;
    else failing = count;
    count = limit > moves.length ? Math.min(2 * count, moves.length) : Math.floor((failing + limit) / 2);
  }
  if (best === undefined)
    return noFallback(`no choice of layers keeps the goal and makes the file smaller${lastText && `: ${lastText}`}`);
  // A result that barely meets the goal keeps all of its layers at higher precision.
  const isClear = passing > 0;
  for (let [low, high] = [failing, passing]; high - low > 1 && attempts.length < maxAttempts; ) {
    const middle = Math.floor((low + high) / 2);
    if ((await attempt(moves.slice(0, middle), ["clearly"])) === "clearly") high = middle;
    else low = middle;
  }
  for (let size = isClear ? Math.floor(layersOf(best.moves).length / 2) : 0; size >= 1; size = Math.floor(size / 2)) {
    const names = layersOf(best.moves).toReversed();
    for (let at = 0; at < names.length && attempts.length < maxAttempts; at += size) {
      const returnedLayers = new Set(names.slice(at, at + size));
      const remaining = best.moves.filter(({ layer }) => !returnedLayers.has(layer));
      if (remaining.length > 0) await attempt(remaining, ["clearly"]);
    }
  }
  const { output } = best;
  const sparedLayers = sparedLayersOf(best.moves, shares, requestedOutput, output);
  return {
    output: addReasons(output, sparedLayers),
    options: applyForms(options, best.moves),
    sparing: { spared: sparedLayers, attempts },
  };
}

/** Returns the estimated number of first moves after which the file is still smaller than the original. */
async function longestPrefixSmallerThanOriginal(
  moves: readonly MilderStep[],
  original: Model,
  requestedModel: Model,
): Promise<number> {
  let remainingBytes = (await encodedSize(original)) - (await encodedSize(requestedModel));
  const index = moves.findIndex(({ bytes }) => {
    remainingBytes -= bytes;
    return remainingBytes < 0;
  });
  return index < 0 ? moves.length : index;
}

const layersOf = (moves: readonly MilderStep[]): readonly string[] => [...new Set(moves.map(({ layer }) => layer))];

interface MilderStep {
  readonly layer: string;
  readonly form: OptionValues;
  /** Estimated bytes that this step adds to the file. */
  readonly bytes: number;
  /** Reduction of the output error per byte. */
  readonly gain: number;
}

const floatBits = 32;
const bitsIn = ({ bits }: OptionValues): number => (typeof bits === "number" ? bits : floatBits);
/** Bytes that are added to the cost of every step, for the overhead of a separate format. Without them, tiny layers would seem nearly free. */
const overheadBytes = 256;

async function rankMoves(
  request: SparingRequest,
  context: Context,
): Promise<Pick<ErrorShares, "shares" | "blamed"> & { readonly moves: readonly MilderStep[] }> {
  const { pass, options, original, requestedOutput } = request;
  const formsByLayer = new Map<string, { readonly change: Change; readonly forms: readonly OptionValues[] }>();
  for (const change of requestedOutput.changes) {
    const forms = pass.milderForms?.(options, change) ?? [];
    if (forms.length > 0) formsByLayer.set(change.at, { change, forms });
  }
  const { samples } = request.search;
  const layers = new Set(formsByLayer.keys());
  const { shares, estimates, blamed } = await errorSharesOf({ ...request, samples }, layers, context);
  const elementCounts = new Map(
    allLayers(original, infer(original)).map(({ name, effective }) => [
      name,
      elementCount(fixedDims(effective.type?.dims) ?? []),
    ]),
  );
  const moves = [...formsByLayer].flatMap(([layer, { change, forms }]) =>
    forms.map((form, at): MilderStep => {
      const requestedBits = change.bits ?? 0;
      const [before, after] = [at === 0 ? requestedBits : bitsIn(forms[at - 1] ?? {}), bitsIn(form)];
      const remainingError = (bits: number): number => (bits === floatBits ? 0 : 4 ** (requestedBits - bits));
      const bytes = ((elementCounts.get(layer) ?? 0) * (after - before)) / 8;
      return {
        layer,
        form,
        bytes,
        gain:
          ((remainingError(before) - remainingError(after)) * (estimates.get(layer) ?? 0)) / (overheadBytes + bytes),
      };
    }),
  );
  return { moves: moves.toSorted((a, b) => b.gain - a.gain), shares, blamed };
}

export function applyForms(options: OptionValues, moves: readonly Pick<MilderStep, "layer" | "form">[]): OptionValues {
  const overrides = new Map<string, object>(Object.entries(Object(options.overrides)));
  for (const { layer, form } of moves) {
    const override = overrides.get(layer);
    // The last matching pattern has precedence, so the override must be the last entry.
    overrides.delete(layer);
    overrides.set(layer, { ...override, ...form });
  }
  return { ...options, overrides: Object.fromEntries(overrides) };
}

function sparedLayersOf(
  moves: readonly MilderStep[],
  shares: ReadonlyMap<string, number>,
  requestedOutput: StepOutput,
  output: StepOutput,
): readonly SparedLayer[] {
  const [before, after] = [bytesOfLayers(requestedOutput.model), bytesOfLayers(output.model)];
  const bits = new Map(
    output.changes.flatMap(({ at, kind, bits }) => (kind === "quantized" ? [[at, bits] as const] : [])),
  );
  return layersOf(moves).map((layer) => ({
    layer,
    bits: bits.get(layer),
    share: shares.get(layer),
    bytes: (after.get(layer) ?? 0) - (before.get(layer) ?? 0),
  }));
}

/** Returns the bytes that each layer stores: its weight in any format, and its bias. */
export function bytesOfLayers(model: Model): ReadonlyMap<string, number> {
  return new Map(
    allLayers(model, infer(model)).map(({ name, node, effective }) => {
      const stored = new Set<Value>();
      const pendingValues = [effective, ...node.inputs].filter(
        (value): value is Value => value !== undefined && isStored(value),
      );
      for (let value = pendingValues.pop(); value !== undefined; value = pendingValues.pop()) {
        if (stored.has(value)) continue;
        stored.add(value);
        if (value.producer !== undefined) pendingValues.push(...usedValues(value.producer));
      }
      return [name, [...stored].reduce((sum, { tensor }) => sum + (tensor?.bytes ?? 0), 0)] as const;
    }),
  );
}

function addReasons<M extends StepOutput>(output: M, spared: readonly SparedLayer[]): M {
  const reasons = new Map(spared.map((one) => [one.layer, sparingReason(one)]));
  return {
    ...output,
    changes: output.changes.map((change) => {
      const reason = change.kind === "quantized" ? reasons.get(change.at) : undefined;
      return reason === undefined ? change : { ...change, what: `${change.what}; ${reason}` };
    }),
    misses: output.misses.map((miss) => {
      const reason = reasons.get(miss.at ?? "");
      return reason === undefined ? miss : { ...miss, reason: `kept in float; ${reason}` };
    }),
  };
}
