/** Stores preprocessing settings in a model's metadata, because a guess with a compressed model could be different. */
import { dataError, optionError, PithError } from "#ir";
import type { FrameOptions } from "../files/frames.ts";
import { geometryText } from "../images/geometry.ts";
import { type Preprocessing, parsePreprocessing, presets } from "../images/presets.ts";

export interface PreprocessingSpec {
  readonly images: Preprocessing | undefined;
  /** Maximum tokens of a text, or of a window of running text. */
  readonly length: number | undefined;
  readonly frames: FrameOptions | undefined;
}

/** Parses `length=128` (text), `frame=512 context=64 rate=16000` (sound), and the settings of `parsePreprocessing`. @throws PithError E_OPTION */
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
      throw optionError(`Preprocessing: "${word}" should be a whole number, like ${key}=128.`);
    }
    numbers.set(key, Number(value));
  }
  const frame = numbers.get("frame");
  const [context, rate] = [numbers.get("context"), numbers.get("rate")];
  if (frame === undefined && (context !== undefined || rate !== undefined)) {
    throw optionError("Preprocessing: context and rate require frame=… (sound).");
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

/** Metadata key of the settings, as `parsePreprocessingSpec` reads them. */
export const preprocessingKey = "pith.preprocessing";

export interface HasMetadata {
  readonly header: { readonly metadata: Map<string, string> };
}

const emptySpec: PreprocessingSpec = { images: undefined, length: undefined, frames: undefined };

/** @throws PithError E_DATA if the settings are invalid. */
export function readPreprocessing({ header }: HasMetadata): PreprocessingSpec {
  const text = header.metadata.get(preprocessingKey);
  if (text === undefined) return emptySpec;
  try {
    return parsePreprocessingSpec(text);
  } catch (cause) {
    if (!(cause instanceof PithError)) throw cause;
    throw dataError(`The model's metadata entry ${preprocessingKey} is invalid: "${text}".`, {
      hint: "Set `preprocess`: the entry is then replaced.",
      cause,
    });
  }
}

/** Formats settings as text that `parsePreprocessingSpec` parses to the same settings. */
export function preprocessingSpecText({ images, length, frames }: PreprocessingSpec): string {
  const { frame, context, rate } = frames ?? {};
  const numbers = Object.entries({ length, frame, context, rate });
  return [
    ...(images === undefined ? [] : [preprocessingText(images)]),
    ...numbers.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
  ].join(" ");
}

/** Returns the preset's name ("imagenet") or the settings ("scale=1 mean=123,117,104 std=1 channels=BGR"), followed by the geometry. */
function preprocessingText(preprocessing: Preprocessing): string {
  const { scale, mean, std, channels, layout } = preprocessing;
  const matchingPreset = Object.values(presets).find(
    (preset: Preprocessing) =>
      preset.scale === scale &&
      preset.channels === channels &&
      String(preset.mean) === String(mean) &&
      String(preset.std) === String(std),
  );
  const values = [`scale=${scale}`, `mean=${mean}`, `std=${std}`, `channels=${channels}`];
  return [
    ...(matchingPreset === undefined ? values : [matchingPreset.name]),
    ...(layout ? [`layout=${layout}`] : []),
    geometryText(preprocessing),
  ]
    .filter((word) => word !== "")
    .join(" ");
}
