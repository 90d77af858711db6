/** Sentences about options with which a training loses less, or keeps its weights. */
import { type AnyPass, namesAt, type OptionValues } from "#pass";
import { isTraining } from "../steps/step-options.ts";

/** Returns a sentence about a setting that loses less, for passes that train; "" for others. */
export function lessLossyAdvice(pass: AnyPass, options: OptionValues): string {
  const advice = isTraining(pass) ? pass.gentler?.(options, false) : undefined;
  return advice === undefined ? "" : ` ${advice}.`;
}

/** Returns the end of the sentence about a trained model that is not written. */
export function keepingAdvice({ options: schema }: AnyPass, { checkpoint }: OptionValues): string {
  if (typeof checkpoint === "string")
    return `; ${checkpoint} keeps the trained weights. \`force\` writes it in any case.`;
  if (!namesAt(schema).includes("checkpoint")) return ". `force` writes it in any case.";
  return ". To keep it in any case: `checkpoint` <folder>, or `force`.";
}
