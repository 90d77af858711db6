import { throwIfAborted } from "../../core/errors.ts";
import type { OptionValues } from "../../core/pass/pass.ts";
import type { PassStep } from "../recipe/pass-steps.ts";
import type { StepResult } from "../steps/runner.ts";
import type { Store } from "../steps/store.ts";
import type { StepOutput } from "./sparing.ts";
import type { RunContext } from "./variant.ts";

/** Reruns a step with other options or another pass, unless the result is in the store. */
export function stepRun(step: PassStep, input: string, { runner, context, store }: RunContext) {
  return async (options: OptionValues, pass = step.pass): Promise<StepOutput> => {
    throwIfAborted(context.signal);
    return opened(await runner.run({ ...step, pass, options }, input), store);
  };
}

export async function opened({ changes, misses, output }: StepResult, store: Store): Promise<StepOutput> {
  return { changes, misses, model: await store.open(output) };
}
