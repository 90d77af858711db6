/** Scores a model on data, and compares it with its original and the goals. */
import type * as v from "valibot";
import type { Estimate, PithError, Unit } from "#ir";
import {
  capitalize,
  counted,
  dataError,
  difference,
  figureInterval,
  figureText,
  formatDistinct,
  integer,
  notFiniteHint,
  open,
  optionError,
  percent,
  usageError,
  withMinusSign,
} from "#ir";
import { type Comparison, judge } from "../../../judge/compare/goal.ts";
import { cosineText, minEqualCosine } from "../../../judge/compare/same-outputs.ts";
import { warnOfTargets } from "../../../judge/measure/rejection-cause.ts";
import type { ComparedResult } from "../../../judge/record/run-record.ts";
import type { UnusedSamples } from "../../../judge/record/sample-advice.ts";
import { quoteWord, timingCommand } from "../../../judge/record/shell-command.ts";
import { changeTextsOf, gradeText, verdictSentence } from "../../../judge/record/verdict.ts";
import { comparedResultOf } from "../../../judge/run/candidate.ts";
import type { ModelMeasurement } from "../../../judge/run/measure-models.ts";
import type { GoalCheck } from "../../../judge/run/step-comparison.ts";
import { comparisonMetrics } from "../../../judge/task/select-metric.ts";
import type { ProcessSession, Result } from "../command.ts";
import type { options } from "../commands/eval.ts";
import { type DataRequest, dataRequestOf, dataWords } from "../flags/data.ts";
import { requireMarkdownFile } from "../flags/markdown.ts";
import { requireMeaningfulDrop } from "../flags/meaningful-drop.ts";
import { judgeModel } from "../jobs/parts/judge-model.ts";
import { scoreOf } from "../jobs/parts/score.ts";
import { withTargets } from "../jobs/parts/target.ts";
import { outputLines } from "../print/output-lines.ts";
import { columnsOf } from "../print/table.ts";

type Options = v.InferOutput<typeof options>;

export interface EvalResult extends ComparedResult, Partial<ModelMeasurement> {
  readonly model: string;
  readonly original: string | undefined;
  readonly score: Scores | undefined;
  readonly lostKnowledge: string | undefined;
  /** How the outputs differ from those of the original, if the model computes another function. */
  readonly lost: string | undefined;
  readonly goals: Readonly<Record<string, boolean>>;
}

interface Scores {
  readonly value: number;
  readonly original: number | undefined;
}

export default async function evaluate(
  [model = ""]: readonly string[],
  flags: Options,
  session: ProcessSession,
): Promise<Result<EvalResult>> {
  const { original, maxDrop, minAccuracy, minAgreement, minCosine, score, strict = false, target = [] } = flags;
  const data = dataRequestOf(flags);
  if (data === undefined && score === undefined && original === undefined)
    throw usageError("--data is needed: a model is scored on samples.", {
      hint: "Or use --score score.mjs, a metric of your own; or --original, to compare the outputs on texts or random inputs.",
    });
  for (const [flag, value] of Object.entries({
    "max-drop": maxDrop,
    "min-agreement": minAgreement,
    "min-cosine": minCosine,
    target: target[0],
  })) {
    if (value !== undefined && original === undefined) throw usageError(`--${flag} needs --original.`);
  }
  const { metric } = flags;
  const minimums = Object.entries({ accuracy: minAccuracy, agreement: minAgreement, cosine: minCosine });
  const minimumGoals = minimums.filter((demand): demand is [string, number] => demand[1] !== undefined);
  const demandedKinds = minimumGoals.map(([kind]) => kind);
  if (data === undefined && demandedKinds[0] !== undefined) throw usageError(`--min-${demandedKinds[0]} needs --data.`);
  if (data === undefined && score === undefined && maxDrop !== undefined)
    throw usageError("--max-drop needs --data, to measure the drop.");
  if (data !== undefined) requireMeaningfulDrop(maxDrop, metric);
  if (minAccuracy !== undefined && metric !== "accuracy")
    throw usageError(`--min-accuracy is for --metric accuracy, and --metric is ${metric}.`);
  await requireMarkdownFile(flags.markdown, [
    ["the model itself", model],
    ["the original", original],
    ["the data", data?.path],
    ["the score", score],
  ]);
  if (original !== undefined && demandedKinds.length > 0) await requireMeasured(original, demandedKinds, flags);
  // The user's own score may be the only way to run the models.
  const isScoreAlone = data === undefined && score !== undefined && target.length === 0;
  const { measured, judgement } = isScoreAlone
    ? { measured: undefined, judgement: undefined }
    : await withTargets(target, session, (openTargets) => judgeModel(model, data, flags, openTargets, session));
  const { goalCheck, functionCheck } = judgement ?? {};
  const comparedResult = comparedResultOf(judgement ?? {});
  const { comparison, targets } = comparedResult;
  warnOfTargets(targets, session);
  const scores =
    score === undefined
      ? undefined
      : {
          value: await scoreOf(score, model),
          original: original === undefined ? undefined : await scoreOf(score, original),
        };
  const goals: GoalOutcome[] = [];
  const functionLoss = functionCheck?.functionLoss;
  // The drop of the metric is no goal if an output is lost.
  if (functionLoss === undefined && goalCheck !== undefined && measured !== undefined)
    goals.push(...dropGoals(goalCheck, measured));
  if (maxDrop !== undefined) goals.push(...scoreGoals(scores, maxDrop));
  if (measured !== undefined)
    goals.push(...minimumGoals.map(([kind, demand]) => goalOf(measured, kind, demand, strict)));
  // Without goals, only a missing output or another shape is a loss.
  if (functionLoss !== undefined && (functionLoss.because === "form" || maxDrop !== undefined || goals.length > 0))
    goals.push({ kind: "outputs", met: false, text: `missed: ${functionLoss.text}` });
  const [failure] = [nanFailure(measured), ...goals.map((goal) => goal.failure)].filter((error) => error !== undefined);
  const isGoalMissed =
    measured?.atChance === true || goals.some(({ met }) => !met) || targets.some(({ right }) => right === false);
  const isAsGood =
    goals.length > 0 ||
    (comparison === undefined ? functionCheck !== undefined : judge(comparison, { maxDrop: 0 }).met);
  const isWorse = failure !== undefined || functionLoss !== undefined || isGoalMissed || !isAsGood;
  return {
    markdownFile: flags.markdown,
    json: {
      model,
      original,
      ...measured,
      ...comparedResult,
      lostKnowledge: goalCheck?.lostKnowledge,
      lost: functionLoss?.text,
      score: scores,
      goals: Object.fromEntries(goals.map(({ kind, met }) => [kind, met])),
    },
    failure,
    isGoalMissed,
    print(terminal) {
      const samplesText =
        measured === undefined ? "" : ` on ${measured.dataset}, ${counted(measured.samples, "sample")}`;
      terminal.line(`${terminal.color.bold(model)}${samplesText}`);
      if (measured?.preprocessing !== undefined) terminal.line(`preprocessing: ${measured.preprocessing}`);
      const rows = rowsOf(measured, comparison, scores);
      if (rows.length > 0)
        terminal.table(
          [...columnsOf("", "value"), { title: "95 % interval" }, { title: "" }],
          rows.map(([name, value, interval, grade = ""]) => [name, value, terminal.color.dim(interval), grade]),
        );
      for (const { metric, detail } of measured?.figures ?? [])
        if (detail !== undefined) terminal.line(`${metric}: ${detail}`);
      if (functionLoss !== undefined && goals.every(({ kind }) => kind !== "outputs"))
        terminal.line(`${capitalize(functionLoss.text)}.`);
      const unexplained = rows.flatMap(([name, , , grade]) => (grade === undefined ? [name] : []));
      for (const line of outputLines(comparedResult, unexplained, terminal.color.dim)) terminal.line(line);
      for (const { text } of goals) terminal.line(text);
      if (original !== undefined || (data !== undefined && goals.every(({ met }) => met)))
        terminal.line(`next: ${nextCommand(original, model, data, { isWorse, metric })}`);
    },
  };
}

/** @throws PithError E_OPTION if a minimum is demanded of an unmeasured figure. */
async function requireMeasured(
  path: string,
  demandedKinds: readonly string[],
  { metric, output }: Pick<Options, "metric" | "output">,
): Promise<void> {
  const original = await open(path);
  const metricNames = comparisonMetrics(original, output, { metric }).map(({ name }) => name);
  for (const kind of demandedKinds) {
    if (kind === "accuracy" || kind === metric || metricNames.includes(kind)) continue;
    throw optionError(
      `--min-${kind} cannot be checked: the output of "${path}" is measured by ${metricNames.join(", ")}.`,
      { hint: `--metric ${kind} measures it, regardless of the name of the output.` },
    );
  }
}

function nextCommand(
  original: string | undefined,
  model: string,
  data: DataRequest | undefined,
  { isWorse, metric }: { readonly isWorse: boolean; readonly metric: Options["metric"] },
): string {
  if (original !== undefined && !isWorse) return timingCommand([original, model]);
  const words = original === undefined ? ["compress", model] : ["debug", original, model];
  const metricWords = metric === "accuracy" ? [] : ["--metric", metric];
  return ["pith", ...words, ...(data === undefined ? [] : [...dataWords(data), ...metricWords])]
    .map(quoteWord)
    .join(" ");
}

function nanFailure({ unmeasured, samples }: Partial<ModelMeasurement> = {}): PithError | undefined {
  if (unmeasured === undefined) return undefined;
  const text = `"${unmeasured}" outputs NaN on some or all of ${counted(samples ?? 0, "sample")}, so these values do not measure it.`;
  return dataError(text, { hint: notFiniteHint });
}

interface GoalOutcome {
  readonly kind: string;
  readonly met: boolean;
  readonly text: string;
  readonly failure?: PithError;
}

function dropGoals({ goal, verdict, comparison, lostKnowledge }: GoalCheck, others: UnusedSamples): GoalOutcome[] {
  const dropGoal = { kind: "drop", met: verdict.met, text: verdictSentence(goal, verdict, comparison, others) };
  if (lostKnowledge === undefined) return [dropGoal];
  return [dropGoal, { kind: "knowledge", met: false, text: `missed: ${lostKnowledge}` }];
}

function scoreGoals(score: Scores | undefined, maxDrop: number): readonly GoalOutcome[] {
  if (score?.original === undefined) return [];
  const isMet = score.original - score.value <= maxDrop;
  const scores = `${figureText("", score.value)}, original ${figureText("", score.original)}`;
  const text = `${isMet ? "met" : "missed"}: score ${scores}, a drop of ${maxDrop} allowed`;
  return [{ kind: "score", met: isMet, text }];
}

function goalOf(measurement: ModelMeasurement, kind: string, minimum: number, strict: boolean): GoalOutcome {
  const figureOfKind = measurement.figures.find(({ metric }) => metric === kind);
  if (figureOfKind === undefined) {
    const text = `not checked: ${kind} is not measured on ${measurement.dataset}`;
    const failure = dataError(`--min-${kind} cannot be checked: it is not measured on ${measurement.dataset}.`);
    return { kind, met: false, text, failure };
  }
  const { unit } = figureOfKind;
  const { value, low, high, count } = figureOfKind.estimate;
  const isMet = (strict ? low : value) >= minimum;
  const [actual, demanded] = formatDistinct(unit, value, minimum);
  const interval =
    unit === "share"
      ? ` (${formatDistinct(unit, low, minimum)[0]} … ${formatDistinct(unit, high, minimum)[0]}, n = ${integer(count)})`
      : `, n = ${integer(count)}`;
  return { kind, met: isMet, text: `${isMet ? "met" : "missed"}: ${kind} ${actual}${interval}, ${demanded} required` };
}

type Row = [name: string, value: string, interval: string, grade?: string | undefined];

function rowsOf(
  measurement: ModelMeasurement | undefined,
  comparison: Comparison | undefined,
  score: Scores | undefined,
): Row[] {
  const rows: Row[] = [];
  if (score !== undefined) rows.push(["score", figureText("", score.value), ""]);
  if (score?.original !== undefined) rows.push(["score of the original", figureText("", score.original), ""]);
  return measurement === undefined ? rows : [...rows, ...figureRows(measurement, comparison)];
}

function figureRows({ figures, truth, invariance }: ModelMeasurement, comparison: Comparison | undefined): Row[] {
  const row = (name: string, unit: Unit, estimate: Estimate, format = figureText): Row => [
    name,
    format(unit, estimate.value),
    figureInterval(unit, estimate, format),
    /^(signal to noise|KL divergence)/.test(name) ? gradeText(unit, estimate.value) : undefined,
  ];
  const rows = figures.map(({ metric, unit, estimate }) => row(metric, unit, estimate));
  if (invariance !== undefined) {
    const { worst, apart, samples } = invariance;
    const isSame = apart === 0 ? "yes" : worst >= minEqualCosine ? "nearly" : "NO";
    const differenceText =
      isSame === "nearly" ? `${percent(apart)} apart at most` : `cosine ${withMinusSign(cosineText(worst))} at worst`;
    rows.push(["same alone and in batch", isSame, `${differenceText}, of ${counted(samples, "sample")}`]);
  }
  // A metric that compares with the original has no value for the original.
  if (comparison === undefined || truth === "original") return rows;
  const { before, after, change } = changeTextsOf(comparison);
  const [[name, , interval, grade] = ["", "", ""], ...otherRows] = rows;
  const [, , originalInterval] = row("", comparison.unit, comparison.original);
  const [, , changeInterval] = row("", comparison.unit, comparison.difference, difference);
  return [
    [`${comparison.metric} of the original`, before, originalInterval],
    [name, after, interval, grade],
    ["change", change, changeInterval],
    ...otherRows,
  ];
}
