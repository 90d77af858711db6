import * as v from "valibot";
import { notFiniteHint, PithError } from "#ir";
import { option } from "#pass";
import type { Estimate, Unit } from "../../../core/estimate.ts";
import {
  counted,
  difference,
  figure,
  figureInterval,
  formatDistinct,
  integer,
  minus,
  percent,
} from "../../../core/numbers.ts";
import { cosineText, minEqualCosine } from "../../../judge/compare/same-outputs.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import {
  decibelsLegend,
  othersSentence,
  targetLines,
  textsOf,
  verdictSentence,
} from "../../../judge/record/verdict.ts";
import type { Measurement } from "../../../judge/run/measure-models.ts";
import { targetOption } from "../../../techniques/quantize/runtimes.ts";
import { defineCommand } from "../command.ts";
import { type DataRequest, dataFlags, dataRequest, dataWords, partFlag } from "../flags/data.ts";
import { markdownFlag, requireMarkdownFile } from "../flags/markdown.ts";
import { metricFlags, requireMeaningfulDrop } from "../flags/metrics.ts";
import type evalJob from "../jobs/eval.ts";
import type { EvalOutput } from "../jobs/eval.ts";
import { columns } from "../print/table.ts";

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));

function debugCommand(original: string, model: string, data: DataRequest | undefined): string {
  return ["pith", "debug", original, model, ...(data === undefined ? [] : dataWords(data))].map(quoteWord).join(" ");
}

export default defineCommand({
  name: "eval",
  summary: "score a model on data, and compare it with its original",
  arguments: [{ name: "model.onnx", description: "the model" }],
  options: v.object({
    original: option(v.string(), "the original, to measure agreement and paired difference", {
      value: "original.onnx",
      common: true,
    }),
    maxDrop: option(
      v.pipe(v.number(), v.minValue(0)),
      "largest allowed drop of the metric compared with the original, such as 1%",
      { common: true },
    ),
    strict: option(v.boolean(), "require the whole 95 % confidence interval to meet the goals", { common: true }),
    minAccuracy: option(share, "minimum accuracy, such as 90%", { percent: true, common: true }),
    minAgreement: option(share, "minimum agreement with the original, such as 97%", { percent: true, common: true }),
    minCosine: option(
      v.pipe(v.number(), v.maxValue(1)),
      "minimum mean cosine similarity to the original's vectors, such as 0.99",
      { common: true },
    ),
    score: option(v.string(), "your own metric: a module whose default export is a function (model file) => number", {
      value: "score.mjs",
      common: true,
    }),
    target: v.optional(targetOption("runtimes on which it is compared with the original, natively in float")),
    ...markdownFlag,
    ...metricFlags,
    ...dataFlags,
    ...partFlag,
  }),
  examples: [
    "eval resnet20.onnx --data cifar10/ --preprocess imagenet",
    "eval m.q4.onnx --original m.onnx --target wasm,webgpu",
    "eval m.int8.onnx --original m.onnx --data mnist/ --max-drop 1% --markdown $GITHUB_STEP_SUMMARY",
  ],
  async run([model = ""], options, session) {
    const { original, maxDrop, minAccuracy, minAgreement, minCosine, score, strict = false, target = [] } = options;
    const data = dataRequest(options);
    if (data === undefined && score === undefined && target.length === 0)
      throw new PithError("E_USAGE", "--data is needed: a model is scored on samples.", {
        hint: "Or use --score score.mjs, a metric of your own; or --target, to compare it with its original on random inputs.",
      });
    for (const [flag, value] of Object.entries({
      "max-drop": maxDrop,
      "min-agreement": minAgreement,
      "min-cosine": minCosine,
      target: target[0],
    })) {
      if (value !== undefined && original === undefined) throw new PithError("E_USAGE", `--${flag} needs --original.`);
    }
    const { metric, output } = options;
    const minimums = Object.entries({ accuracy: minAccuracy, agreement: minAgreement, cosine: minCosine });
    const minimumGoals = minimums.filter((demand): demand is [string, number] => demand[1] !== undefined);
    const demanded = minimumGoals.map(([kind]) => kind);
    if (data === undefined && demanded[0] !== undefined)
      throw new PithError("E_USAGE", `--min-${demanded[0]} needs --data.`);
    if (data !== undefined) requireMeaningfulDrop(maxDrop, metric);
    if (minAccuracy !== undefined && metric !== "accuracy")
      throw new PithError("E_USAGE", `--min-accuracy is for --metric accuracy, and --metric is ${metric}.`);
    await requireMarkdownFile(options.markdown, [
      ["the model itself", model],
      ["the original", original],
      ["the data", data?.path],
      ["the score", score],
    ]);
    const request = { model, original, data, score, metric, output, maxDrop, strict, demanded, targets: target };
    const input = { ...request, seed: session.seed };
    const result = await session.job<typeof evalJob>("eval", input, `eval ${model}`);
    const { measured, targets } = result;
    const goals: Goal[] = [];
    if (maxDrop !== undefined) goals.push(...dropGoals(result, maxDrop));
    if (measured !== undefined)
      goals.push(...minimumGoals.map(([kind, demand]) => goalOf(measured, kind, demand, strict)));
    goals.push(...outputGoals(measured, maxDrop !== undefined || goals.length > 0));
    const [failure] = [nanFailure(measured), ...goals.map((goal) => goal.failure)].filter(
      (error) => error !== undefined,
    );
    return {
      markdown: options.markdown,
      data: {
        model,
        original,
        ...measured,
        score: result.score,
        targets,
        goals: Object.fromEntries(goals.map(({ kind, met }) => [kind, met])),
      },
      failure,
      goalMissed:
        measured?.atChance === true || goals.some(({ met }) => !met) || targets.some(({ right }) => right === false),
      print(terminal) {
        const samplesText =
          measured === undefined ? "" : ` on ${measured.dataset}, ${counted(measured.samples, "sample")}`;
        terminal.line(`${terminal.color.bold(model)}${samplesText}`);
        if (measured?.preprocessing !== undefined) terminal.line(`preprocessing: ${measured.preprocessing}`);
        const rows = rowsOf(result);
        if (rows.length > 0)
          terminal.table(
            [...columns("", "value"), { title: "95 % interval" }],
            rows.map(([name, value, interval]) => [name, value, terminal.color.dim(interval)]),
          );
        const hasDecibels = measured?.figures.some(({ unit }) => unit === "dB") === true;
        if (hasDecibels) terminal.line(terminal.color.dim(decibelsLegend));
        for (const { metric, detail } of measured?.figures ?? [])
          if (detail !== undefined) terminal.line(`${metric}: ${detail}`);
        const otherOutputs = measured?.others;
        if (otherOutputs !== undefined && goals.every(({ kind }) => kind !== "outputs"))
          terminal.line(othersSentence(otherOutputs));
        if (targets.length > 0) for (const line of targetLines(targets)) terminal.line(line);
        for (const { text } of goals) terminal.line(text);
        if (original !== undefined)
          terminal.line(terminal.color.dim(`layer by layer: ${debugCommand(original, model, data)}`));
      },
    };
  },
});

function nanFailure({ unmeasured, samples }: Partial<Measurement> = {}): PithError | undefined {
  if (unmeasured === undefined) return undefined;
  const text = `"${unmeasured}" outputs NaN on some or all of ${counted(samples ?? 0, "sample")}, so these values do not measure it.`;
  return new PithError("E_DATA", text, { hint: notFiniteHint });
}

interface Goal {
  readonly kind: string;
  readonly met: boolean;
  readonly text: string;
  readonly failure?: PithError;
}

/** Returns the goals for the drop of the main metric and of the user's own score. */
function dropGoals({ measured, score }: EvalOutput, maxDrop: number): readonly Goal[] {
  const goals: Goal[] = [];
  const { verdict, comparison, others, lostKnowledge } = measured ?? {};
  // If an output is lost, `outputGoals` reports this. The drop of another output is then no goal.
  const isLost = typeof others === "object" && others.lost !== undefined;
  if (verdict !== undefined && comparison !== undefined && !isLost)
    goals.push({ kind: "drop", met: verdict.met, text: verdictSentence({ maxDrop }, verdict, comparison, measured) });
  if (lostKnowledge !== undefined && !isLost)
    goals.push({ kind: "knowledge", met: false, text: `missed: ${lostKnowledge}` });
  if (score?.original !== undefined) {
    const isMet = score.original - score.value <= maxDrop;
    const scores = `${figure("", score.value)}, original ${figure("", score.original)}`;
    goals.push({
      kind: "score",
      met: isMet,
      text: `${isMet ? "met" : "missed"}: score ${scores}, a drop of ${maxDrop} allowed`,
    });
  }
  return goals;
}

/**
 * Returns a missed goal if an output is lost.
 * @param hasGoals whether the user set goals. Without goals, only a missing output or another shape is a loss, and different values are none.
 */
function outputGoals({ others }: Partial<Measurement> = {}, hasGoals: boolean): readonly Goal[] {
  if (typeof others !== "object" || others.lost === undefined) return [];
  return others.otherForm || hasGoals ? [{ kind: "outputs", met: false, text: `missed: ${others.lost}` }] : [];
}

function goalOf(measured: Measurement, kind: string, minimum: number, strict: boolean): Goal {
  const figureOfKind = measured.figures.find(({ metric }) => metric === kind);
  if (figureOfKind === undefined) {
    const text = `not checked: ${kind} is not measured on ${measured.dataset}`;
    const failure = new PithError(
      "E_DATA",
      `--min-${kind} cannot be checked: it is not measured on ${measured.dataset}.`,
    );
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

function rowsOf({ score, measured }: EvalOutput): [name: string, value: string, interval: string][] {
  const rows: [string, string, string][] = [];
  if (score !== undefined) rows.push(["score", figure("", score.value), ""]);
  if (score?.original !== undefined) rows.push(["score of the original", figure("", score.original), ""]);
  return measured === undefined ? rows : [...rows, ...figureRows(measured)];
}

function figureRows({
  figures,
  comparison,
  truth,
  alone,
}: Measurement): [name: string, value: string, interval: string][] {
  const row = (name: string, unit: Unit, estimate: Estimate, format = figure): [string, string, string] => [
    name,
    format(unit, estimate.value),
    figureInterval(unit, estimate, format),
  ];
  const rows = figures.map(({ metric, unit, estimate }) => row(metric, unit, estimate));
  if (alone !== undefined) {
    const { worst, apart, samples } = alone;
    const isSame = apart === 0 ? "yes" : worst >= minEqualCosine ? "nearly" : "NO";
    const differenceText =
      isSame === "nearly" ? `${percent(apart)} apart at most` : `cosine ${minus(cosineText(worst))} at worst`;
    rows.push(["same alone and in batch", isSame, `${differenceText}, of ${counted(samples, "sample")}`]);
  }
  // A metric that compares with the original has no value for the original.
  if (comparison === undefined || truth === "original") return rows;
  const { before, after, change } = textsOf(comparison);
  const [[name, , interval] = ["", "", ""], ...otherRows] = rows;
  const [, , originalInterval] = row("", comparison.unit, comparison.original);
  const [, , changeInterval] = row("", comparison.unit, comparison.difference, difference);
  return [
    [`${comparison.metric} of the original`, before, originalInterval],
    [name, after, interval],
    ["difference", change, changeInterval],
    ...otherRows,
  ];
}
