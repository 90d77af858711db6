/** Determines the preprocessing of stored images for a model: as stated, recorded in the model, or guessed. */
import { infer, mainOutput } from "#analysis";
import { firstBatch } from "#batches";
import type { Batch, Model } from "#ir";
import { capitalize, counted, dataError, elementCount, integer, percent, toFloat64, truncateList } from "#ir";
import type { Context } from "#pass";
import { flatImageText, usedGeometryText } from "../../data/images/preprocess.ts";
import { contrastOf, hasOddMean } from "../../data/images/presets.ts";
import { type Dataset, draw, type Preprocessing, preprocess, presets } from "../../data/index.ts";
import { minVerdictSamples } from "../compare/compare-function.ts";
import { guessPreprocessing, imageInput, similarRange } from "./guess-preprocessing.ts";
import type { PreparationContext, PreparedTask } from "./prepare.ts";

interface Images {
  readonly first: Batch;
  readonly labelled: boolean;
  readonly ready: (change: (dataset: Dataset) => Dataset) => (part: Dataset) => Dataset;
}

/** Difference of black and white after preprocessing. Common preprocessings have at least 1. */
const minContrast = 0.05;

export async function prepareImages(
  model: Model,
  dataset: Dataset,
  { first, labelled, ready }: Images,
  { stated, isRecorded, sidecars, batch, reference, learns, calibrates, needsLabels, onGuess }: PreparationContext,
  context: Context,
): Promise<PreparedTask> {
  const input = imageInput(model);
  const warnings: string[] = [];
  const warn = (id: string, text: string): void => {
    warnings.push(text);
    context.log({ id, text, level: "warning" });
  };
  const declared = stated.images ?? sidecars.preprocessing;
  for (const text of declared === undefined ? [] : scaleDoubts(declared))
    context.log({ id: "preprocessing", text, level: "warning" });
  const source = isRecorded ? ", recorded in the model" : "";
  const describe = (transform: Preprocessing): string => {
    const geometry = usedGeometryText(first, input, transform);
    const isStated = transform.resize !== undefined || transform.crop !== undefined || geometry === "";
    return `${transform.name}${isStated ? "" : ` ${geometry}`}${source}`;
  };
  const preparedTask = (transform: Preprocessing, preprocessing: string, atChance = false): PreparedTask => {
    const record = { images: transform };
    const flat = flatImageText(first, input, transform);
    if (flat !== undefined) context.log({ id: "shape", text: `${dataset.name}: each image ${flat}` });
    const prepareParts = ready((part) => preprocess(part, input, transform));
    return { preprocessing, preset: transform.name, warnings, atChance, labelled, record, ready: prepareParts };
  };
  if (!labelled && needsLabels) {
    if (declared !== undefined) return preparedTask(declared, describe(declared));
    return { ...preparedTask(presets.unit, ""), preprocessing: undefined, record: {} };
  }
  if (!labelled) {
    if (declared !== undefined) return preparedTask(declared, describe(declared));
    const { label } = first;
    const isOneClass = label !== undefined && elementCount(label.dims) === label.dims[0];
    const classesText = isOneClass
      ? "Classes are not ground truth for a detector"
      : "Its labels are not one class per image";
    const reason = label === undefined ? `${dataset.name} has no labels` : classesText;
    throw dataError(`${reason}, so the preprocessing of its images cannot be guessed.`, {
      hint: `Set the one that the application or the model card uses: \`preprocess: "imagenet"\` (or cifar10, mnist, unit, symmetric, raw, caffe).`,
    });
  }
  await requireClassFolders(reference, dataset);
  onGuess();
  const { chosen, chance, trusted, scores, indistinct } = await guessPreprocessing(context.engine, reference, dataset, {
    batch,
    signal: context.signal,
    progress: (ran, total) => context.progress(ran, total),
    ...(declared === undefined ? {} : { tried: [declared] }),
  });
  const { brokenSamples: broken = 0, accuracy: { value = 0, count = 0 } = {} } = scores[0] ?? {};
  const modelText = reference === model ? "the model" : (reference.place ?? "the reference model");
  if (broken > 0) {
    const text = `With preprocessing "${chosen.name}" ${modelText} outputs NaN or infinity on ${integer(broken)} of ${counted(count, "sample")} tried.`;
    warn("nan", text);
  } else if (!trusted) {
    warn("chance", atChanceWarning(chosen.name, value, chance, count, learns && reference === model, modelText));
  }
  const fitting = broken === 0 ? indistinct : [];
  if (declared === undefined && fitting.length > 0 && count < minVerdictSamples)
    warn("preprocessing", undecidedText(chosen.name, fitting, count));
  else if (calibrates && fitting.some((other) => rangesDiffer(other, chosen)))
    warn("preprocessing", rangeText(chosen, fitting));
  if (declared !== undefined) return preparedTask(chosen, describe(chosen), !trusted);
  const tried = scores.map(({ preprocessing, accuracy }) => ({
    name: preprocessing.name,
    accuracy,
    fits: preprocessing === chosen || indistinct.includes(preprocessing),
  }));
  return { ...preparedTask(chosen, guessText(chosen.name, fitting), !trusted), tried };
}

/** Warnings if mean and std of a stated preprocessing seem to be meant for another scale of pixels. */
function scaleDoubts(preprocessing: Preprocessing): readonly string[] {
  const { name, scale, mean } = preprocessing;
  const contrast = contrastOf(preprocessing);
  const rule = "mean and std apply to pixels multiplied by scale (default 1/255)";
  const range = `pixels reach from 0 to ${Number((255 * scale).toPrecision(3))} before mean (${mean}) is subtracted`;
  const about = `With preprocessing "${name}"`;
  return [
    ...(contrast < minContrast
      ? [`${about}, black and white differ by ${contrast.toPrecision(1)} only: ${rule}. Did you mean scale=1?`]
      : []),
    ...(hasOddMean(preprocessing) ? [`${about}, ${range}: ${rule}. Is mean meant for pixels of another scale?`] : []),
  ];
}

const namesOf = (all: readonly Preprocessing[]): string => all.map(({ name }) => `"${name}"`).join(", ");

function guessText(name: string, indistinct: readonly Preprocessing[]): string {
  const names = namesOf(indistinct);
  const doubt = names === "" ? "" : `; ${names} ${indistinct.length === 1 ? "fits" : "fit"} about as well`;
  return `guessed "${name}", by its accuracy${doubt}. If your application prepares images in another way, set \`preprocess\`.`;
}

/** A few suffice: if folders are named by years, for example, all labels are invalid. */
const checkedLabels = 64;

/** @throws PithError E_DATA if numeric folder names, such as years, are not classes of the model. */
async function requireClassFolders(model: Model, dataset: Dataset): Promise<void> {
  const { image, label } = await firstBatch(draw(dataset, checkedLabels, 0), checkedLabels);
  const output = mainOutput(model.graph.outputs);
  const classes = output && infer(model).operand(output)?.dims?.at(-1);
  if (image?.type !== "string" || label === undefined || typeof classes !== "number") return;
  const isClass = Array.from(toFloat64(label), (value) => value < Math.max(2, classes));
  const folders = image.data.map((path) => path.split(/[/\\]/).at(-2) ?? "");
  const invalidFolders = folders.filter((folder, index) => isClass[index] === false && /^\d+$/.test(folder));
  if (invalidFolders.length === 0) return;
  const folderList = truncateList([...new Set(invalidFolders)].sort());
  throw dataError(
    `The folders ${folderList} were taken as class labels, and the model has ${counted(classes, "class")} (0 to ${classes - 1}).`,
    { hint: "Put photos without labels in one folder." },
  );
}

function rangesDiffer(a: Preprocessing, b: Preprocessing): boolean {
  const [first, second] = [contrastOf(a), contrastOf(b)];
  return Math.max(first, second) > similarRange * Math.min(first, second);
}

function rangeText({ name }: Preprocessing, indistinct: readonly Preprocessing[]): string {
  return `Several preprocessings fit about as well as "${name}", with which Pith calibrates (${namesOf(indistinct)}). Inputs of a wider range lose accuracy. Set the preprocessing of your application with \`preprocess\`.`;
}

function undecidedText(name: string, indistinct: readonly Preprocessing[], count: number): string {
  const samples = count === 1 ? "1 sample does" : `${count} samples do`;
  return `${samples} not distinguish preprocessing "${name}" from ${namesOf(indistinct)}, and the metrics depend on it: set it with \`preprocess\`.`;
}

/** @param chance share of the most frequent class. @param learns whether the model will be trained. @param modelText the model in words. */
export function atChanceWarning(
  preprocessing: string | undefined,
  accuracy: number,
  chance: number,
  sampleCount?: number,
  learns = false,
  modelText = "the model",
): string {
  const condition = preprocessing === undefined ? "" : `With preprocessing "${preprocessing}" `;
  const scores = `${percent(accuracy)} against ${percent(chance)}${sampleCount === undefined ? "" : ` on ${integer(sampleCount)} samples tried`}`;
  const suspects =
    preprocessing === undefined ? "the labels and the model" : "the preprocessing, the labels and the model";
  const comparisonText = accuracy > chance ? "not clearly better" : "no better";
  const trainingNote = learns ? " An untrained network scores like this, too." : "";
  return `${condition === "" ? capitalize(modelText) : condition + modelText} scores ${comparisonText} than always predicting the most frequent class (${scores}). Check ${suspects}.${trainingNote}`;
}
