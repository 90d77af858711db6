/** Judges a model as it is, alone or next to its original. */
import type * as v from "valibot";
import { firstBatch } from "#batches";
import { type Batch, dataError, truncateList } from "#ir";
import { labelNames } from "../../../../data/files/labels.ts";
import { imagePathColumn } from "../../../../data/images/image-batches.ts";
import { findImages } from "../../../../data/images/preprocess.ts";
import type { Dataset } from "../../../../data/index.ts";
import { textColumns } from "../../../../data/text/sequences.ts";
import { type JudgedModel, measureModels } from "../../../../judge/run/measure-models.ts";
import type { OpenedTask } from "../../../../judge/task/open-task.ts";
import type { RunTarget } from "../../../../runtime/run/run-target.ts";
import type { ProcessSession } from "../../command.ts";
import type { options } from "../../commands/eval.ts";
import type { DataRequest } from "../../flags/data.ts";
import { openModelAndOriginal } from "./open-data.ts";

/** @param data undefined to compare the model with its original on texts or random inputs. */
export async function judgeModel(
  path: string,
  data: DataRequest | undefined,
  { original: originalPath, metric, output, maxDrop, strict = false }: v.InferOutput<typeof options>,
  targets: readonly RunTarget[],
  session: ProcessSession,
): Promise<JudgedModel> {
  const wordsOf = (before: string, after: string) => ["eval", after, "--original", before];
  const { context, explain, ...opened } = await openModelAndOriginal(path, originalPath, data, wordsOf, session);
  const { original, task } = opened;
  if (task?.labelled === false && original === undefined) await explainMissingLabels(task);
  const request = { ...opened, targets, metric, output, batch: data?.batch, goal: { maxDrop, strict } };
  return measureModels(request, context).catch(explain);
}

async function explainMissingLabels({ shownSamples: dataset, preprocessing }: OpenedTask): Promise<never> {
  const first = await firstBatch(dataset);
  const note = preprocessing === undefined ? "" : ` (${preprocessing})`;
  const text =
    first.label === undefined
      ? `${dataset.name} has no labels${note}${await columnsText(dataset)}.`
      : `${dataset.name} has class labels, which are no ground truth for this model.`;
  throw dataError(text, {
    hint: `${first.label === undefined ? `${labelsHint(first)} ` : ""}Without labels a model can be compared with its original: --original original.onnx.`,
  });
}

function hasImages(batch: Batch): boolean {
  const images = findImages(batch);
  return imagePathColumn(batch) !== undefined || (images !== undefined && (batch[images.name]?.dims.length ?? 0) > 2);
}

function labelsHint(batch: Batch): string {
  return hasImages(batch)
    ? "Images get their labels from one folder per class, or from labels.csv next to them."
    : `A column with labels is called ${labelNames.slice(0, -1).join(", ")} or ${labelNames.at(-1)}.`;
}

async function columnsText(dataset: Dataset): Promise<string> {
  for await (const batch of dataset.batches({ size: 1 })) {
    const listNames = (names: readonly string[]): string => truncateList(names.map((name) => `"${name}"`));
    const names = Object.keys(batch);
    const texts = textColumns(batch, dataset.name);
    const images = hasImages(batch) ? ", with images" : "";
    const remark = texts === undefined ? images : `, and ${listNames(texts)} was taken as the text`;
    return `: its ${names.length === 1 ? "only column is" : "columns are"} ${listNames(names)}${remark}`;
  }
  return "";
}
