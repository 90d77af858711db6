/** Runs a step of a recipe with bits per layer that fit a file size. */
import { throwIfAborted } from "../../core/errors.ts";
import type { Context, OptionValues } from "../../core/pass/pass.ts";
import type { PassStep } from "../recipe/pass-steps.ts";
import type { StepResult } from "../steps/runner.ts";
import { madeOnce } from "../steps/store.ts";
import { keyOfSamples } from "./data-parts.ts";
import { withinBytes } from "./size-budget.ts";
import { stepRun } from "./step-run.ts";
import type { RunContext } from "./variant.ts";

/** @param input the model before the step. @throws PithError E_UNSUPPORTED if no choice of bits fits; errors of the pass. */
export async function sizedStep(step: PassStep, input: string, bytes: number, given: RunContext): Promise<StepResult> {
  const { runner, evaluator, context, store, task } = given;
  throwIfAborted(context.signal);
  const { output } = evaluator;
  const samples = await keyOfSamples(task.calibrate);
  const key = { bitsWithin: bytes, samples, output, of: await runner.keyOf(step, input) };
  const options = await madeOnce(store.records, key, async (): Promise<OptionValues> => {
    const quiet: Context = { ...context, log: () => {} };
    const request = {
      pass: step.pass,
      options: step.options,
      original: await store.open(input),
      run: stepRun(step, input, given),
      samples: task.calibrate,
      output,
    };
    return (await withinBytes(request, bytes, quiet)).options;
  });
  return runner.run({ ...step, options }, input);
}
