/** `pith eval`: a model's figure on data, with its interval; and against the original, sample by sample. */
import { appendFile } from "node:fs/promises";
import * as v from "valibot";
import { PithError } from "../../errors.ts";
import type { Estimate, Unit } from "../../evaluate/types.ts";
import { moduleBeside } from "../../job/job.ts";
import { verdictSentence } from "../../report/verdict.ts";
import { defineCommand } from "../command.ts";
import { dataFlags, dataRequest } from "../data.ts";
import type evalJob from "../jobs/eval.ts";
import type { EvalOutput } from "../jobs/eval.ts";
import { metricFlags, requireMeaningfulDrop } from "../metrics.ts";
import { difference, estimate, figure, integer, percent } from "../numbers.ts";

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));

export default defineCommand({
  name: "eval",
  summary: "how good a model is on data, and how near to its original",
  arguments: [{ name: "model.onnx", description: "the model" }],
  options: v.object({
    ...dataFlags,
    part: v.optional(
      v.pipe(
        v.picklist(["test", "train", "all"]),
        v.description("samples to use: those that training and calibration never see, those they do, or both"),
      ),
      "test",
    ),
    against: v.optional(
      v.pipe(
        v.string(),
        v.description("the original: agreement and paired difference"),
        v.metadata({ value: "original.onnx" }),
      ),
    ),
    ...metricFlags,
    maxDrop: v.optional(
      v.pipe(v.number(), v.minValue(0), v.description("how much worse than the original it may be: 1%")),
    ),
    strict: v.optional(
      v.pipe(v.boolean(), v.description("demand that the whole interval, not the estimate, keeps a goal")),
    ),
    minAccuracy: v.optional(
      v.pipe(share, v.description("share of samples that must be answered right: 90%"), v.metadata({ percent: true })),
    ),
    minAgreement: v.optional(
      v.pipe(
        share,
        v.description("share of samples that must be answered as the original does: 97%"),
        v.metadata({ percent: true }),
      ),
    ),
    markdown: v.optional(
      v.pipe(v.string(), v.description("append the result to this file as Markdown"), v.metadata({ value: "file" })),
    ),
  }),
  examples: [
    "eval resnet20.onnx --data cifar10/ --preprocess imagenet",
    "eval m.int8.onnx --against m.onnx --data mnist/ --max-drop 1% --markdown $GITHUB_STEP_SUMMARY",
  ],
  async run([model = ""], options, session) {
    const { against, part, maxDrop, minAccuracy, minAgreement, strict = false } = options;
    const data = dataRequest(options);
    if (data === undefined) throw new PithError("E_USAGE", "--data is needed: a model is judged on samples.");
    for (const [flag, value] of Object.entries({ "max-drop": maxDrop, "min-agreement": minAgreement })) {
      if (value !== undefined && against === undefined) throw new PithError("E_USAGE", `--${flag} needs --against.`);
    }
    const { metric, output } = options;
    requireMeaningfulDrop(maxDrop, metric);
    if (minAccuracy !== undefined && metric !== "accuracy")
      throw new PithError("E_USAGE", `--min-accuracy is for --metric accuracy, and --metric is ${metric}.`);
    const input = { model, against, data, part, metric, output, maxDrop, strict, seed: session.seed };
    const result = await session.job<typeof evalJob>(
      moduleBeside(import.meta.url, "../jobs/eval"),
      input,
      `eval ${model}`,
    );
    const goals: Goal[] = [];
    const { verdict, comparison } = result;
    if (verdict !== undefined && comparison !== undefined && maxDrop !== undefined) {
      goals.push({ kind: "drop", met: verdict.met, text: verdictSentence({ maxDrop }, verdict, comparison.unit) });
    }
    for (const [kind, least] of [
      ["accuracy", minAccuracy],
      ["agreement", minAgreement],
    ] as const)
      if (least !== undefined) goals.push(goalOf(result, kind, least, strict));
    if (options.markdown !== undefined) await appendFile(options.markdown, markdown(model, result, goals));
    return {
      data: { model, against, ...result, goals: Object.fromEntries(goals.map(({ kind, met }) => [kind, met])) },
      goalMissed: result.atChance || goals.some(({ met }) => !met),
      print(terminal) {
        terminal.line(`${terminal.color.bold(model)} on ${result.dataset}, ${integer(result.samples)} samples`);
        if (result.preprocessing !== undefined) terminal.line(`preprocessing: ${result.preprocessing}`);
        terminal.table(
          [{ title: "" }, { title: "value", align: "right" }, { title: "95 % interval" }],
          rowsOf(result).map(([name, value, interval]) => [name, value, terminal.color.dim(interval)]),
        );
        for (const { text } of goals) terminal.line(text);
      },
    };
  },
});

/** What was demanded, and whether it holds. */
interface Goal {
  readonly kind: "drop" | "accuracy" | "agreement";
  readonly met: boolean;
  readonly text: string;
}

/** @throws PithError E_DATA if the figure could not be measured. */
function goalOf(result: EvalOutput, kind: "accuracy" | "agreement", least: number, strict: boolean): Goal {
  const found = result.figures.find((one) => one.metric === kind)?.estimate;
  if (found === undefined)
    throw new PithError("E_DATA", `${result.dataset} has no labels: --min-${kind} cannot be judged.`);
  const met = (strict ? found.low : found.value) >= least;
  return { kind, met, text: `${met ? "kept" : "lost"}: ${kind} ${estimate(found)}, ${percent(least)} demanded` };
}

function rowsOf(result: EvalOutput): [name: string, value: string, interval: string][] {
  const row = (name: string, unit: Unit, { value, low, high }: Estimate, shown = figure): [string, string, string] => [
    name,
    shown(unit, value),
    `${shown(unit, low)} … ${shown(unit, high)}`,
  ];
  const rows = result.figures.map(({ metric, unit, estimate }) => row(metric, unit, estimate));
  const { comparison } = result;
  if (comparison === undefined) return rows;
  const before = row(`${comparison.metric} of the original`, comparison.unit, comparison.original);
  const apart = row("difference", comparison.unit, comparison.difference, difference);
  return [before, ...rows.slice(0, 1), apart, ...rows.slice(1)];
}

function markdown(model: string, result: EvalOutput, goals: readonly Goal[]): string {
  const { preprocessing } = result;
  const rows = rowsOf(result).map((cells) => `| ${cells.join(" | ")} |`);
  return [
    `### ${model}`,
    "",
    `${result.dataset}, ${integer(result.samples)} samples${preprocessing === undefined ? "" : `; preprocessing: ${preprocessing}`}`,
    "",
    "| | value | 95 % interval |",
    "| --- | ---: | --- |",
    ...rows,
    "",
    ...goals.map(({ text }) => `- ${text}`),
    ...(goals.length === 0 ? [] : [""]),
    "",
  ].join("\n");
}
