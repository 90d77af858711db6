/**
 * Compares the outputs of two models on the same inputs, with one finding per output: name, type and shape first, then values.
 *
 * An output is lost if Σ (x − y)² ≥ ½ Σ (x − m)² (3 dB), with outputs x of the original and y of the result, and the mean m of x over the samples.
 * With few samples, Σ (x − y)² ≥ ½ Σ x² applies. An output that hardly depends on the inputs is lost if x and y differ greatly.
 */
import { dataDependentSizes, type OutputPart, outputPartsOf, selectPart } from "#analysis";
import type { Dataset } from "#batches";
import { type Batch, type Dense, dimsText, figureText, groupBy, isFloat, sameDims, toFloat64 } from "#ir";
import { lostFunctionText, originalScoreOf } from "../../runtime/metrics/lost-function.ts";
import { mainOutputName } from "../../runtime/metrics/output.ts";
import { predictionRows, predictionsOf } from "../../runtime/metrics/predictions.ts";
import { minSamples } from "../../runtime/paired/candidate-sizes.ts";
import { countSamples } from "../../runtime/paired/original-runs.ts";
import type { PairedRun, PairedRuns } from "../../runtime/paired/paired-runs.ts";
import { decoderOf } from "../../runtime/run/decoding.ts";
import { Difference, decibels, minChange, minVariationOfData, variation } from "../../runtime/run/difference.ts";
import { fillPredicate } from "../../runtime/run/mask-values.ts";

export interface OutputLikeness {
  readonly samples: number;
  /** Whether each position of a text counts as a sample. */
  readonly countsPositions?: true;
  /** Ratio in decibels of the variance of the original's output over the samples to the mean squared difference. */
  readonly signalToNoise: number;
  /** Root mean square of the difference, relative to the root mean square of the original's output. */
  readonly relativeError: number;
  /** Share of equal elements; only for classes, indices or booleans, whose differences have no meaning. */
  readonly same?: number;
  /** Number of elements that masks set in the original, which are left out. */
  readonly filled?: number;
  readonly lost: string | undefined;
  /** Present if the output is lost because it is missing or has another type or shape. */
  readonly otherForm?: true;
  /** Present if the output hardly depends on the inputs, so that equality shows little. */
  readonly unmoved?: InputIndependence;
}

type InputIndependence = "equal" | "nearly equal" | "one class";

export interface ComparedOutput {
  /** Name of the output, or of its part that differs most. */
  readonly name: string;
  readonly isPart?: boolean;
  /** A text with the reason if values could not be compared; undefined if only type and shape were compared and match. */
  readonly likeness: OutputLikeness | string | undefined;
  /** Whether the output has indices or labels next to numeric outputs. */
  readonly isAuxiliary: boolean;
  /** Whether the output changes by less than 1 % of the range of its saturating operator. */
  readonly isSaturated: boolean;
  /** Whether the output is a language model's cache, whose error is reported only. */
  readonly isCache?: boolean;
}

export interface OutputOptions {
  readonly output?: string | undefined;
  /** "all but the answer" leaves out the output that the metric evaluates. */
  readonly values?: ("all" | "all but the answer" | "none") | undefined;
  /** Internal value → output that it replaces in the comparison. */
  readonly before?: ReadonlyMap<string, string> | undefined;
}

export const emptyLikeness = { samples: 0, signalToNoise: Number.NaN, relativeError: Number.NaN };

/** Minimum variance over random inputs at which an output counts as depending on them, as a share of the mean square. */
const minVariation = 1e-3;
/** Maximum squared error on random inputs that counts as rounding, as a share of the output's squared values. */
const maxRoundingNoise = 0.01;
/** Relative error at which a constant output is lost. Networks in int8, int4 and float16 differ by up to 12 %; with weights of two values, by at least 46 %. */
const minConstantOutputError = 0.3;

/** Names inputs in a sentence. @param data undefined for random inputs. */
export const inputsPhraseOf = (data: Dataset | undefined): string =>
  data === undefined ? "random inputs" : (data.synthetic ?? "the samples");

/** Compares names, types and shapes only if the models draw different random numbers. @param data undefined: random inputs. */
export function compareEachOutput(
  data: Dataset | undefined,
  { original, result, pairs, otherDraws }: PairedRuns,
  options: OutputOptions,
): readonly ComparedOutput[] {
  const inputs = inputsPhraseOf(data);
  const place = { ofData: data !== undefined, inputsPhrase: `on ${inputs}` };
  const decoder = decoderOf(original);
  const applicableOptions: OutputOptions = otherDraws === undefined ? options : { values: "none" };
  const { output: requestedName, values = "all", before = new Map<string, string>() } = applicableOptions;
  const resultNames = new Set(result.graph.outputs.map(({ name }) => name));
  const missingOutputs = original.graph.outputs.filter(({ name }) => !resultNames.has(name));
  const replacedNames = new Set(before.values());
  const expected = pairs[0]?.expected ?? {};
  const outputs = Object.entries(expected).filter(([name]) => !replacedNames.has(name));
  const answer = outputs.length > 0 ? mainOutputName(expected, requestedName) : undefined;
  const hasNumericOutput = outputs.some(([, dense]) => isNumeric(dense));
  const isDataDependent = dataDependentSizes(original);
  const shouldCompareValues = (name: string): boolean => {
    if (values === "all") return requestedName === undefined || (before.get(name) ?? name) === requestedName;
    return values !== "none" && requestedName === undefined && name !== answer;
  };
  return [
    ...missingOutputs.map(({ name }) => withOtherForm(name, `the result has no output "${name}"`)),
    ...outputs.map(([name, dense]): ComparedOutput => {
      const isCache = decoder?.caches.some(({ output }) => output === name) === true;
      const form = findOtherForm(name, pairs, isDataDependent(name), isCache);
      if (form !== undefined) return withOtherForm(name, `on ${inputs} ${form}`);
      const kind = { isNumeric: isNumeric(dense), isAuxiliary: hasNumericOutput && !isNumeric(dense) };
      const uncomparedOutput = { name, ...kind, likeness: undefined, isSaturated: false };
      const isText = data !== undefined || pairs.some(({ cache }) => cache !== undefined);
      if (isText && decoder?.logits === name && values !== "none") {
        const groupOutputs = groupTokens(pairs, name).flatMap(({ name: group, members }) => {
          if (group === name && !shouldCompareValues(name)) return [];
          const output = { name: group, ...kind, ...place, range: undefined, countsPositions: true as const };
          return { ...compareValues(output, members), ...(group === name ? {} : { isPart: true }) };
        });
        return worstFindingOf(groupOutputs) ?? groupOutputs[0] ?? uncomparedOutput;
      }
      if (!shouldCompareValues(name)) return uncomparedOutput;
      if (isCache) {
        const output = { name, ...kind, ...place, range: undefined, isCache: true };
        return { ...compareValues(output, pairs), isCache: true };
      }
      const outputValues = pairs.flatMap(({ expected }) => expected[name] ?? []);
      const parts = outputPartsOf(original, name, outputValues);
      const partOutputs = parts.map((part) => {
        const output = { name: part.name, ...kind, ...place, range: part.range };
        const comparison = compareValues(output, parts.length < 2 ? pairs : selectPairs(pairs, name, part));
        // No operator behind the whole output saturates one part of it.
        return parts.length < 2 ? comparison : { ...comparison, isSaturated: false, isPart: true };
      });
      return worstFindingOf(partOutputs) ?? partOutputs[0] ?? uncomparedOutput;
    }),
  ];
}

/** Returns one sample per token. Steps with a cache form a group, because they show errors of the cache. */
export function groupTokens<P extends PairedRun>(pairs: readonly P[], name: string) {
  const groups = groupBy(pairs, ({ cache }) => (cache?.isFirst === false ? `${name} (with its cache)` : name));
  return Array.from(groups, ([group, members]) => ({
    name: group,
    members: members.map((pair): P => {
      const perToken = ({ [name]: dense }: Batch): Batch => {
        const [count = 0, positions = 0, ...rest] = dense?.dims ?? [];
        return dense === undefined ? {} : { [group]: { ...dense, dims: [count * positions, ...rest] } };
      };
      const expected = perToken(pair.expected);
      return { ...pair, expected, actual: perToken(pair.actual), samples: expected[group]?.dims[0] ?? 0 };
    }),
  }));
}

function selectPairs(pairs: readonly PairedRun[], name: string, part: OutputPart): readonly PairedRun[] {
  const select = (batch: Batch): Batch => {
    const dense = batch[name];
    return dense === undefined ? {} : { [part.name]: selectPart(dense, part) };
  };
  return pairs.map(({ expected, actual, exchanged, ...pair }) => ({
    ...pair,
    expected: select(expected),
    actual: select(actual),
    exchanged: exchanged && select(exchanged),
  }));
}

export interface Finding extends ComparedOutput {
  readonly likeness: OutputLikeness;
}

export function worstFindingOf(outputs: readonly ComparedOutput[]): Finding | undefined {
  const findings = outputs.flatMap((output): Finding[] => {
    const { likeness } = output;
    return typeof likeness === "object" ? [{ ...output, likeness }] : [];
  });
  const [worst] = findings.toSorted(
    (a, b) => rankOf(a) - rankOf(b) || a.likeness.signalToNoise - b.likeness.signalToNoise,
  );
  return worst;
}

/** Ranks the most serious first. */
function rankOf({ likeness: { lost, otherForm, relativeError, unmoved }, isAuxiliary, isCache }: Finding): number {
  if (lost !== undefined) return otherForm ? 0 : 1;
  const differs = relativeError !== 0;
  if (isCache === true) return 10;
  return (differs ? 2 : 6) + (isAuxiliary ? 1 : 0) + (unmoved === undefined ? 0 : 2);
}

function isNumeric({ type }: Dense): boolean {
  return isFloat(type) || type === "int8" || type === "uint8";
}

function withOtherForm(name: string, lost: string): ComparedOutput {
  const likeness = { ...emptyLikeness, lost, otherForm: true } as const;
  return { name, likeness, isAuxiliary: false, isSaturated: false };
}

/** @param isDataDependent whether sizes can differ. @param isCache whether only the next step reads the output, with its type from the model. */
function findOtherForm(
  name: string,
  pairs: readonly PairedRun[],
  isDataDependent: boolean,
  isCache: boolean,
): string | undefined {
  for (const { expected, actual } of pairs) {
    const [before, after] = [expected[name], actual[name]];
    if (before === undefined) continue;
    const isSameType = after?.type === before.type || (isCache && after?.type === "float16");
    const isSameRank = after?.dims.length === before.dims.length;
    if (isSameType && isSameRank && (isDataDependent || sameDims(before.dims, after.dims))) continue;
    const [formAfter, formBefore] = [after, before].map(
      (dense) => `${isSameType ? "" : dense?.type}${dimsText(dense?.dims)}`,
    );
    return `output "${name}" is ${formAfter} instead of ${formBefore}`;
  }
  return undefined;
}

interface OutputKind extends Pick<ComparedOutput, "name" | "isAuxiliary" | "isCache"> {
  readonly isNumeric: boolean;
  readonly ofData: boolean;
  /** "on random inputs". */
  readonly inputsPhrase: string;
  readonly countsPositions?: true;
  /** Width of the output range of a saturating operator: 1 for Sigmoid. */
  readonly range: number | undefined;
}

interface OutputPair {
  readonly pair: PairedRun;
  readonly before: Dense;
  readonly after: Dense;
  readonly exchanged: Dense | undefined;
  readonly samples: number;
}

function compareValues(output: OutputKind, pairs: readonly PairedRun[]): ComparedOutput {
  const { name, ofData, inputsPhrase, range, isAuxiliary, countsPositions } = output;
  const values: OutputPair[] = [];
  for (const pair of pairs) {
    const [before, after] = [pair.expected[name], pair.actual[name]];
    if (before === undefined || after === undefined) continue;
    const reason = findObstacle(before, after);
    if (reason !== undefined) return { name, isAuxiliary, likeness: reason, isSaturated: false };
    values.push({ pair, before, after, exchanged: pair.exchanged?.[name], samples: countSamples(before, pair) });
  }
  const sums = sumDifferences(values);
  const { samples, finiteCount, change, error, variation } = sums;
  const isSaturated = range !== undefined && samples > 0 && change < minChange * range;
  if (finiteCount === 0)
    return { name, isAuxiliary, likeness: `its output is not a number ${inputsPhrase}`, isSaturated };
  const { knowledge, disagreement } = comparePredictions(
    name,
    values,
    countsPositions === true ? "position" : "sample",
  );
  const isConstant = areConstant(values.map(({ before }) => ({ [name]: before })));
  const hardlyVaries = variation < (ofData ? minVariationOfData : minVariation) * error.signal || isSaturated;
  const sameClass = knowledge?.chance === 1 ? "one class" : undefined;
  const unmoved = isConstant ? "equal" : hardlyVaries ? "nearly equal" : sameClass;
  // Errors of a saturated output are relative to the range of its operator.
  const power = isSaturated ? range ** 2 * finiteCount : error.signal;
  const likeness: OutputLikeness = {
    samples,
    ...(countsPositions === true ? { countsPositions } : {}),
    signalToNoise: decibels(variation, error.noise),
    relativeError: Math.sqrt(error.relativeNoise),
    ...(output.isNumeric ? {} : { same: sums.equalCount / finiteCount }),
    ...(sums.filled === 0 ? {} : { filled: sums.filled }),
    lost: findLoss(output, sums, power, unmoved, disagreement),
    ...(unmoved === undefined ? {} : { unmoved }),
  };
  return { name, isAuxiliary, likeness, isSaturated };
}

function findObstacle(before: Dense, after: Dense): string | undefined {
  if (!sameDims(before.dims, after.dims)) return "the shape of its output depends on the values of its inputs";
  if (before.type === "string") return "its output is text";
  return before.dims.includes(0) ? "its output has no elements" : undefined;
}

/** @param power sum of squares that errors are relative to. @param disagreement how predictions have changed. */
function findLoss(
  { ofData, inputsPhrase, isNumeric, isAuxiliary, isCache }: OutputKind,
  { nonFiniteCount, variation, samples, error: { noise } }: Sums,
  power: number,
  unmoved: InputIndependence | undefined,
  disagreement: string | undefined,
): string | undefined {
  if (nonFiniteCount > 0) return `${inputsPhrase} the result is not a number where the original is`;
  if (noise === 0 || isCache === true) return undefined;
  const deviationText = `the result is ${(100 * Math.sqrt(noise / power)).toFixed(0)} % apart from`;
  if (samples < minSamples)
    return isNumeric && noise >= power / 2 ? `${inputsPhrase} ${deviationText} the original` : undefined;
  if (unmoved !== undefined) {
    const isFar = isNumeric && noise >= minConstantOutputError ** 2 * power;
    return isFar ? `${inputsPhrase}, which hardly move the original, ${deviationText} it` : undefined;
  }
  if (noise < variation / 2) return undefined;
  const distanceText = `${inputsPhrase} the signal to noise is ${figureText("dB", decibels(variation, noise))}, at least 3 dB are required`;
  if (disagreement !== undefined)
    return isNumeric ? `${distanceText}; ${disagreement}` : `${inputsPhrase} ${disagreement}`;
  if (isAuxiliary || (!ofData && noise < maxRoundingNoise * power)) return undefined;
  if (!ofData) return `${distanceText}; real samples can give another result`;
  return noise < variation ? distanceText : `${distanceText}; a constant would be as close to the original`;
}

function comparePredictions(name: string, values: readonly OutputPair[], unit: "position" | "sample") {
  const metric = predictionRows(name);
  const [before, after] = (["expected", "actual"] as const).map((side) => {
    const rows = values.flatMap(({ pair, before: dense, samples }) => {
      const sampleCountColumn: Dense = { ...dense, dims: [samples] };
      return [...metric.rows(pair[side], { samples: sampleCountColumn })];
    });
    return predictionsOf(Float64Array.from(rows));
  });
  const knowledge = before && originalScoreOf(before);
  return { knowledge, disagreement: knowledge && after && lostFunctionText(knowledge, after, unit) };
}

/** Sums over all samples, without mask values such as −1e9. */
interface Sums {
  readonly samples: number;
  readonly finiteCount: number;
  readonly equalCount: number;
  readonly filled: number;
  readonly nonFiniteCount: number;
  readonly error: Difference;
  /** Σ (x − m)² of the original's values x, with their mean m; if the original draws random numbers, Σ (x − x′)² / 2 with x′ of another sample. */
  readonly variation: number;
  /** Largest difference between the maximum and the minimum of a position over the samples. */
  readonly change: number;
}

function sumDifferences(values: readonly OutputPair[]): Sums {
  const width = positionsPerSample(values);
  const [sums, counts] = [new Float64Array(width), new Float64Array(width)];
  const lows = new Float64Array(width).fill(Number.POSITIVE_INFINITY);
  const highs = new Float64Array(width).fill(Number.NEGATIVE_INFINITY);
  const error = new Difference();
  let [finiteCount, equalCount, nonFiniteCount, filled, exchangedSquares] = [0, 0, 0, 0, 0];
  for (const { before, after, exchanged } of values) {
    const [xs, ys] = [toFloat64(before), toFloat64(after)];
    const exchangedValues = exchanged && sameDims(exchanged.dims, before.dims) ? toFloat64(exchanged) : xs;
    const isFill = fillPredicate(xs, before.type);
    for (let index = 0; index < xs.length; index++) {
      const [x = Number.NaN, y = Number.NaN] = [xs[index], ys[index]];
      if (isFill(x, y)) {
        filled++;
        continue;
      }
      if (!Number.isFinite(x)) continue;
      finiteCount++;
      if (x === y) equalCount++;
      if (!Number.isFinite(y)) {
        nonFiniteCount++;
        continue;
      }
      const position = index % width;
      sums[position] = (sums[position] ?? 0) + x;
      counts[position] = (counts[position] ?? 0) + 1;
      lows[position] = Math.min(lows[position] ?? x, x);
      highs[position] = Math.max(highs[position] ?? x, x);
      error.add(x, y);
      exchangedSquares += (x - (exchangedValues[index] ?? x)) ** 2;
    }
  }
  const drawsNumbers = values.some(({ exchanged }) => exchanged !== undefined);
  return {
    samples: values.reduce((sum, { samples }) => sum + samples, 0),
    finiteCount,
    equalCount,
    nonFiniteCount,
    filled,
    error,
    variation: drawsNumbers ? exchangedSquares / 2 : Math.max(0, variation(error.signal, sums, counts)),
    change: highs.reduce((largest, high, position) => Math.max(largest, high - (lows[position] ?? high)), 0),
  };
}

/** Elements per sample, each with a mean over the samples. If sample sizes differ: the size of the last axis. */
function positionsPerSample(values: readonly OutputPair[]): number {
  const sizes = new Set(values.map(({ before, samples }) => before.data.length / samples));
  const lastSizes = new Set(values.map(({ before }) => before.dims.at(-1) ?? 1));
  for (const candidates of [sizes, lastSizes]) {
    const [width] = candidates;
    if (candidates.size === 1 && width !== undefined) return width;
  }
  return 1;
}

type Elements = ArrayLike<number | bigint | string>;

/** NaN equals NaN. A single run is not constant. */
export function areConstant(runs: readonly Batch[]): boolean {
  const isEqual = (xs: Elements, ys: Elements): boolean => {
    const count = Math.min(xs.length, ys.length);
    for (let index = 0; index < count; index++) if (!Object.is(xs[index], ys[index])) return false;
    return true;
  };
  const isRepeated = (run: Batch, previous: Batch = {}): boolean =>
    Object.entries(run).every(([name, dense]) => isEqual(previous[name]?.data ?? [], dense.data));
  return runs.length > 1 && runs.slice(1).every((run, index) => isRepeated(run, runs[index]));
}
