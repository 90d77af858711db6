/** Advice in sentences of a run. Options are in backticks, which the command line turns into flags. */
import type { AnyPass, OptionValues } from "../../core/pass/pass.ts";
import { namesAt } from "../../core/pass/schema.ts";
import { trains } from "../steps/step.ts";

/** Returns the end of a sentence: how to keep trained weights that are not written. */
export function keepingAdvice({ options: schema }: AnyPass, { checkpoint }: OptionValues): string {
  if (typeof checkpoint === "string")
    return `; ${checkpoint} keeps the trained weights. \`force\` writes it in any case.`;
  if (!namesAt(schema).includes("checkpoint")) return ". `force` writes it in any case.";
  return ". To keep it in any case: `checkpoint` <folder>, or `force`.";
}

/** Returns a sentence about a setting that loses less, for passes that train; "" for others, which are expected to lose a little. */
export function lessLossyAdvice(pass: AnyPass, options: OptionValues): string {
  const advice = trains(pass) ? pass.gentler?.(options, false) : undefined;
  return advice === undefined ? "" : ` ${advice}.`;
}
