/** Data made ready for a model: prepared as stated, as a file beside the model says, or as the model scores best. */
import { type Dataset, findImages, type Preprocessing, preprocess } from "../../data/index.ts";
import type { Engine } from "../../engine/index.ts";
import { PithError } from "../../errors.ts";
import { guessPreprocessing, imageInput } from "../../evaluate/index.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { type DataRequest, declaredPreprocessing } from "../data.ts";
import { chanceQuestion } from "../numbers.ts";

export interface Preparation {
  /** What reports say: "imagenet", or that it was guessed; undefined where the data is fed as it is. */
  readonly name: string | undefined;
  /** The preprocessing alone: "imagenet". */
  readonly preset: string | undefined;
  /** What makes the figures doubtful, as sentences. */
  readonly warnings: readonly string[];
  /** Whether the samples have labels. */
  readonly labelled: boolean;
  /** Any part of the same data, ready for the model. */
  ready(dataset: Dataset): Dataset;
}

/** @throws PithError E_DATA if the data has no samples, or what it needs cannot be found out. */
export async function prepare(
  engine: Engine,
  model: Model,
  modelPath: string,
  request: DataRequest,
  dataset: Dataset,
  context: JobContext,
): Promise<Preparation> {
  const shape = await firstShape(model, dataset);
  const declared = await declaredPreprocessing(request, modelPath);
  if (!shape.images) {
    if (declared !== undefined && request.preprocess !== undefined) {
      throw new PithError("E_USAGE", `--preprocess is for stored images, and ${dataset.name} has none.`);
    }
    return { name: undefined, preset: undefined, warnings: [], labelled: shape.labelled, ready: (part) => part };
  }
  const input = imageInput(model);
  const use = (how: Preprocessing) => (part: Dataset) => preprocess(part, input, how);
  if (!shape.labelled) {
    if (declared === undefined) {
      throw new PithError(
        "E_DATA",
        `${dataset.name} has no labels, so how its images are to be prepared cannot be found by trying.`,
        {
          hint: "State it: --preprocess imagenet (or cifar10, mnist, unit, symmetric, raw, caffe).",
        },
      );
    }
    return { name: declared.name, preset: declared.name, warnings: [], labelled: false, ready: use(declared) };
  }
  context.stage("preprocessing");
  const { chosen, chance, trusted, scores, indistinct } = await guessPreprocessing(engine, model, dataset, {
    batch: request.batch,
    signal: context.signal,
    progress: (done, total) => context.progress(done, total),
    ...(declared === undefined ? {} : { tried: [declared] }),
  });
  const warnings: string[] = [];
  if (!trusted) {
    const text = chanceQuestion(chosen.name, scores[0]?.accuracy.value ?? 0, chance);
    warnings.push(text);
    context.log({ id: "chance", text, level: "warning" });
  }
  const name = declared === undefined ? guessText(chosen.name, indistinct) : chosen.name;
  return { name, preset: chosen.name, warnings, labelled: true, ready: use(chosen) };
}

/** `guessed "imagenet"; "cifar10" fits about as well. Set it with --preprocess imagenet.` */
function guessText(name: string, indistinct: readonly Preprocessing[]): string {
  const others = indistinct.map((other) => `"${other.name}"`).join(", ");
  const doubt = others === "" ? "" : `; ${others} ${indistinct.length === 1 ? "fits" : "fit"} about as well`;
  return `guessed "${name}"${doubt}. Set it with --preprocess ${name}.`;
}

async function firstShape(
  model: Model,
  dataset: Dataset,
): Promise<{ readonly images: boolean; readonly labelled: boolean }> {
  for await (const batch of dataset.batches({ size: 1 })) {
    // Columns under the names of the inputs, in their types, are ready as they are.
    const isReady = model.graph.feeds.every((feed) => {
      const column = batch[feed.name];
      return column !== undefined && (column.type !== "uint8" || feed.type?.type === "uint8");
    });
    return { images: !isReady && findImages(batch) !== undefined, labelled: batch.label !== undefined };
  }
  throw new PithError("E_DATA", `${dataset.name} has no samples.`);
}
