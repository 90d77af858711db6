/** Applies the precision fallback to a step that misses the goal, using the validation samples. */
import { Miss } from "../../core/errors.ts";
import { allowance } from "../../core/numbers.ts";
import type { Context, OptionValues } from "../../core/pass/pass.ts";
import { type Goal, isWithin, judge } from "../compare/compare.ts";
import type { PassStep } from "../recipe/pass-steps.ts";
import type { StepResult } from "../steps/runner.ts";
import { madeOnce } from "../steps/store.ts";
import type { Evaluation } from "./evaluator.ts";
import { spare } from "./sparing.ts";
import { onValidation } from "./sparing-samples.ts";
import { opened, stepRun } from "./step-run.ts";
import type { RunContext } from "./variant.ts";

/** @param input the model before the step. @returns undefined if the goal is met or no layers help. @throws PithError of the pass. */
export async function sparedStep(
  step: PassStep,
  input: string,
  plain: StepResult,
  { comparison }: Evaluation,
  goal: Goal | undefined,
  given: RunContext,
): Promise<StepResult | undefined> {
  const { runner, evaluator, context, store, task, judging } = given;
  if (step.spares !== true || goal === undefined) return undefined;
  const { drop, met } = judge(comparison, goal);
  if (met || isWithin(drop, goal)) return undefined;
  const search = onValidation(evaluator.metrics, task.test, goal);
  const warn = (text: string): void => context.log({ id: "sparing", text, level: "warning" });
  if (search instanceof Miss) {
    warn(`${step.name}: no layers are kept at higher precision: ${search.reason}`);
    return undefined;
  }
  if (input !== store.original) {
    const before = await evaluator.measure(input, `before ${step.name}`);
    if (!isWithin(judge(before.comparison, goal).drop, goal)) {
      warn(`${step.name}: no layers are kept at higher precision: its input already misses the goal`);
      return undefined;
    }
  }
  const key = { sparedFor: goal, judging, of: await runner.keyOf(step, input) };
  const found = await madeOnce(store.records, key, async (): Promise<Found> => {
    const [lost, allowed] = [drop.value, goal.maxDrop].map((value) => allowance(comparison.unit, value));
    context.log({
      id: "sparing",
      text: `${step.name}: ${lost} lost, ${allowed} allowed: looking for the layers with the largest error`,
    });
    const quiet: Context = { ...context, log: (event) => (event.id === "duration" ? context.log(event) : undefined) };
    const request = {
      pass: step.pass,
      options: step.options,
      original: await store.open(input),
      plain: await opened(plain, store),
      run: stepRun(step, input, given),
      output: evaluator.output,
      search,
    };
    return foundBy(await spare(request, quiet));
  });
  if (found.options === undefined) {
    warn(`${step.name}: ${found.reason}`);
    return undefined;
  }
  const { options, changes, misses } = found;
  return { ...(await runner.run({ ...step, options }, input)), changes, misses };
}

type Found =
  | { readonly options?: undefined; readonly reason: string }
  | (Pick<StepResult, "changes" | "misses"> & { readonly options: OptionValues });

function foundBy(found: Awaited<ReturnType<typeof spare>>): Found {
  if (found instanceof Miss) return { reason: found.reason };
  const { made, options } = found;
  return { options, changes: made.changes, misses: made.misses.map(({ at, reason, by }) => ({ at, reason, by })) };
}
