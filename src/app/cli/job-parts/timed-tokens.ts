import { tokenizerBeside } from "../../../data/text/tokenizer.ts";
import { timedLength } from "../../../runtime/run/timed-inputs.ts";

/** Returns the number of tokens with which a model is timed. A tokenizer next to the model limits it. */
export async function timedTokenCount(path: string): Promise<number> {
  return Math.min(timedLength, (await tokenizerBeside(path).catch(() => undefined))?.longest ?? timedLength);
}
