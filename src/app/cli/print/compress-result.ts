/** Prints the result of `pith compress`: the table of variants, the choice and the written files. */
import { allowance, counted, groupBy, integer, PithError, uncapitalize } from "#ir";
import { isWithin } from "../../../judge/compare/goal.ts";
import type { Run, StepRecord, Variant } from "../../../judge/record/run-record.ts";
import { filesOf, timingCommand } from "../../../judge/record/shell-command.ts";
import {
  accuracySentence,
  agreementLegend,
  chosenOf,
  downloadSentence,
  formatChange,
  gainSentence,
  goalSentence,
  markOf,
  notChosenText,
  searchMissSentence,
  steadyTimingOf,
  targetLines,
  timingText,
} from "../../../judge/record/verdict.ts";
import { choiceClause, sameSamplesWarning, slowerText } from "../../report/choice.ts";
import { dataLines } from "../../report/samples.ts";
import { variantColumns } from "../../report/tables.ts";
import type { Result } from "../command.ts";
import type { CompressOutput } from "../jobs/compress.ts";
import type { Printer } from "./printed-result.ts";
import { columnsOf } from "./table.ts";

export interface RunResultDetails {
  /** Whether a missed goal sets the exit code to 1. */
  readonly isGoalRequired: boolean;
  readonly replaced: boolean;
}

export function resultOfRun({ run, written }: CompressOutput, { isGoalRequired, replaced }: RunResultDetails): Result {
  const { rejected } = run;
  const report = written.find((path) => path.endsWith(".html")) ?? written[0];
  const hint = hintOf(run);
  return {
    json: run,
    failure:
      rejected &&
      new PithError(rejected.code, `${rejected.message} No model was written; ${report} shows what was tried.`, {
        hint,
      }),
    isGoalMissed: chosenOf(run) === undefined || (isGoalRequired && chosenOf(run)?.verdict?.met === false),
    print(terminal) {
      printVariants(terminal, run);
      for (const [format, legend] of Object.entries(formatLegends))
        if (run.variants.some(({ name }) => name.includes(format))) terminal.line(terminal.color.dim(legend));
      if (run.metric.name === "agreement") terminal.line(terminal.color.dim(agreementLegend));
      const timing = steadyTimingOf(run);
      if (timing !== undefined) terminal.line(`timed: ${timingText(timing)}`);
      const { search } = run;
      const comparedCount = search?.apart === true && search.isInterim !== true ? search.samples : undefined;
      const { data } = run;
      for (const line of dataLines({ ...data, compared: comparedCount }, data.preprocessing)) terminal.line(line);
      const chosen = chosenOf(run);
      if (chosen === undefined) return;
      if (chosen.targets !== undefined) for (const line of targetLines(chosen.targets)) terminal.line(line);
      terminal.line(`written: ${written.join("  ")}${replaced ? " (replaced)" : ""}`);
      const reason = choiceClause(run);
      const keptText = `${terminal.color.bold(chosen.name)}${reason === undefined ? "" : `, ${reason}`}`;
      const gain = [`${gainSentence(run)}${slowerText(run)}`, downloadSentence(run) ?? ""].join(" ").trimEnd();
      terminal.line(`kept: ${keptText}. ${gain}`);
      const cost = [accuracySentence(run), goalSentence(run), searchMissSentence(run), sameSamplesWarning(run)];
      if (cost.some((text) => text !== undefined))
        terminal.line(`change: ${uncapitalize(cost.filter((text) => text !== undefined).join(" "))}`);
      terminal.line(`next: ${timingCommand(filesOf(run), run.targets)}`);
    },
  };
}

const formatLegends = {
  "int8 weights": "int8 weights: weights in 8 bits, arithmetic in float",
  "int8 static": "int8 static: integer arithmetic; the ranges of layer inputs are measured on samples",
  "int8 dynamic": "int8 dynamic: integer arithmetic; the ranges of layer inputs are computed in each run",
  "per tensor": "per tensor: one scale for each layer, instead of one for each output",
  palettes: "palettes: weights are indices of a table of values",
};

function hintOf({ rejected, search, variants }: Run): string {
  const isOffTarget = variants.some(({ rejectedAs }) => rejectedAs === "off target");
  if (search !== undefined && isOffTarget)
    return "Search longer (--minutes, or more --steps), or choose an easier target.";
  if (rejected?.code === "E_UNSUPPORTED") return "pith inspect shows what is possible; a recipe (-r) lists the steps.";
  const lossAdvice = "allow more (--max-drop), or write it anyway: --force.";
  if (search !== undefined) return `Search longer (--minutes), ${lossAdvice}`;
  const ids = new Set(variants.flatMap(({ steps }) => steps.map(({ id }) => id)));
  if (ids.has("prune") && !ids.has("recover")) return `Add recover after prune to the recipe (-r), ${lossAdvice}`;
  return `${ids.has("train") ? "Lower learningRate of train in" : "Edit"} the recipe (-r), ${lossAdvice}`;
}

export function resultOfRuns(
  results: readonly { readonly model: string; readonly out: string; readonly result: Result | PithError }[],
): Result {
  const rejected = results.flatMap(({ model, result }) => {
    const failure = result instanceof PithError ? result : result.failure;
    return failure === undefined ? [] : [{ model, failure }];
  });
  const [first] = rejected;
  return {
    json: {
      models: results.map(({ model, out, result }) =>
        result instanceof PithError
          ? { model, out, rejected: { code: result.code, message: result.message } }
          : { model, out, run: result.json },
      ),
    },
    failure:
      first &&
      new PithError(
        first.failure.code,
        `${integer(rejected.length)} of ${counted(results.length, "model")}: ${rejected.map(({ model, failure }) => `"${model}": ${failure.message}`).join(" ")}`,
        { hint: first.failure.advice },
      ),
    isGoalMissed: results.some(({ result }) => !(result instanceof PithError) && result.isGoalMissed === true),
    print(terminal) {
      for (const { model, result } of results) {
        if (result instanceof PithError) continue;
        terminal.line(terminal.color.bold(model));
        result.print(terminal);
      }
    },
  };
}

const shownColumns: ReadonlySet<string> = new Set(["bytes", "brotli", "MACs", "zeros", "speed"]);

function printVariants(terminal: Printer, run: Run): void {
  const shown = variantColumns(run).filter(({ title }) => title === run.metric.name || shownColumns.has(title));
  const cellsOf = (row: number): string[] =>
    shown.map(({ title, cells }) => {
      const { text = "", note } = cells[row] ?? {};
      return title === "speed" && note !== undefined ? `${text} (${note})` : text;
    });
  const { green, red, yellow, dim } = terminal.color;
  const markColors = { "✓": green, "?": yellow, "✗": red, "": dim };
  terminal.table(
    [{ title: "" }, ...columnsOf("", ...shown.map(({ title }) => title)), { title: "change" }],
    [
      ["", run.original.name, ...cellsOf(0), ""],
      ...run.variants.map((variant, index) => {
        const mark = markOf(variant, run.goal);
        const keptMark = mark === "✗" ? "← written (--force)" : "← kept";
        const other = variant.file === undefined ? (notChosenText(variant, run.goal) ?? "") : `← ${variant.file}`;
        const notes = [noteOf(variant, run), index === run.chosen ? keptMark : other];
        const text = notes.filter((note) => note !== "").join("  ");
        return [markColors[mark](mark), variant.name, ...cellsOf(index + 1), text];
      }),
    ],
  );
  if (run.variants.some((variant) => markOf(variant, run.goal) === "?"))
    terminal.line(dim("✓ within the goal  ? not certain  ✗ beyond the goal"));
  if (shown.some(({ title }) => title === "MACs")) terminal.line(dim("MACs: multiply-adds of a run"));
  for (const { name, steps } of run.variants) {
    const allMisses = steps.flatMap((step) => step.misses);
    const misses = Array.from(groupBy(allMisses, ({ at, reason }) => `${at}: ${reason}`).values(), ([first]) => first);
    if (misses.length === 0) continue;
    terminal.line(dim(`${name}: unchanged (${integer(misses.length)}): ${reasonsOf(misses)}`));
  }
}

/** Returns the first reasons, each with the layers: "softmax and 3 more (stays in float: no quantized kernel)". */
function reasonsOf(misses: StepRecord["misses"]): string {
  const groups = [...groupBy(misses, ({ reason }) => reason)];
  const texts = groups.slice(0, maxReasons).map(([reason, misses]) => {
    const [name, ...more] = misses.flatMap(({ at }) => at ?? []);
    if (name === undefined) return reason;
    return `${name}${more.length === 0 ? "" : ` and ${integer(more.length)} more`} (${reason})`;
  });
  const otherCount = groups.length - maxReasons;
  return `${texts.join(", ")}${otherCount > 0 ? `, and for ${counted(otherCount, "other reason")} (report.html)` : ""}`;
}

const maxReasons = 2;

function noteOf({ rejected, comparison, verdict }: Variant, { goal }: Run): string {
  if (rejected !== undefined) return rejected;
  if (comparison === undefined) return "";
  const { unit } = comparison;
  const text = comparison.difference.value === 0 ? "unchanged" : formatChange(comparison, goal);
  if (goal === undefined || verdict === undefined) return text;
  const allowedDrop = allowance(unit, goal.maxDrop);
  if (!isWithin(verdict.drop, goal)) return `${text}, ${allowedDrop} allowed${verdict.met ? ", not significant" : ""}`;
  return verdict.met ? text : `${text}, undecided whether within ${allowedDrop} (--strict)`;
}
