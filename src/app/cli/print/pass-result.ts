/** Prints the result of a command that changes one model: what changed, sizes, metrics and verdict. */
import {
  bytes,
  capitalize,
  count,
  counted,
  figureText,
  integer,
  type PithError,
  percent,
  sparsityMatters,
  speedText,
  times,
  uncapitalize,
  unsupportedError,
} from "#ir";
import { type Comparison, isWithin, judge } from "../../../judge/compare/goal.ts";
import type { PlannedCost, SizeAndCost } from "../../../judge/measure/measured-pair.ts";
import { comparableCounts, operationsFormula, operationsText } from "../../../judge/record/operation-count.ts";
import { benchCommand, quoteWord, timingCommand } from "../../../judge/record/shell-command.ts";
import {
  changeTextsOf,
  changeWithInterval,
  formatChange,
  metadataNote,
  referenceText,
  verdictSentence,
} from "../../../judge/record/verdict.ts";
import type { Reference } from "../../../judge/run/step-comparison.ts";
import { isEstimated } from "../../../runtime/run/model-size.ts";
import { dataLines } from "../../report/samples.ts";
import { notFasterText, speedLines, timeRow } from "../../report/speed.ts";
import type { Result } from "../command.ts";
import type { PassOutput, UnwrittenOutput, WrittenOutput } from "../jobs/pass.ts";
import { formatChanged, formatPreciseLayers, formatUnchanged, moreText, plannedRows } from "./changes.ts";
import { outputLines } from "./output-lines.ts";
import { changeColumns, changeRow } from "./table.ts";

export function resultOfPlan(result: PassOutput): Result {
  const { changes, misses } = result;
  const plannedCost = result.written === undefined ? result.planned : undefined;
  const cost = plannedCost && withFormula(plannedCost);
  return {
    json: { changes, misses, ...(cost === undefined ? {} : { planned: cost }) },
    print(terminal) {
      const { rows, omittedCount } = plannedRows(changes);
      const deciders = rows.some(([, , by]) => by !== "") ? [{ title: "set by" }] : [];
      const columns = [{ title: "layer" }, { title: "change" }, ...deciders];
      terminal.table(
        columns,
        rows.map((row) => row.slice(0, columns.length)),
      );
      if (omittedCount > 0) terminal.line(terminal.color.dim(moreText(omittedCount)));
      for (const line of formatUnchanged(misses, terminal.color.dim)) terminal.line(line);
      if (plannedCost !== undefined) for (const line of plannedLines(result, plannedCost)) terminal.line(line);
      terminal.line("Nothing was written (--dry-run).");
    },
  };
}

/** Returns cost and speed: "result: 128,017 parameters (2.11 × fewer), 19.3 M MACs (2.10 × fewer), …". */
function plannedLines({ before }: PassOutput, { parameters, macs, speed, uneven }: PlannedCost): string[] {
  const counts = comparableCounts(before.macs, macs);
  const parts = [
    `${count(parameters)} parameters (${times(before.parameters / parameters)} fewer)`,
    ...(counts === undefined ? [] : [`${count(counts[1])} MACs (${times(counts[0] / counts[1])} fewer)`]),
    ...(speed === undefined ? [] : [`${speedText(speed)} on one thread here`]),
  ];
  const notFasterReason = speed === undefined ? undefined : notFasterText(speed, { before, uneven }, { macs });
  return [`result: ${parts.join(", ")}`, ...(notFasterReason === undefined ? [] : [`speed: ${notFasterReason}`])];
}

export interface OutputFiles {
  readonly replaced: ReadonlySet<string>;
  readonly copies: readonly string[];
  /** Paths of files that are written even if the model does not change. */
  readonly alsoWritten: readonly string[];
}

const replacedMark = (path: string, { replaced }: OutputFiles): string => (replaced.has(path) ? " (replaced)" : "");

const markReplaced = (paths: readonly string[], files: OutputFiles): readonly string[] =>
  paths.map((path) => `${path}${replacedMark(path, files)}`);

export function resultOfUnwritten(model: string, result: UnwrittenOutput, files: OutputFiles): Result {
  const { misses, idle } = result;
  return {
    json: {
      model,
      ...result,
      before: withFormula(result.before),
      replaced: false,
      ...furtherRecord({ ...files, copies: [] }),
    },
    failure:
      idle === undefined
        ? unchangedError(model, misses, markReplaced(files.alsoWritten, files))
        : unsupportedError(`${capitalize(idle)}. Nothing was written.`, { hint: "--force writes it." }),
    print(terminal) {
      for (const line of reportLines(result, terminal.color.dim)) terminal.line(line);
    },
  };
}

function unchangedError(model: string, misses: UnwrittenOutput["misses"], written: readonly string[]): PithError {
  const [first] = misses;
  const reason =
    first === undefined ? "no layer can be changed" : `${first.at === undefined ? "" : `${first.at}: `}${first.reason}`;
  const text = written.length === 0 ? "nothing" : `only ${written.join(", ")}`;
  return unsupportedError(`Nothing changed, and ${text} was written: ${reason}.`, {
    hint: `pith inspect ${quoteWord(model)} shows what is in the model.`,
  });
}

export interface PassResultDetails {
  /** Whether a missed goal sets the exit code to 1. */
  readonly isGoalRequired: boolean;
  readonly files: OutputFiles;
  readonly storesZeros: boolean;
  readonly next: string | undefined;
  readonly dataWords: readonly string[];
}

export function resultOfWritten(model: string, result: WrittenOutput, details: PassResultDetails): Result {
  const { isGoalRequired, files, storesZeros, next, dataWords } = details;
  const { before, after, samples, comparison, goal, reference, verdict, training, written } = result;
  const { preprocessing, lost, speed } = result;
  return {
    json: {
      model,
      ...result,
      before: withFormula(before),
      after: withFormula(after),
      replaced: files.replaced.has(written),
      ...furtherRecord(files),
    },
    isGoalMissed: isGoalRequired && (verdict?.met === false || (lost ?? result.lostKnowledge) !== undefined),
    print(terminal) {
      const report = reportLines(result, terminal.color.dim);
      for (const line of report) terminal.line(line);
      const metricCells = comparison === undefined ? [] : metricRow(result, comparison);
      terminal.table(changeColumns, [
        changeRow("bytes", before.bytes, after.bytes, bytes),
        ...compressedRow("gzip", before, after),
        ...compressedRow("brotli", before, after),
        changeRow("parameters", before.parameters, after.parameters, count),
        ...zerosRow(before, after),
        ...macsRow(before, after),
        ...timeRow(model, speed),
        ...(comparison === undefined ? [] : [metricCells]),
      ]);
      const metadataText = metadataNote(before);
      if (metadataText !== undefined) terminal.line(`not counted: ${metadataText} (pith simplify drops it, too)`);
      for (const line of speedLines(model, written, speed)) terminal.line(line);
      const goalText = lost === undefined ? goalLine(model, result) : `${lost}; written anyway (--force)`;
      if (reference !== undefined && goalText !== undefined) terminal.line(referenceLine(reference, goal));
      const above = [...report, lost ?? "", ...metricCells];
      const lines = outputLines(result, above, terminal.color.dim);
      for (const line of lines) terminal.line(line);
      if (training?.chosen !== undefined) terminal.line(`trained: ${trainingText(training.samples, training.chosen)}`);
      if (storesZeros)
        terminal.line(
          `The zeros are stored. For a smaller file: --structured, or pith quantize.${result.masked ? "" : " pith train changes the zeros, unless you prune with --keep-masks."}`,
        );
      if (samples !== undefined) for (const line of dataLines(samples, preprocessing)) terminal.line(line);
      const names = [
        `${terminal.color.bold(written)}${replacedMark(written, files)}`,
        ...markReplaced([...files.copies, ...files.alsoWritten], files),
      ];
      terminal.line(`written: ${names.join("  ")}`);
      terminal.line(`change: ${uncapitalize(goalText ?? changeText(model, result))}`);
      terminal.line(`next: ${next === undefined ? nextAfter(model, result, dataWords) : `pith ${next}`}`);
    },
  };
}

function changeText(model: string, { reference, comparison, goal }: WrittenOutput): string {
  if (reference !== undefined) return referenceLine(reference, goal);
  return comparison === undefined ? "accuracy was not measured (add --data)" : referenceText(model, comparison, goal);
}

function nextAfter(
  model: string,
  { masked, lost, comparison, written, continues, reference, verdict }: WrittenOutput,
  dataWords: readonly string[],
): string {
  const [before, after] = [model, written].map(quoteWord);
  if (masked) return `pith simplify ${after} --finalize  # folds in the masks, which double the file until then`;
  const data = dataWords.map((word) => ` ${quoteWord(word)}`).join("");
  if (continues === true) return `pith eval ${after} --original original.onnx${data}  # the first original`;
  if (lost !== undefined) return `pith debug ${before} ${after}${data}`;
  return comparison === undefined
    ? `pith eval ${after} --original ${before} --data SAMPLES`
    : (verdict?.met === true ? timingCommand : benchCommand)([reference?.model ?? model, written]);
}

function reportLines({ changes, misses, fallback }: PassOutput, dim: (text: string) => string): string[] {
  const { preciseLayers = [] } = fallback ?? {};
  const withoutPrecise = <T extends { readonly at: string | undefined }>(all: readonly T[]): T[] =>
    all.filter(({ at }) => !preciseLayers.some(({ layer }) => layer === at));
  return [
    ...formatChanged(withoutPrecise(changes), dim),
    ...formatUnchanged(withoutPrecise(misses), dim),
    ...(fallback === undefined ? [] : formatPreciseLayers(fallback, dim)),
  ];
}

const furtherRecord = ({ copies, alsoWritten }: OutputFiles): object => ({
  ...(copies.length === 0 ? {} : { copies }),
  ...(alsoWritten.length === 0 ? {} : { alsoWritten }),
});

const referenceLine = ({ model, isTruth, comparison }: Reference, goal: WrittenOutput["goal"]): string =>
  isTruth ? `${comparison.metric}: with ${model}` : referenceText(model, comparison, goal);

function goalLine(
  model: string,
  { goal, verdict, comparison, reference, samples, training, pruned, continues }: WrittenOutput,
): string | undefined {
  if (verdict === undefined || comparison === undefined || goal === undefined) return undefined;
  const judged = reference?.isGoalBaseline === true ? reference.comparison : comparison;
  const sentence = (against?: string): string => verdictSentence(goal, verdict, judged, samples?.test, against);
  if (reference === undefined && pruned === true)
    return `${sentence(`${model} (${changeTextsOf(comparison).before})`)} Give --original to compare with the model before pruning.`;
  // After training or an earlier step of Pith, the input model can differ from the original, so the sentence names it.
  if (reference === undefined) return sentence(training === undefined && continues !== true ? undefined : model);
  if (reference.isGoalBaseline) return sentence(reference.model);
  const { drop } = judge(reference.comparison, goal);
  if (isWithin(drop, goal)) return sentence(model);
  // The change that a reader looks for is that from the original, which no goal limits.
  const gained = verdict.drop.high < 0 ? `${capitalize(referenceText(model, comparison, goal))}.` : sentence(model);
  return `${gained} From ${reference.model} it is still ${formatChange(reference.comparison, goal)}: --max-drop sets a limit for that.`;
}

/** Returns `on 9,000 samples; the weights are those after 421 steps: …`. */
function trainingText(
  samples: number | undefined,
  selection: NonNullable<NonNullable<PassOutput["training"]>["chosen"]>,
): string {
  const samplesText = samples === undefined ? "on a stream of samples" : `on ${counted(samples, "sample")}`;
  const { best, by, unit, evaluations } = selection;
  const bestFigure = `validation ${by} ${unit === "" ? best.figure.toPrecision(4) : figureText(unit, best.figure)}`;
  const sampleText = selection.samples === undefined ? "" : ` on ${counted(selection.samples, "sample")}`;
  const amongText = evaluations === 1 ? "the only evaluation" : `the best of ${integer(evaluations)} evaluations`;
  return `${samplesText}; the weights are those after ${counted(best.step, "step")}: ${bestFigure}${sampleText}, ${amongText}`;
}

const withFormula = <T extends Pick<SizeAndCost, "macs">>(cost: T): object => ({
  ...cost,
  macs: cost.macs && operationsFormula(cost.macs),
});

function compressedRow(name: "gzip" | "brotli", before: SizeAndCost, after: SizeAndCost): string[][] {
  const [sizeBefore, sizeAfter] = [before[name], after[name]];
  if (sizeBefore === undefined || sizeAfter === undefined) return [];
  const isEstimate = name === "gzip" ? isEstimated(before.bytes, name) : before.sampled || after.sampled;
  return [changeRow(`${name}${isEstimate ? " (estimated)" : ""}`, sizeBefore, sizeAfter, bytes)];
}

function zerosRow({ zeros: before }: SizeAndCost, { zeros: after }: SizeAndCost): string[][] {
  if (before === undefined || after === undefined || !sparsityMatters(before, after)) return [];
  return [["zeros", percent(before), percent(after), ""]];
}

function metricRow({ goal, reference }: WrittenOutput, comparison: Comparison): string[] {
  const { before, after } = changeTextsOf(comparison, goal);
  // Without a reference, the last lines show the interval.
  const change = reference === undefined ? formatChange : changeWithInterval;
  return [comparison.metric, before, after, change(comparison, goal)];
}

function macsRow(before: SizeAndCost, after: SizeAndCost): string[][] {
  const macs = comparableCounts(before.macs, after.macs);
  if (macs !== undefined) return [changeRow("multiply-adds", ...macs, count)];
  // Sums of products of several symbolic sizes have no ratio.
  const formulas = [before, after].map((weight) => operationsText(weight.macs));
  return formulas.includes("?") ? [] : [["multiply-adds", ...formulas, ""]];
}
