/** `--data` and what belongs to it: the same flags in every command, and from them the data sets of a task. */

import * as v from "valibot";
import { fileKind, folderOf, joinPath, readText } from "#platform";
import { fromPreprocessorConfig, type Preprocessing, parsePreprocessing } from "../data/index.ts";
import { PithError } from "../errors.ts";

/** Entries for the schema of a command that takes data. */
export const dataFlags = {
  data: v.optional(
    v.pipe(
      v.string(),
      v.description("data set: idx (MNIST), CIFAR .bin, .npz, .npy, .csv, .tsv, .jsonl, or an ES module"),
      v.metadata({ value: "path" }),
    ),
  ),
  preprocess: v.optional(
    v.pipe(
      v.string(),
      v.description(
        'preset (imagenet, cifar10, mnist, unit, symmetric, raw, caffe) or "scale=1/255 mean=… std=… channels=BGR"',
      ),
      v.metadata({ value: "how" }),
    ),
  ),
  mean: v.optional(v.pipe(v.array(v.number()), v.description("mean per channel, after scaling"))),
  std: v.optional(v.pipe(v.array(v.number()), v.description("standard deviation per channel, after scaling"))),
  samples: v.optional(
    v.pipe(
      v.number(),
      v.integer(),
      v.minValue(1),
      v.description("use at most n samples, drawn by --seed"),
      v.metadata({ value: "n" }),
    ),
  ),
  batch: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.description("samples a run"), v.metadata({ value: "n" })),
    64,
  ),
};

const dataSchema = v.object(dataFlags);
export type DataFlags = v.InferOutput<typeof dataSchema>;

/** What of the flags goes to a job. */
export interface DataRequest {
  readonly path: string;
  /** In the words of `parsePreprocessing`; undefined: found out. */
  readonly preprocess: string | undefined;
  readonly samples: number | undefined;
  readonly batch: number;
}

/** @throws PithError E_USAGE where flags say something about data that was not given. */
export function dataRequest(flags: DataFlags): DataRequest | undefined {
  const { data, preprocess: preset, mean, std, samples, batch } = flags;
  if (data === undefined) {
    const alone = Object.entries({ preprocess: preset, mean, std, samples }).find(([, value]) => value !== undefined);
    if (alone === undefined) return undefined;
    throw new PithError("E_USAGE", `--${alone[0]} says how to read data, and there is no --data.`);
  }
  const words = [
    ...(preset === undefined ? [] : [preset]),
    ...(mean === undefined ? [] : [`mean=${mean.join(",")}`]),
    ...(std === undefined ? [] : [`std=${std.join(",")}`]),
  ];
  const text = words.length === 0 ? undefined : words.join(" ");
  // A wrong word is refused here, before anything is read.
  if (text !== undefined) parsePreprocessing(text);
  return { path: data, preprocess: text, samples, batch };
}

/** How the images are to be prepared: as stated, or as preprocessor_config.json beside the model says; else undefined. */
export async function declaredPreprocessing(
  request: DataRequest,
  modelPath: string,
): Promise<Preprocessing | undefined> {
  if (request.preprocess !== undefined) return parsePreprocessing(request.preprocess);
  const folder = folderOf(modelPath);
  for (const place of [folder, joinPath(folder, "..")]) {
    const path = joinPath(place, "preprocessor_config.json");
    if ((await fileKind(path)) === "file") return fromPreprocessorConfig(JSON.parse(await readText(path)));
  }
  return undefined;
}
