/**
 * How the data of a model was prepared, kept in the model. A guess is made on how well a model answers, so one that was damaged may be guessed
 * otherwise than its original: what was found out once is written into the results of commands, and believed by those that follow.
 */
import { PithError } from "../errors.ts";
import { geometryText } from "./geometry.ts";
import { type PreprocessingSpec, parsePreprocessingSpec } from "./preprocessing-spec.ts";
import { type Preprocessing, presets } from "./presets.ts";

/** The key under which a model's metadata says how its data is prepared, in the syntax of `parsePreprocessingSpec`. */
export const preprocessingKey = "pith.preprocessing";

/** What recording needs to know of a model; `Model` has it. */
export interface Recording {
  readonly header: { readonly metadata: Map<string, string> };
}

const nothing: PreprocessingSpec = { images: undefined, length: undefined, frames: undefined };

/** Writes into a model, and into its file if it is saved, how its data is prepared. Where nothing is said, nothing is changed. */
export function recordPrepared(model: Recording, said: PreprocessingSpec): void {
  const text = statedText(said);
  if (text !== "") model.header.metadata.set(preprocessingKey, text);
}

/** What is recorded in a model. @throws PithError E_DATA where somebody wrote there what is not understood. */
export function recordedPrepared({ header }: Recording): PreprocessingSpec {
  const text = header.metadata.get(preprocessingKey);
  if (text === undefined) return nothing;
  try {
    return parsePreprocessingSpec(text);
  } catch (cause) {
    if (!(cause instanceof PithError)) throw cause;
    throw new PithError("E_DATA", `The model's own metadata, ${preprocessingKey}, is not understood: "${text}".`, {
      hint: "State the preprocessing: it is then written anew.",
      cause,
    });
  }
}

/** Text that `parsePreprocessingSpec` parses to the same spec. */
export function statedText({ images, length, frames }: PreprocessingSpec): string {
  const { frame, context, rate } = frames ?? {};
  const numbers = Object.entries({ length, frame, context, rate });
  return [
    ...(images === undefined ? [] : [preprocessingText(images)]),
    ...numbers.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
  ].join(" ");
}

/** "imagenet", or "scale=1 mean=123,117,104 std=1 channels=BGR", with the geometry, if there is one. */
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
