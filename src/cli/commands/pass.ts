/** A command from a pass: flags from its options, one model in, one model out, measured on data where there is any. */

import { join } from "node:path";
import * as v from "valibot";
import { capitalized, PithError } from "../../errors.ts";
import type { Goal, Unit, Verdict } from "../../evaluate/index.ts";
import {
  bytes,
  confidenceText,
  count,
  counted,
  differenceWithInterval,
  figure,
  integer,
  percent,
  sparsityMatters,
  times,
} from "../../evaluate/numbers.ts";
import { brotliQuality } from "../../evaluate/size.ts";
import { comparedNearness, type FileFigures, nearnessText, randomNearness } from "../../folder/index.ts";
import type { AnyPass } from "../../passes/index.ts";
import { openModules } from "../../passes/modules.ts";
import { countOption, described } from "../../passes/options.ts";
import { foldingMasks } from "../../passes/pass.ts";
import { quoted } from "../../report/sections.ts";
import { comparableMacs, speedLines, speedRecord, type Timed, timeRow } from "../../report/speed.ts";
import {
  apartText,
  distanceText,
  type Others,
  othersSentence,
  targetLines,
  verdictSentence,
} from "../../report/verdict.ts";
import { requireFreeFolder } from "../../train/checkpoint.ts";
import { changedLines, plannedRows, unchangedLines } from "../changes.ts";
import { type CommandDefinition, defineCommand, type Result, type Session } from "../command.ts";
import { dataFlags, dataRequest } from "../data.ts";
import { isThere, nextFiles, outputName, requireOther, withoutLeftovers } from "../files.ts";
import { flagName } from "../invalid-options.ts";
import type { Reference } from "../jobs/judging.ts";
import type passJob from "../jobs/pass.ts";
import type { PassOutput, UnwrittenOutput, WrittenOutput } from "../jobs/pass.ts";
import type { Weight } from "../jobs/weight.ts";
import { goalFlags, metricFlags, requireMeaningfulDrop } from "../metrics.ts";
import { withoutNote } from "../notes.ts";
import { fitting, keysOf, requiredKeys } from "../options.ts";
import { samplesLine } from "../samples.ts";
import { timedBeside } from "../speed.ts";
import { requireWritable, requireWritableFolder } from "../writable.ts";

const stepFlags = (fallback: string) =>
  v.object({
    student: v.optional(
      described(v.string(), "the student, in place of the argument model.onnx", { value: "model.onnx" }),
    ),
    original: v.optional(
      described(v.string(), "the model before pruning, which the result is judged against (default: model.onnx)", {
        value: "original.onnx",
      }),
    ),
    out: v.optional(described(v.string(), `file to write (default: ${fallback})`, { short: "-o", value: "out.onnx" })),
    dryRun: v.optional(described(v.boolean(), "print what would be done to each layer, and write nothing")),
    ...metricFlags,
    ...goalFlags,
    ...dataFlags,
    calibrationSamples: v.optional(
      described(countOption, "samples to look at before testing on others", { value: "n" }),
    ),
  });

/** The share of a file that changes its ratio as printed. */
const notable = 0.005;

export function passCommand(pass: AnyPass): CommandDefinition<ReturnType<typeof stepFlags>> {
  const { id: name, summary, command, reference, data: needs } = pass;
  if (command === undefined) throw new Error(`The pass ${name} is no command.`);
  const { suffix, results, takes = "the model", takesStudent = false, examples, next, storesZeros } = command;
  const { reads = [], writes = [] } = command;
  return defineCommand({
    name,
    summary: `${summary[0]?.toLowerCase()}${summary.slice(1)}`,
    arguments: [{ name: "model.onnx", description: takes, optional: takesStudent }],
    options: stepFlags(results ?? outputName("model.onnx", suffix({}))),
    // No goal is judged where the weights are discarded on purpose.
    without: [
      ...(pass.beginsAnew ? Object.keys(goalFlags) : []),
      ...(takesStudent ? [] : ["student"]),
      ...(reference === undefined && needs === "train" ? [] : ["original"]),
      ...(keysOf(pass.options).has("samples") ? [] : ["calibrationSamples"]),
    ],
    passed: pass.options,
    // The job opens the data, prepares it, and gives the pass its part, and the metric.
    reserved: ["data", "samples", "metric"],
    examples,
    async run([word], options, given) {
      const session = withCalibration(given, options);
      const { student, original, metric, output, maxDrop, strict = false, force = false, dryRun = false } = options;
      const aim = reference === undefined ? original : session.passed[reference];
      if (word !== undefined && student !== undefined)
        throw new PithError("E_USAGE", `The student is named twice: ${word}, and --student ${student}.`);
      const model = word ?? student ?? aim;
      if (typeof model !== "string")
        throw new PithError("E_USAGE", "No model is named: --student, or --teacher with --shrink or --keep-layers.", {
          hint: `See pith ${name} --help.`,
        });
      requireMeaningfulDrop(maxDrop, metric);
      const data = dataRequest(options);
      if (data === undefined && requiredKeys(pass.options).has("data"))
        throw new PithError("E_USAGE", `${name} needs --data.`, { hint: `See --data in pith ${name} --help.` });
      const why =
        data === undefined && typeof needs === "object"
          ? needs.when(await openModules(name, pass.options, session.passed))
          : undefined;
      if (why !== undefined) {
        throw new PithError("E_USAGE", `${name} needs --data here: ${why}.`, {
          hint: `Representative samples; labels are not needed. See --data in pith ${name} --help.`,
        });
      }
      if (reference !== undefined && aim === undefined && !takesStudent)
        throw new PithError("E_USAGE", `${flagName(reference)} is needed: the ${reference} model.`, {
          hint: `See pith ${name} --help.`,
        });
      if (data === undefined && maxDrop !== undefined)
        throw new PithError("E_USAGE", "--max-drop needs --data, to measure the drop.");
      // Wrong settings are refused before any data is read.
      const path = data !== undefined && keysOf(pass.options).has("data") ? { data: data.path } : {};
      fitting(pass.options, { ...session.passed, ...path }, `See pith ${name} --help.`);
      const out = options.out ?? outputName(model, suffix(session.passed));
      const filesOf = (keys: readonly string[]) =>
        keys.flatMap((key) =>
          [session.passed[key]].flat().map((path) => [`the file of ${flagName(key)}`, path] as const),
        );
      const named = [[`the ${reference ?? "original"}`, aim] as const, ...filesOf(reads)];
      const inputs = [["the model itself", model] as const, ["the data", data?.path] as const, ...named];
      await requireOther(out, inputs);
      await requireWritable(out);
      const alsoWritten = writes.flatMap((key) => session.passed[key] ?? []).filter((path) => typeof path === "string");
      for (const path of alsoWritten) {
        await requireOther(path, [...inputs, ["the result itself", out]]);
        await requireWritable(path);
      }
      const { checkpoint } = session.passed;
      if (typeof checkpoint === "string") {
        await requireFreeFolder(checkpoint, session.passed.resume === true);
        for (const name of ["last.onnx", "best.onnx"]) {
          await requireOther(join(checkpoint, name), [["the model itself", model], ...named]);
        }
        await requireWritableFolder(checkpoint, ["last.onnx", "best.onnx"]);
      }
      const replaced = new Set<string>();
      for (const path of [out, ...alsoWritten]) if (await isThere(path)) replaced.add(path);
      const kept = Object.entries(session.passed).filter(([key]) => !(dryRun && writes.includes(key)));
      const settings = { options: Object.fromEntries(kept), data, metric, output, maxDrop, strict, force, dryRun };
      const input = { command: name, model, original, out, seed: session.seed, ...settings };
      const keeps = checkpoint !== undefined;
      const work = () => session.job<typeof passJob>("pass", input, `${name} ${model}`, { keeps });
      const result = await withoutLeftovers([out], work).catch((error: unknown) => {
        throw stopped(error, { trains: keysOf(pass.options).has("checkpoint"), keeps });
      });
      if (dryRun) return showPlan(result);
      const files = { replaced, alsoWritten };
      if (result.written === undefined) return showUnwritten(model, result, files);
      const speed = await timedBeside(model, typeof aim === "string" ? aim : model, result, session);
      return show(model, result, {
        speed,
        demanded: maxDrop !== undefined || !force,
        files,
        zeros: storesZeros?.(session.passed) === true,
        next: nextLines(next?.(session.passed, nextFiles({ model, out, data })), out, result.masked),
      });
    },
  });
}

/** The flag `--samples` is of the command, and the pass's option `samples` has another. */
export function withCalibration(
  session: Session,
  { calibrationSamples: samples }: { calibrationSamples?: number | undefined },
): Session {
  return samples === undefined ? session : { ...session, passed: { ...session.passed, samples } };
}

/** What a command that was stopped leaves. A training with a folder for it has said what it keeps. */
function stopped(error: unknown, { trains, keeps }: { readonly trains: boolean; readonly keeps: boolean }): unknown {
  if (!(error instanceof PithError) || error.code !== "E_STOPPED" || keeps) return error;
  const { message, hint, cause } = error;
  if (!trains) return new PithError("E_STOPPED", `${message} Nothing was written.`, { hint, cause });
  return new PithError("E_STOPPED", `${message} Nothing was kept.`, {
    hint: "`checkpoint` <folder> saves the state of training regularly, and `resume` continues from it.",
    cause,
  });
}

function showPlan({ changes, misses }: PassOutput): Result {
  return {
    data: { changes, misses },
    print(terminal) {
      const rows = plannedRows(changes);
      const deciders = rows.some(([, , by]) => by !== "") ? [{ title: "set by" }] : [];
      const columns = [{ title: "layer" }, { title: "change" }, ...deciders];
      terminal.table(
        columns,
        rows.map((row) => row.slice(0, columns.length)),
      );
      for (const line of unchangedLines(misses, terminal.color.dim)) terminal.line(line);
      terminal.line("Nothing was written (--dry-run).");
    },
  };
}

function nextLines(lines: readonly string[] = [], out: string, masked: boolean): readonly string[] {
  const all = lines.length === 0 && masked ? [foldingMasks(quoted(out))] : lines;
  return all.map((line, at) => `${at === 0 ? "next" : "then"}: pith ${line}`);
}

interface OutputFiles {
  /** The files that were there before. */
  readonly replaced: ReadonlySet<string>;
  /** Further files, which are written even where the model does not change. */
  readonly alsoWritten: readonly string[];
}

const mark = (path: string, { replaced }: OutputFiles): string => (replaced.has(path) ? " (replaced)" : "");

const furtherFiles = (files: OutputFiles): readonly string[] =>
  files.alsoWritten.map((path) => `${path}${mark(path, files)}`);

/** Asked for a change, and there is none. */
function showUnwritten(model: string, result: UnwrittenOutput, files: OutputFiles): Result {
  const { misses, idle } = result;
  return {
    data: { model, ...result, replaced: false, ...furtherRecord(files) },
    goalMissed: true,
    print(terminal) {
      for (const line of reportLines(result, terminal.color.dim)) terminal.line(line);
      if (idle !== undefined) return terminal.line(`${capitalized(idle)}. Nothing was written; --force writes it.`);
      const further = furtherFiles(files);
      const found = further.length === 0 ? "nothing" : `only ${further.join(", ")}`;
      terminal.line(`Nothing changed, and ${found} was written.${misses.length === 0 ? nothingFound(model) : ""}`);
    },
  };
}

interface ResultDetails {
  readonly speed: Timed | undefined;
  /** Whether a goal that is missed makes the exit code 1: what is forced, with no goal said, has none. */
  readonly demanded: boolean;
  readonly files: OutputFiles;
  /** What was pruned stays in the file as zeros. */
  readonly zeros: boolean;
  readonly next: readonly string[];
}

function show(model: string, result: WrittenOutput, shown: ResultDetails): Result {
  const { speed, demanded, files, zeros, next } = shown;
  const { before, after, metadata, samples, comparison, reference, goal, verdict, training, written } = result;
  const { likeness, others, targets, preprocessing, lost } = result;
  return {
    data: {
      model,
      ...result,
      replaced: files.replaced.has(written),
      ...furtherRecord(files),
      ...speedRecord(speed),
    },
    goalMissed: demanded && verdict?.met === false,
    print(terminal) {
      for (const line of reportLines(result, terminal.color.dim)) terminal.line(line);
      terminal.table(
        [{ title: "" }, { title: "before", align: "right" }, { title: "after", align: "right" }, { title: "" }],
        [
          ["bytes", bytes(before.bytes), bytes(after.bytes), times(before.bytes / after.bytes)],
          ...brotliRow(before, after),
          [
            "parameters",
            count(before.parameters),
            count(after.parameters),
            times(before.parameters / after.parameters),
          ],
          ...zerosRow(before, after),
          ...macsRow(before, after),
          ...timeRow(model, speed),
          ...(comparison === undefined
            ? []
            : [
                [
                  comparison.metric,
                  figure(comparison.unit, comparison.original.value),
                  figure(comparison.unit, comparison.candidate.value),
                  differenceWithInterval(comparison.unit, comparison.difference),
                ],
              ]),
        ],
      );
      if (metadata > notable * before.bytes)
        terminal.line(`not in the result: ${bytes(metadata)} of the exporter's metadata (pith simplify drops it, too)`);
      for (const line of speedLines(model, written, speed)) terminal.line(line);
      if (reference !== undefined) terminal.line(referenceLine(reference));
      if (likeness !== undefined) terminal.line(likenessLine(likeness));
      if (others !== undefined) terminal.line(othersSentence(others));
      if (targets.length > 0) for (const line of targetLines(targets)) terminal.line(line);
      if (comparison === undefined) terminal.line("accuracy: not measured (add --data)");
      // How many samples there were is said below, beside those that judge.
      if (training?.chosen !== undefined || training?.average !== undefined)
        terminal.line(`trained: ${trainingText(training)}`);
      if (zeros)
        terminal.line(
          `The zeros are stored. For a smaller file: --structured, or pith quantize.${result.masked ? "" : " Training overwrites them: prune with --keep-masks before it."}`,
        );
      if (samples !== undefined) terminal.line(samplesLine(samples));
      if (preprocessing !== undefined) terminal.line(`preprocessing: ${preprocessing}`);
      if (verdict !== undefined && comparison !== undefined && goal !== undefined)
        terminal.line(
          goalLine(model, {
            goal,
            verdict,
            reference,
            others: samples?.test,
            before: figure(comparison.unit, comparison.original.value),
            unit: comparison.unit,
            trained: training !== undefined,
            pruned: result.pruned === true,
          }),
        );
      if (lost !== undefined) terminal.line(`lost: ${lost}; written anyway (--force)`);
      const names = [`${terminal.color.bold(written)}${mark(written, files)}`, ...furtherFiles(files)];
      terminal.line(`written: ${names.join("  ")}`);
      for (const line of next) terminal.line(line);
    },
  };
}

const reportLines = ({ changes, misses }: PassOutput, dim: (text: string) => string): string[] => [
  ...changedLines(changes, dim),
  ...unchangedLines(misses, dim),
];

const furtherRecord = ({ alsoWritten }: OutputFiles): object => (alsoWritten.length === 0 ? {} : { alsoWritten });

function referenceLine({ model, isTruth, comparison }: Reference): string {
  return isTruth ? `${comparison.metric}: with ${model}` : distanceText(model, comparison);
}

function goalLine(
  model: string,
  {
    goal,
    verdict,
    reference,
    others,
    before,
    unit,
    trained,
    pruned,
  }: {
    readonly goal: Goal;
    readonly verdict: Verdict;
    readonly reference: Reference | undefined;
    readonly others: Others | undefined;
    /** The figure of the model that came in. */
    readonly before: string;
    readonly unit: Unit;
    readonly trained: boolean;
    readonly pruned: boolean;
  },
): string {
  if (reference === undefined && pruned)
    return `${verdictSentence(goal, verdict, unit, others, `${model} (${before})`)} Give --original to compare with the model before pruning.`;
  // What is trained may have been made smaller before: then its own original is another model.
  if (reference === undefined) return verdictSentence(goal, verdict, unit, others, trained ? model : undefined);
  if (!reference.judges && verdict.drop.high <= 0)
    return `No loss compared with ${model}, at ${confidenceText(verdict.drop)} confidence.`;
  return verdictSentence(goal, verdict, unit, others, reference.judges ? reference.model : model);
}

/** How near a result is to its original, for the table of a folder. */
export function nearnessOf({
  comparison,
  likeness,
  targets,
}: WrittenOutput): Pick<FileFigures, "measured" | "nearness" | "judgedOn" | "rightOn"> {
  const nearness = comparison && comparedNearness(comparison);
  const found =
    nearness !== undefined
      ? { nearness, measured: `${nearness.metric} ${nearnessText(nearness)}` }
      : typeof likeness === "object"
        ? randomNearness(likeness)
        : { measured: `not compared: ${likeness ?? "it was forced"}` };
  // What is wrong on one is not written.
  const rightOn = targets.map(({ target, right }) => (right === undefined ? `${target}?` : target));
  return { ...found, ...(rightOn.length === 0 ? {} : { rightOn }) };
}

function likenessLine(likeness: NonNullable<WrittenOutput["likeness"]>): string {
  if (typeof likeness === "string") return `not compared with the original: ${likeness}`;
  const { samples, relativeError, unmoved, without = [], output, outputs = 1, uncompared = [], ofData } = likeness;
  const apart = apartText(likeness);
  const found = relativeError === 0 ? "equal" : outputs > 1 ? `${apart} ("${output}", the worst of ${outputs})` : apart;
  const which = output === undefined || outputs > 1 ? "outputs" : `output "${output}"`;
  const rest = uncompared.length === 0 ? "" : `; not compared: ${uncompared.map((name) => `"${name}"`).join(", ")}`;
  const count = counted(samples, ofData ? "sample" : "random input");
  const better = ofData ? "" : "; use --data for a better test";
  const moved =
    unmoved === undefined ? "" : `; ${unmovedNote[unmoved]} for all of them: this is weak evidence${better}`;
  return `${which}: ${found}, on ${count}${moved}${rest}${withoutNote(without)}`;
}

const unmovedNote = {
  equal: "the model's output is the same",
  "nearly equal": "the model's output is nearly the same",
  "one class": "the original predicts one class",
} as const;

/** `on 9,000 samples; the weights are those after 421 steps: validation loss 0.03256 on 1,000 samples, the best of 3 evaluations` */
function trainingText({ samples, chosen, average }: NonNullable<PassOutput["training"]>): string {
  const on = samples === undefined ? "on a stream of samples" : `on ${counted(samples, "sample")}`;
  const averaged = average === undefined ? "" : ` averaged over the steps (decay ${average})`;
  if (chosen === undefined) return averaged === "" ? on : `${on}; the weights are${averaged}`;
  const { best, by, unit, evaluations } = chosen;
  const found = `validation ${by} ${unit === "" ? best.figure.toPrecision(4) : figure(unit, best.figure)}`;
  const of = chosen.samples === undefined ? "" : ` on ${counted(chosen.samples, "sample")}`;
  const among = evaluations === 1 ? "the only evaluation" : `the best of ${integer(evaluations)} evaluations`;
  const weights = averaged === "" ? "those" : `${averaged.trim()},`;
  return `${on}; the weights are ${weights} after ${counted(best.step, "step")}: ${found}${of}, ${among}`;
}

function nothingFound(model: string): string {
  return ` No layer can be changed: pith inspect ${quoted(model)} shows what is in the model.`;
}

function brotliRow(before: Weight, after: Weight): string[][] {
  if (before.brotli === undefined || after.brotli === undefined) return [];
  const title = `brotli ${brotliQuality}${before.sampled || after.sampled ? " (sampled)" : ""}`;
  return [[title, bytes(before.brotli), bytes(after.brotli), times(before.brotli / after.brotli)]];
}

function zerosRow({ zeros: before }: Weight, { zeros: after }: Weight): string[][] {
  if (before === undefined || after === undefined || !sparsityMatters(before, after)) return [];
  return [["zeros", percent(before), percent(after), ""]];
}

function macsRow(before: Weight, after: Weight): string[][] {
  const macs = comparableMacs(before, after);
  return macs === undefined ? [] : [["MACs", ...macs.map(count), times(macs[0] / macs[1])]];
}
