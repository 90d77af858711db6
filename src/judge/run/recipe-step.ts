/** Runs a step of a recipe: first chooses bits for a maximum file size, and after a missed goal, options that lose less (precision fallback). */
import { Miss, throwIfAborted } from "../../core/errors.ts";
import { allowance } from "../../core/numbers.ts";
import type { Context, OptionValues } from "../../core/pass/pass.ts";
import { type Goal, isWithin, judge, needsFallback } from "../compare/goal.ts";
import type { PassStep } from "../recipe/pass-steps.ts";
import type { StepResult } from "../steps/runner.ts";
import { recordOnce } from "../steps/store.ts";
import { keyOfSamples } from "./data-parts.ts";
import type { Evaluation } from "./evaluator.ts";
import { fitToBytes } from "./size-budget.ts";
import { findFallback, type StepOutput } from "./sparing.ts";
import { searchOnValidation } from "./sparing-samples.ts";
import type { RunContext } from "./variant.ts";

/**
 * Runs a step on a stored model. If the step has a maximum size, first chooses the bits of each layer for it.
 * @throws PithError E_UNSUPPORTED if no choice of bits fits; errors of the pass.
 */
export async function runRecipeStep(step: PassStep, input: string, run: RunContext): Promise<StepResult> {
  const { runner, evaluator, context, store, task } = run;
  const { bytes } = step;
  if (bytes === undefined) return runner.run(step, input);
  throwIfAborted(context.signal);
  const { output } = evaluator;
  const samples = await keyOfSamples(task.calibrate);
  const key = { bitsWithin: bytes, samples, output, of: await runner.keyOf(step, input) };
  const options = await recordOnce(store.records, key, async (): Promise<OptionValues> => {
    const request = { ...(await stepRequest(step, input, run)), samples: task.calibrate };
    return (await fitToBytes(request, bytes, { ...context, log: () => {} })).options;
  });
  return runner.run({ ...step, options }, input);
}

/**
 * Applies the precision fallback to a step that misses the goal, on the validation samples.
 * @returns undefined if the goal is met, or no layers at higher precision reach it. @throws PithError of the pass.
 */
export async function findLessLossyStep(
  step: PassStep,
  input: string,
  requestedResult: StepResult,
  { comparison }: Evaluation,
  goal: Goal | undefined,
  run: RunContext,
): Promise<StepResult | undefined> {
  const { runner, evaluator, context, store, task, judging } = run;
  if (step.spares !== true || goal === undefined) return undefined;
  const verdict = judge(comparison, goal);
  if (!needsFallback(verdict, goal)) return undefined;
  const warn = (text: string): void => context.log({ id: "sparing", text: `${step.name}: ${text}`, level: "warning" });
  const search = searchOnValidation(evaluator.metrics, task.test, goal);
  if (search instanceof Miss) {
    warn(`no layers are kept at higher precision: ${search.reason}`);
    return undefined;
  }
  if (input !== store.original) {
    const before = await evaluator.measure(input, `before ${step.name}`);
    if (!isWithin(judge(before.comparison, goal).drop, goal)) {
      warn("no layers are kept at higher precision: its input already misses the goal");
      return undefined;
    }
  }
  const key = { sparedFor: goal, judging, of: await runner.keyOf(step, input) };
  const record = await recordOnce(store.records, key, async (): Promise<SparedRecord> => {
    const [lost, allowed] = [verdict.drop.value, goal.maxDrop].map((value) => allowance(comparison.unit, value));
    context.log({
      id: "sparing",
      text: `${step.name}: ${lost} lost, ${allowed} allowed: looking for the layers with the largest error`,
    });
    const quietContext: Context = {
      ...context,
      log: (event) => (event.id === "duration" ? context.log(event) : undefined),
    };
    const requestedOutput = await openOutput(requestedResult, run);
    const evaluated = evaluator.took.samples;
    const request = { ...(await stepRequest(step, input, run)), requestedOutput, search, evaluated };
    const result = await findFallback(request, quietContext);
    if (result instanceof Miss) return { reason: result.reason };
    const { changes, misses } = result.output;
    return { options: result.options, changes, misses: misses.map(({ at, reason, by }) => ({ at, reason, by })) };
  });
  if (record.options === undefined) {
    warn(record.reason);
    return undefined;
  }
  const { options, changes, misses } = record;
  return { ...(await runner.run({ ...step, options }, input)), changes, misses };
}

type SparedRecord =
  | { readonly options?: undefined; readonly reason: string }
  | (Pick<StepResult, "changes" | "misses"> & { readonly options: OptionValues });

/** Returns the request for trying other options of a step. The results of these attempts are kept in the store. */
async function stepRequest(step: PassStep, input: string, run: RunContext) {
  const { runner, evaluator, context, store } = run;
  return {
    pass: step.pass,
    options: step.options,
    original: await store.open(input),
    output: evaluator.output,
    async run(options: OptionValues, pass = step.pass): Promise<StepOutput> {
      throwIfAborted(context.signal);
      return openOutput(await runner.run({ ...step, pass, options }, input), run);
    },
  };
}

async function openOutput({ changes, misses, output }: StepResult, { store }: RunContext): Promise<StepOutput> {
  return { changes, misses, model: await store.open(output) };
}
