/** What is said of how data is prepared, in one text: words about images, texts and sound. */
import { PithError } from "../errors.ts";
import type { FrameOptions } from "./frames.ts";
import { type Preprocessing, parsePreprocessing } from "./presets.ts";

export interface PreprocessingSpec {
  /** Of images; undefined where nothing is said of them. */
  readonly images: Preprocessing | undefined;
  /** Tokens of a text at most, or of a window of running text. */
  readonly length: number | undefined;
  /** Of sound. */
  readonly frames: FrameOptions | undefined;
}

/**
 * `length=128` for text; `frame=512 context=64 rate=16000` for sound; every other word as `parsePreprocessing` has it.
 * @throws PithError E_OPTION with the word that is not understood.
 */
export function parsePreprocessingSpec(text: string): PreprocessingSpec {
  const others: string[] = [];
  const numbers = new Map<string, number>();
  for (const word of text.split(/\s+/).filter((one) => one !== "")) {
    const [key = "", value = ""] = word.split("=", 2);
    if (!["length", "frame", "context", "rate"].includes(key)) {
      others.push(word);
      continue;
    }
    const least = key === "context" ? 0 : 1;
    if (!/^\d{1,7}$/.test(value) || Number(value) < least) {
      throw new PithError("E_OPTION", `Preprocessing: "${word}" should be a whole number, like ${key}=128.`);
    }
    numbers.set(key, Number(value));
  }
  const frame = numbers.get("frame");
  const [context, rate] = [numbers.get("context"), numbers.get("rate")];
  if (frame === undefined && (context !== undefined || rate !== undefined)) {
    throw new PithError("E_OPTION", "Preprocessing: context and rate belong to sound, which needs frame=… as well.");
  }
  return {
    images: others.length === 0 ? undefined : parsePreprocessing(others.join(" ")),
    length: numbers.get("length"),
    frames:
      frame === undefined
        ? undefined
        : { frame, ...(context === undefined ? {} : { context }), ...(rate === undefined ? {} : { rate }) },
  };
}
