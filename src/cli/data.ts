/** `--data` and what belongs to it: the same flags in every command, and from them the data sets of a task. */

import * as v from "valibot";
import { fileKind, folderOf, joinPath, readText } from "#platform";
import {
  collect,
  type Dataset,
  fromPreprocessorConfig,
  isIndexed,
  openDataset,
  type Part,
  type Preprocessing,
  parsePreprocessing,
  split,
  take,
} from "../data/index.ts";
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
      v.description("judge on so many samples at most"),
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

/** Samples to measure ranges with: enough for stable statistics, and soon run. */
const calibrationSamples = 200;

/**
 * Samples to calibrate with and samples to judge by, which never overlap: the train and test parts where the source has both; else
 * a tenth of the samples, at most 200, is set aside by a fixed draw.
 */
export async function openParts(
  path: string,
  limit: number | undefined,
): Promise<{ readonly calibrate: Dataset; readonly test: Dataset }> {
  const cut = (dataset: Dataset): Dataset => (limit === undefined ? dataset : take(dataset, limit));
  const [train, test] = await Promise.all([openIfThere(path, "train"), openIfThere(path, "test")]);
  if (train !== undefined && test !== undefined) return { calibrate: take(train, calibrationSamples), test: cut(test) };
  const only = test ?? train ?? (await openDataset(path));
  const whole = isIndexed(only)
    ? only
    : await collect(only, limit === undefined ? undefined : limit + calibrationSamples);
  const share = Math.min(0.1, calibrationSamples / whole.count);
  const [calibrate, rest] = split(whole, [share, 1 - share], 0);
  if (calibrate === undefined || rest === undefined || calibrate.count === 0 || rest.count === 0) {
    throw new PithError(
      "E_DATA",
      `${whole.name} has ${whole.count} samples, too few to calibrate with some and judge by others.`,
    );
  }
  return { calibrate, test: cut(rest) };
}

async function openIfThere(path: string, part: Part): Promise<Dataset | undefined> {
  try {
    return await openDataset(path, { part });
  } catch (error) {
    if (error instanceof PithError && error.code === "E_DATA") return undefined;
    throw error;
  }
}
