/** Sizes of random inputs to try on a model, most likely first, each with the work of a run. */
import { cachePerRevision, cost, infer } from "#analysis";
import { bytes, bytesFor, type Dim, getOrAdd, type Model, storedBytes, type Value } from "#ir";
import { type Assignment, type RandomInputs, randomInputs } from "../run/random-inputs.ts";
import { type Guess, guesses, lengthsOf, likelyLengths, type TrialSizes } from "../run/size-guesses.ts";

export interface SizeOptions {
  /** "one": many samples of one size. "several": a few runs of growing sizes. */
  readonly sizes: "one" | "several";
  readonly known?: ReadonlyMap<string, number>;
  /** Maximum number of samples. */
  readonly samples?: number | undefined;
  /** Maximum multiply-accumulates of all runs of a model. */
  readonly work?: number | undefined;
}

export const minSamples = 4;
const defaultSamples = 32;

/** Maximum multiply-accumulates of one run, which limit memory, and of all runs of a model. */
const [maxWorkPerRun, maxTotalWork] = [1e10, 1e11];
/** Maximum bytes of one computed value, because a larger one could exhaust the memory. */
const maxValueBytes = 2 ** 31;
/** Cost per element in multiply-accumulates: writing computed values, drawing inputs, reading stored values. */
const [workPerWrite, workPerDraw, workPerRead] = [20, 5000, 40];

const growingLengths = lengthsOf([1, 2, 3, 4, 7, 8, 16, 32, 64, 128, 224, 256, 512, 576]);

interface SizeCandidate extends Pick<Guess, "shapes" | "isUsual"> {
  /** In multiply-accumulates. */
  readonly work: number;
  /** Reason why the model is not run with these sizes. */
  readonly obstacle: string | undefined;
}

export function* candidateSizes(
  model: Model,
  inputs: RandomInputs,
  { sizes, known, work: maxWork = maxTotalWork }: SizeOptions,
): Generator<SizeCandidate, void, undefined> {
  const costOf = costCounter(model, infer(model));
  const workOfReading = (workPerRead * storedBytes(model.graph)) / 4;
  const hasSeveralSizes = sizes === "several";
  // Sizes with an empty cache come first, because no model computes random values of a cache.
  const withoutCache = likelyLengths.map(([length, side]): TrialSizes => [length, side, 0]);
  for (const guess of guesses(model, inputs, {
    known,
    lengths: hasSeveralSizes ? growingLengths : [...withoutCache, ...likelyLengths],
    batchSizes: hasSeveralSizes ? [1, 2] : [8, 4, 2, 1],
    isAffordable: (assignment, batch) => batch === 1 || costOf(assignment).work <= Math.min(maxWorkPerRun, maxWork),
  })) {
    const { work, obstacle } = costOf(guess.assignment(model));
    yield { ...guess, work: work + workOfReading, obstacle };
  }
}

export function affordableSamples(
  work: number,
  { samples = defaultSamples, work: maxWork = maxTotalWork }: SizeOptions,
): number {
  return Math.max(minSamples, Math.min(samples, Math.floor(maxWork / Math.max(1, work))));
}

/** Returns whether one sample of the smallest size exceeds the work of a run. */
export const isExpensive = (model: Model): boolean => costCounter(model, infer(model))(() => 1).work > maxWorkPerRun;

const costCounter = cachePerRevision((model, inference) => {
  const inputs = randomInputs(model);
  const macs = [...cost(model, inference).perNode.values()];
  const computedValues = [...model.graph.nodes()].flatMap(({ outputs }) =>
    outputs.filter((value) => value !== undefined),
  );
  return (assignment: Assignment): Pick<SizeCandidate, "work" | "obstacle"> => {
    const sizes = new Map<Dim, number>();
    const sizeOf = (dim: Dim): number => getOrAdd(sizes, dim, () => inputs.size(dim, assignment));
    const countOf = (value: Value): number =>
      inference.operand(value)?.dims?.reduce<number>((product, dim) => product * sizeOf(dim), 1) ?? 0;
    const count = (values: readonly Value[]): number => values.reduce((sum, value) => sum + countOf(value), 0);
    const work =
      macs.reduce<number>((sum, dim) => sum + Math.max(0, sizeOf(dim)), 0) +
      workPerWrite * count(computedValues) +
      workPerDraw * count(model.graph.feeds);
    const bytesOf = (value: Value): number => {
      const type = value.type?.type ?? "string";
      return type === "string" ? 0 : bytesFor(type, countOf(value));
    };
    const large = computedValues.find((value) => bytesOf(value) > maxValueBytes);
    return {
      work,
      obstacle:
        large &&
        `value "${large.name}" takes ${bytes(bytesOf(large))}, and a comparison runs models with values of at most ${bytes(maxValueBytes)}`,
    };
  };
});
