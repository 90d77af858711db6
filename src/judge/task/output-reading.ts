/** Decides what an output contains by its values and the labels, if the graph does not show it: probabilities, independent labels, detections. */
import { canHaveScales, mainOutput, outputKind, outputPartsOf, possibleDetectionForms } from "#analysis";
import { firstBatch, isIndexed, testSeed } from "#batches";
import { asPithError, counted, type Dense, type Model, throwIfAborted, toFloat64 } from "#ir";
import type { Context } from "#pass";
import type { Dataset } from "../../data/index.ts";
import { tokenInput } from "../../data/text/token-inputs.ts";
import { areDetections, hasPixels, objectnessShare, readDetections } from "../../runtime/metrics/detections.ts";
import { areLabelSets } from "../../runtime/metrics/label-sets.ts";
import type { MetricOptions } from "../../runtime/metrics/metric.ts";
import { runOverSamples } from "../../runtime/run/run-over-samples.ts";
import type { MetricName } from "./named-metrics.ts";
import { readingOf } from "./select-metric.ts";

/** Numbers of samples whose labels, or whose outputs, are checked. */
const [checkedLabels, checkedValues] = [64, 16];

interface ReadingRequest {
  readonly metric: MetricName;
  readonly labelled: boolean;
  /** Whether the values of the model are those of the tested model. */
  readonly isFinal: boolean;
}

/** Logs each decision that the graph alone does not make. */
export async function findReading(
  model: Model,
  output: string | undefined,
  samples: Dataset,
  request: ReadingRequest,
  context: Context,
): Promise<MetricOptions> {
  const name = mainOutput(model.graph.outputs, output)?.name;
  if (name === undefined) return readingOf(model, output);
  let running: Promise<readonly CheckedOutput[]> | undefined;
  // All checks of one output need the same number of samples.
  const valuesOf = (count: number): Promise<readonly CheckedOutput[]> => (running ??= outputsOf(count));
  const outputsOf = async (count: number): Promise<readonly CheckedOutput[]> => {
    const checkedOutputs: CheckedOutput[] = [];
    const order = isIndexed(samples) ? { shuffle: testSeed } : {};
    const options = { samples: count, optimize: true, signal: context.signal, ...order };
    await runOverSamples(context.engine, [{ model, observed: [name] }], samples, options, ([results], { label }) => {
      const dense = results?.[name];
      if (dense !== undefined) checkedOutputs.push({ dense, label });
    });
    return checkedOutputs;
  };
  const reading = await findOutputForm(model, output, samples, request, valuesOf, context);
  if (request.labelled || !request.isFinal || !canHaveScales(model, name)) return reading;
  const checkedOutputs = await valuesOf(checkedValues).catch((error: unknown) => {
    // The measurement on all samples fails as well, with a message for the user.
    asPithError(error);
    throwIfAborted(context.signal);
    return [];
  });
  const parts = outputPartsOf(
    model,
    name,
    checkedOutputs.map(({ dense }) => dense),
  );
  return parts.length > 1 ? { ...reading, parts } : reading;
}

async function findOutputForm(
  model: Model,
  output: string | undefined,
  samples: Dataset,
  { metric, labelled, isFinal }: ReadingRequest,
  valuesOf: (count: number) => Promise<readonly CheckedOutput[]>,
  context: Context,
): Promise<MetricOptions> {
  const reading = readingOf(model, output);
  const value = mainOutput(model.graph.outputs, output);
  const dims = value?.type?.dims;
  if (value === undefined || dims === undefined) return reading;
  const { name } = value;
  const log = (text: string): void => context.log({ id: "reading", text });
  if (dims.slice(1).every((size) => size === 1))
    return reading.from !== undefined || !labelled || !isFinal
      ? reading
      : findProbability(reading, name, await valuesOf(checkedLabels), log);
  const label = labelled ? (await firstBatch(samples, checkedLabels)).label : undefined;
  if (dims.length === 2 && label !== undefined) {
    const areSets = areLabelSets(label, reading.width) && (reading.form !== undefined || reading.from === undefined);
    if (areSets && reading.form === undefined)
      log(`"${name}" scores independent labels, because the labels are rows of 0 and 1`);
    return { ...reading, form: areSets ? "label sets" : undefined };
  }
  const graphForms = reading.form === undefined ? undefined : [reading.form];
  const forms = (graphForms ?? possibleDetectionForms(dims)).filter((form) => typeof form === "object");
  const isPerPosition =
    isFinal &&
    dims.length === 3 &&
    outputKind(model, output) === "classes" &&
    tokenInput(model.graph.feeds) === undefined;
  const logPositions = (): void => {
    if (isPerPosition && detectionMetrics.has(metric))
      log(
        `"${name}" scores classes at each position: every position counts, also the blanks of a text recognizer (CTC)`,
      );
  };
  if (forms.length === 0 || !detectionMetrics.has(metric)) {
    logPositions();
    return reading;
  }
  const checked = isFinal ? await valuesOf(checkedValues) : [];
  const [first, second] = forms.filter((form) =>
    checked.every(({ dense }) => areDetections(dense, form) && (graphForms !== undefined || hasPixels(dense, form))),
  );
  if (first === undefined || (graphForms === undefined && !isFinal)) {
    logPositions();
    return { ...reading, form: undefined };
  }
  const isRequested = metric.startsWith("map") || metric === "detections";
  const hasTwoForms = graphForms === undefined && first.layout === "[N, boxes, 5 + classes]";
  const dense = checked.map((each) => each.dense);
  const share = hasTwoForms ? objectnessShare(dense, first) : 1;
  if (!isRequested && !(share <= 0.25 || share >= 0.75)) {
    log(
      `"${name}" can contain detections of the form ${first.layout} or ${second?.layout}: outputs are compared as numbers. \`metric: "detections"\` reads the first form`,
    );
    return { ...reading, form: undefined };
  }
  const form = share <= 0.25 ? (second ?? first) : first;
  const counts = dense.flatMap((output) => readDetections(output, form).map(({ length }) => length));
  const classes = form.classes === undefined ? "" : ` of ${counted(form.classes, "class")}`;
  const text = `"${name}" contains detections${classes}, form ${form.layout}`;
  if (counts.some((count) => count > 0) || !isFinal || isRequested) {
    log(text);
    return { ...reading, form };
  }
  log(
    `${text}, but none on ${counted(counts.length, "sample")} has a score of at least 0.25: outputs are compared as numbers`,
  );
  return { ...reading, form: undefined };
}

/** "accuracy" is the default metric. */
const detectionMetrics: ReadonlySet<MetricName> = new Set(["accuracy", "agreement", "detections", "map", "map-50"]);

interface CheckedOutput {
  readonly dense: Dense;
  readonly label: Dense | undefined;
}

/** A probability has values between 0 and 1, and labels 0 and 1. */
function findProbability(
  reading: MetricOptions,
  name: string,
  checkedOutputs: readonly CheckedOutput[],
  log: (text: string) => void,
): MetricOptions {
  let count = 0;
  for (const { dense, label } of checkedOutputs) {
    const [values, labels] = [dense, label].map((column) =>
      column === undefined || column.type === "string" ? Float64Array.of(Number.NaN) : toFloat64(column),
    );
    if (values?.every((share) => share >= 0 && share <= 1) !== true) return reading;
    if (labels?.every((value) => value === 0 || value === 1) !== true) return reading;
    count += values.length;
  }
  log(
    `"${name}" is read as the probability of class 1, because its values on ${counted(count, "sample")} are all between 0 and 1: the threshold is 0.5`,
  );
  return { ...reading, from: "probabilities" };
}
