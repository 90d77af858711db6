/** Opens the request of a step: checks of model and options, references, and texts. */
import { open, optionError, type PithError } from "#ir";
import { type AnyPass, type OptionValues, parseDownloadSize } from "#pass";
import { realPath } from "#platform";
import { tokenInput } from "../../data/text/token-inputs.ts";
import { decoderOf } from "../../runtime/run/decoding.ts";
import { type TextInputs, textInputs } from "../../runtime/run/realistic-inputs.ts";
import { countWeights } from "../measure/model-size.ts";
import type { GoalOptions } from "../measure/paired-metrics.ts";
import { builtInPasses } from "../recipe/built-in-passes.ts";
import { requireLayers } from "../steps/require-layers.ts";
import { isTraining, type ParsedStep, parseStep, textHelps } from "../steps/step-options.ts";
import type { NamedModel, References, StepContext, StepRequest } from "./step-request.ts";

interface CheckedStep extends ParsedStep {
  readonly input: NamedModel;
  readonly references: References;
  /** Reason why the pass needs samples; undefined if it needs none. */
  readonly needs: string | undefined;
}

/** Opens references before the data, so that errors appear early. @param original for passes without an option for it. */
export async function checkStep(
  id: string,
  input: NamedModel,
  options: OptionValues,
  { original, hasData }: { readonly original: unknown; readonly hasData: boolean },
): Promise<CheckedStep> {
  const pass = builtInPasses.get(id);
  if (pass === undefined) throw new Error(`"${id}" is not a pass.`);
  requireLayers(input.model, options);
  const step = await parseStep(pass, options);
  const needs = typeof pass.data === "object" ? pass.data.when(step.opened) : undefined;
  if (needs !== undefined && !hasData) requireTexts(step, input, needs);
  await pass.checkModel?.(input.model, step.opened);
  return { ...step, input, references: await openReferences(step, input, original), needs };
}

interface StepSettings
  extends Omit<StepRequest, keyof CheckedStep | "inputs" | "goal" | "maxDownload">,
    Pick<GoalOptions, "maxDrop" | "strict"> {
  /** Maximum size of the compressed file: "20 MB", or bits per weight ("2.5 bpw"). */
  readonly targetDownload?: string | undefined;
  readonly textFile?: string | undefined;
}

/** @throws PithError E_OPTION if the step needs samples, and gets neither data nor texts. */
export async function openStep(
  step: CheckedStep,
  { targetDownload, textFile, maxDrop, strict, ...settings }: StepSettings,
  context: StepContext,
): Promise<StepRequest> {
  const { needs, ...request } = step;
  const inputs = await openTexts(step, settings, textFile, context);
  if (settings.task === undefined && inputs === undefined && needs !== undefined)
    throw needsData(
      step.pass,
      needs,
      "labels are not needed. A model of texts needs no data with tokenizer.json next to it",
    );
  const maxDownload =
    targetDownload === undefined
      ? undefined
      : parseDownloadSize(targetDownload, (await countWeights(step.input.model)).parameters);
  return { ...settings, ...request, inputs, maxDownload, goal: { maxDrop, strict } };
}

/** Opens texts for a step that they improve, or that has no data. */
async function openTexts(
  step: CheckedStep,
  { task, judgedTogether, dryRun }: Pick<StepRequest, "task" | "judgedTogether" | "dryRun">,
  textFile: string | undefined,
  context: StepContext,
): Promise<TextInputs | undefined> {
  const { input, needs, split } = step;
  const textsHelp = split === undefined && textHelps(step) && decoderOf(input.model) !== undefined;
  if (isTraining(step.pass) || !(textsHelp || (task === undefined && judgedTogether !== true))) return undefined;
  if (needs === undefined && dryRun === true) return undefined;
  context.stage("generate text");
  return textInputs(input.model, context, textFile);
}

const needsData = ({ id }: AnyPass, reason: string, about: string): PithError =>
  optionError(`${id} needs \`data\` here: ${reason}.`, {
    hint: `Add typical inputs, such as \`data: "photos/"\`; ${about}.`,
  });

/** A model of texts can get texts (`textInputs`). Noise is no calibration for other models. */
function requireTexts({ pass, opened }: ParsedStep, { model: { graph } }: NamedModel, reason: string): void {
  const isLabelled = typeof pass.data === "object" && pass.data.labelled?.(opened) === true;
  if (!isLabelled && tokenInput(graph.feeds) !== undefined) return;
  const labels = isLabelled ? "with labels" : "labels are not needed";
  throw needsData(pass, reason, `${labels}. See \`data\` in pith ${pass.id} --help`);
}

async function openReferences(
  { pass: { reference, furtherReferences, checkReference }, options }: ParsedStep,
  input: NamedModel,
  original: unknown,
): Promise<References> {
  const first = reference === undefined ? original : options[reference];
  const further = furtherReferences === undefined ? [] : options[furtherReferences];
  const paths = [first, further].flat().filter((path) => typeof path === "string");
  const openedModels = new Map<string, NamedModel>();
  for (const path of paths) {
    const model = await open(path);
    const place = await realPath(path);
    if (openedModels.has(place)) throw optionError(`${path} is named twice: each ${reference} has the same weight.`);
    await checkReference?.(input.model, model, options);
    openedModels.set(place, { path, model });
  }
  const furtherModels = [...openedModels.values()];
  const firstReference = typeof first === "string" ? furtherModels.shift() : undefined;
  const [firstPlace] = openedModels.keys();
  const isInput = firstReference !== undefined && firstPlace === (await realPath(input.path));
  return { first: isInput ? undefined : firstReference, others: furtherModels };
}
