/** A step of a recipe whose layers have as many bits as a file has room for. */
import { contentHash } from "../data/index.ts";
import { stopIfAsked } from "../errors.ts";
import type { Context, OptionValues } from "../passes/index.ts";
import type { StepResult } from "../run/runner.ts";
import type { PassStep } from "./pass-steps.ts";
import { withinBytes } from "./size-budget.ts";
import { stepRun } from "./step-run.ts";
import type { RunContext } from "./variant.ts";

/**
 * @param input the model that the step begins with.
 * @param bytes of the file, at most.
 * @throws PithError E_UNSUPPORTED where no bits are few enough, E_STOPPED on the context's signal, and whatever the pass throws.
 */
export async function sizedStep(step: PassStep, input: string, bytes: number, given: RunContext): Promise<StepResult> {
  const { runner, evaluator, context, store, task } = given;
  stopIfAsked(context.signal);
  const quiet: Context = { ...context, log: () => {} };
  const request = {
    pass: step.pass,
    options: step.options,
    original: await store.open(input),
    run: stepRun(step, input, given),
    samples: task.calibrate,
    output: evaluator.output,
  };
  const samples = task.calibrate && (await contentHash(task.calibrate));
  const key = { bitsWithin: bytes, samples, output: evaluator.output, of: await runner.keyOf(step, input) };
  const known = (await store.records?.read(key)) as OptionValues | undefined;
  const options = known ?? (await withinBytes(request, bytes, quiet)).options;
  if (known === undefined) await store.records?.write(key, options);
  return runner.run({ ...step, options }, input);
}
