/** Precision fallback: keeps the most sensitive layers at higher precision, and evaluates the result on samples that the search did not use. */
import { capitalize, Miss, PithError } from "../../../core/errors.ts";
import type { Model } from "../../../core/graph/model.ts";
import { allowance, counted } from "../../../core/numbers.ts";
import { downloadBytesOf } from "../../../core/pass/options.ts";
import type { Context, OptionValues } from "../../../core/pass/pass.ts";
import { isWithin } from "../../../judge/compare/compare.ts";
import { withinDownload } from "../../../judge/run/download-budget.ts";
import { withinBytes } from "../../../judge/run/size-budget.ts";
import {
  type Sparing,
  type SparingJudge,
  type SparingRequest,
  type StepOutput,
  settingsText,
  spare,
} from "../../../judge/run/sparing.ts";
import { randomSearch, type SearchedApart, searchedApart } from "../../../judge/run/sparing-samples.ts";
import { runStep } from "../../../judge/steps/step.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { RunTarget } from "../../../runtime/run/run-target.ts";
import { searchTogether } from "../../folder/index.ts";
import { type Judgement, judgeStep } from "./judgement.ts";
import type { OpenStep } from "./pass.ts";
import { countsOf } from "./weight.ts";

export interface SparedStep {
  readonly made: StepOutput;
  readonly sparing: Sparing & { readonly searched: number | undefined };
  readonly judgement: Judgement;
}

/** @returns undefined if the fallback does not apply; a Miss if it cannot meet the goal. */
export async function judgedSparing(
  step: OpenStep,
  { plain, begin }: { readonly plain: StepOutput; readonly begin: () => Model },
  judgement: Judgement,
  targets: readonly RunTarget[],
  context: JobContext,
): Promise<SparedStep | Miss | undefined> {
  const { input, pass, data, judging, running } = step;
  const { lost, judged } = judgement;
  const { together } = input;
  if (input.force || input.spare === false || pass.milderForms === undefined) return undefined;
  if (together === undefined) {
    if (lost === undefined) return undefined;
    const isOfSamples = data !== undefined && (lost.because === "goal" || lost.because === "broken");
    const isFunction = lost.because === "function" || lost.because === "form";
    if (!isOfSamples && (data !== undefined || !isFunction)) return undefined;
    // A rejection by --strict alone needs more samples instead.
    if (judged !== undefined && isWithin(judged.verdict.drop, judged.goal)) return undefined;
  }
  const alone = judged === undefined || lost === undefined ? lost?.text : lossText(judged);
  const found = together === undefined ? alone : "tokens of texts are lost";
  const text = `${found}: looking for the layers with the largest error`;
  context.log({ id: "sparing", text });
  context.stage("sparing");
  const { apart, request, inside } = await requestOf(step, begin);
  if (apart instanceof Miss) return apart;
  const search = together === undefined ? request.search : await searchTogether(together, request.search, inside);
  const told = { ...inside, log: running.log, progress: running.progress };
  const spared = await spare({ ...request, search, plain }, told);
  if (spared instanceof Miss) {
    // The model may pass alone, but must not be written.
    if (together !== undefined) throw new PithError("E_ACCURACY_LOST", `${capitalize(spared.reason)}.`);
    return spared;
  }
  const others: OpenStep =
    apart === undefined || judging === undefined ? step : { ...step, judging: { ...judging, compare: apart.compare } };
  const { made, sparing } = spared;
  return {
    made,
    sparing: { ...sparing, searched: apart?.searched },
    judgement: await judgeStep(others, made.model, targets, context),
  };
}

/** Chooses options for `--target-size` or `--target-download`, and evaluates on other samples; undefined without a target. */
export async function withOptionsForSize(
  step: OpenStep,
  begin: () => Model,
  context: JobContext,
): Promise<{ readonly step: OpenStep; readonly options: OpenStep["input"]["options"] } | undefined> {
  const { input, judging, running } = step;
  const { targetBytes, targetDownload } = input;
  if (targetBytes === undefined && targetDownload === undefined) return undefined;
  context.stage("bits");
  const { apart, request, inside } = await requestOf(step, begin);
  const isApart = apart !== undefined && !(apart instanceof Miss);
  const { samples } = request.search;
  const shown = { ...inside, progress: running.progress };
  const found =
    targetDownload !== undefined
      ? await withinDownload(
          request,
          downloadBytesOf(targetDownload, (await countsOf(step.original)).parameters),
          shown,
        )
      : await withinBytes({ ...request, samples }, targetBytes ?? 0, shown);
  const others =
    isApart && judging !== undefined
      ? { judging: { ...judging, compare: apart.compare }, searched: apart.searched }
      : {};
  // More bits would exceed the target size again.
  return { step: { ...step, ...others, input: { ...input, spare: false } }, options: found.options };
}

interface SearchRequest {
  /** Undefined without data; a Miss if there are too few samples, so random inputs are used. */
  readonly apart: SearchedApart | Miss | undefined;
  readonly request: Omit<SparingRequest, "plain">;
  readonly inside: Context;
}

async function requestOf(step: OpenStep, begin: () => Model): Promise<SearchRequest> {
  const { input, pass, original, data, judging, running } = step;
  const { output } = input;
  // Silences the step: its messages were logged on the first run, and progress counts attempts instead.
  const inside: Context = { ...running, log: () => {}, progress: () => {} };
  const settings = { batch: input.data?.batch, output };
  const apart =
    data === undefined || judging?.goal === undefined
      ? undefined
      : await searchedApart(original, data.task, settings, judging.goal, inside);
  const search: SparingJudge =
    apart === undefined || apart instanceof Miss ? randomSearch(original, output, inside) : apart.search;
  const run = async (changed: OptionValues, by = pass): Promise<StepOutput> => {
    const model = begin();
    return { model, ...(await runStep(by, model, changed, data?.task ?? {}, inside)) };
  };
  return { apart, request: { pass, options: data?.options ?? input.options, original, run, search, output }, inside };
}

/** "1.4 points lost, 1.0 points allowed" */
function lossText({ comparison: { unit }, verdict: { drop }, goal }: NonNullable<Judgement["judged"]>): string {
  if (!Number.isFinite(drop.value)) return `the metric is ${drop.value}`;
  return `${allowance(unit, drop.value)} lost, ${allowance(unit, goal.maxDrop)} allowed`;
}

export const alreadySpared = ({ settings, spared }: Sparing): string =>
  settings === undefined
    ? `This includes ${counted(spared.length, "layer")} at higher precision`
    : `This is with ${settingsText(settings)}`;
