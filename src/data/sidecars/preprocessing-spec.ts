/** Stores preprocessing settings in the model, so that later commands do not guess again: a damaged model could get another guess. */
import { PithError } from "../../core/errors.ts";
import type { FrameOptions } from "../files/frames.ts";
import { geometryText } from "../images/geometry.ts";
import { type Preprocessing, parsePreprocessing, presets } from "../images/presets.ts";

export interface PreprocessingSpec {
  /** Undefined if the text contains no image settings. */
  readonly images: Preprocessing | undefined;
  /** Maximum tokens of a text or a window of running text. */
  readonly length: number | undefined;
  readonly frames: FrameOptions | undefined;
}

/** Parses `length=128` (text), `frame=512 context=64 rate=16000` (sound) and `parsePreprocessing`. @throws PithError E_OPTION */
export function parsePreprocessingSpec(text: string): PreprocessingSpec {
  const imageWords: string[] = [];
  const numbers = new Map<string, number>();
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    const [key = "", value = ""] = word.split("=", 2);
    if (!["length", "frame", "context", "rate"].includes(key)) {
      imageWords.push(word);
      continue;
    }
    const min = key === "context" ? 0 : 1;
    if (!/^\d{1,7}$/.test(value) || Number(value) < min) {
      throw new PithError("E_OPTION", `Preprocessing: "${word}" should be a whole number, like ${key}=128.`);
    }
    numbers.set(key, Number(value));
  }
  const frame = numbers.get("frame");
  const [context, rate] = [numbers.get("context"), numbers.get("rate")];
  if (frame === undefined && (context !== undefined || rate !== undefined)) {
    throw new PithError("E_OPTION", "Preprocessing: context and rate require frame=… (sound).");
  }
  return {
    images: imageWords.length === 0 ? undefined : parsePreprocessing(imageWords.join(" ")),
    length: numbers.get("length"),
    frames:
      frame === undefined
        ? undefined
        : { frame, ...(context === undefined ? {} : { context }), ...(rate === undefined ? {} : { rate }) },
  };
}

/** Metadata key of the preprocessing settings in the syntax of `parsePreprocessingSpec`. */
export const preprocessingKey = "pith.preprocessing";

/** The part of a `Model` that recording needs. */
export interface Recording {
  readonly header: { readonly metadata: Map<string, string> };
}

const nothing: PreprocessingSpec = { images: undefined, length: undefined, frames: undefined };

/** Reads the stored settings of a model. @throws PithError E_DATA if they are invalid. */
export function recordedPrepared({ header }: Recording): PreprocessingSpec {
  const text = header.metadata.get(preprocessingKey);
  if (text === undefined) return nothing;
  try {
    return parsePreprocessingSpec(text);
  } catch (cause) {
    if (!(cause instanceof PithError)) throw cause;
    throw new PithError("E_DATA", `The model's metadata entry ${preprocessingKey} is invalid: "${text}".`, {
      hint: "Set `preprocess`: the entry is then replaced.",
      cause,
    });
  }
}

/** Formats text that `parsePreprocessingSpec` parses to the same spec. */
export function statedText({ images, length, frames }: PreprocessingSpec): string {
  const { frame, context, rate } = frames ?? {};
  const numbers = Object.entries({ length, frame, context, rate });
  return [
    ...(images === undefined ? [] : [preprocessingText(images)]),
    ...numbers.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
  ].join(" ");
}

/** Returns "imagenet", or "scale=1 mean=123,117,104 std=1 channels=BGR", with the geometry if there is one. */
function preprocessingText(how: Preprocessing): string {
  const { scale, mean, std, channels, layout } = how;
  const same = Object.values(presets).find(
    (preset: Preprocessing) =>
      preset.scale === scale &&
      preset.channels === channels &&
      String(preset.mean) === String(mean) &&
      String(preset.std) === String(std),
  );
  const values = [`scale=${scale}`, `mean=${mean}`, `std=${std}`, `channels=${channels}`];
  return [...(same === undefined ? values : [same.name]), ...(layout ? [`layout=${layout}`] : []), geometryText(how)]
    .filter((word) => word !== "")
    .join(" ");
}
