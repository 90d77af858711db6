/** What the metric does not tell of a result: what else it answers, what it answers to random inputs where there is no data, and how near numbers are where samples are few. */
import type { Dataset } from "../data/types.ts";
import { clause, refusalIn } from "../errors.ts";
import { compareFunction, compareOnSamples, fewSamples, type Likeness, lostIn } from "../evaluate/compare-function.ts";
import { halfOverflow } from "../evaluate/half-overflow.ts";
import { ResultFails, requireLoads, type WatchedEngine } from "../evaluate/load-check.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";

export interface KeptFunction {
  /** Of all outputs, on random inputs or few samples, or why there is none; undefined where the metric tells enough. */
  readonly likeness: Likeness | string | undefined;
  /** On the samples, of the outputs that the metric does not judge, or why they were not compared. */
  readonly others: Likeness | string | undefined;
  /** Why the result is no longer the same function, where that was found. */
  readonly lost: string | undefined;
  /** It is lost because it computes what float16 does not hold. */
  readonly overflows: boolean;
}

export interface FunctionTest {
  /** The samples; undefined without data. */
  readonly test: Dataset | undefined;
  readonly answered: number;
  /** A model that was trained may have to answer otherwise than before. */
  readonly trained: boolean;
  /** The output that is judged, where one was asked for. */
  readonly output: string | undefined;
  /** What cannot be compared is only said. */
  readonly forced: boolean;
}

export async function keptFunction(
  { engine, seed, signal, progress }: Context,
  original: Model,
  result: Model,
  { test, answered, trained, output, forced }: FunctionTest,
): Promise<KeptFunction> {
  const options = { output, seed, signal, progress };
  const attempt = async <T>(work: Promise<T>): Promise<T | string> =>
    work.catch((error: unknown) => {
      const refusal = refusalIn(error);
      if (!forced || refusal instanceof ResultFails) throw error;
      return clause(refusal.message);
    });
  const onSamples = (samples: Dataset, others: boolean): Promise<Likeness | string | undefined> =>
    trained
      ? Promise.resolve(undefined)
      : attempt(compareOnSamples(engine, original, result, samples, { ...options, others }));
  const isFew = answered < fewSamples;
  const likeness =
    test === undefined
      ? await attempt(compareFunction(engine, original, result, options))
      : isFew
        ? await onSamples(test, false)
        : undefined;
  const others = test === undefined || isFew ? undefined : await onSamples(test, true);
  const lost = lostIn(likeness) ?? lostIn(others);
  const overflow =
    lost === undefined ? await attempt(halfOverflow(engine, original, result, test, { seed, signal })) : undefined;
  return { likeness, others, lost: lost ?? overflow, overflows: overflow !== undefined };
}

/** The same of a result that is about to be written: it loads as its users load it. @throws ResultFails where it does not. */
export async function keptAndLoads(
  context: Context & { readonly engine: WatchedEngine },
  original: Model,
  result: Model,
  judged: FunctionTest,
): Promise<KeptFunction> {
  const kept = await keptFunction(context, original, result, judged);
  await requireLoads(context.engine, result, original);
  return kept;
}
