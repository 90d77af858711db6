/** Builds the command of a pass, with the pass's options as flags. The command reads a model, and writes and, with data, evaluates the result. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { PithError, uncapitalize } from "#ir";
import { type AnyPass, bytesOf, countOption, described, downloadOption, option, sizeOption } from "#pass";
import { copiesOf } from "../../../core/files/compressed-copies.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { partFor } from "../../../judge/steps/step-options.ts";
import { requireFreeFolder } from "../../../learn/train/checkpoint.ts";
import { type CommandDefinition, defineCommand, type Session } from "../command.ts";
import { exists, nextFiles, outputName, requireOther, withoutLeftovers } from "../files/files.ts";
import { requireModel } from "../files/model-folder.ts";
import {
  completePlace,
  folderForFolder,
  precompressFlag,
  type ResultPlace,
  requireWritablePlace,
  resolveResultPlace,
} from "../files/result-place.ts";
import { requireWritable, requireWritableFolder } from "../files/writable.ts";
import { type DataRequest, dataFlags, dataRequest, dataWords } from "../flags/data.ts";
import { flagName } from "../flags/invalid-options.ts";
import { goalFlags, metricFlags, requireMeaningfulDrop } from "../flags/metrics.ts";
import { checkFlags, keysOf, requiredKeys } from "../flags/options.ts";
import type { WrittenOutput } from "../job-parts/pass-output.ts";
import type passJob from "../jobs/pass.ts";
import { passCommands } from "../pass-commands.ts";
import { type OutputFiles, showPlan, showUnwritten, showWritten } from "../print/pass-result.ts";

const stepFlags = (defaultOut: string) =>
  v.object({
    original: option(v.string(), "model before pruning, to compare the result with (default: model.onnx)", {
      value: "original.onnx",
    }),
    out: option(v.string(), `file to write (default: ${defaultOut})`, { short: "-o", value: "out.onnx", common: true }),
    dryRun: option(v.boolean(), "print the planned change of each layer, and write nothing", { common: true }),
    ...precompressFlag,
    ...metricFlags,
    ...goalFlags,
    fallback: described(
      v.optional(v.boolean(), true),
      "keep layers with the largest error at higher precision if too much is lost",
      { group: "Evaluation:", negated: "fail if accuracy drops too far, instead of raising the precision of layers" },
    ),
    targetSize: option(sizeOption, "maximum file size; bits per layer (8 to 2) are chosen for the lowest total error", {
      value: "300kB",
      common: true,
    }),
    targetDownload: option(downloadOption, "maximum size after brotli, or bits per weight (2.5bpw); chooses rdoq", {
      value: "100kB",
      common: true,
    }),
    ...dataFlags,
    calibrationSamples: option(countOption, "samples for choosing options; the others are for testing", { value: "n" }),
  });

export function passCommand(pass: AnyPass): CommandDefinition<ReturnType<typeof stepFlags>> {
  const { id: name, summary, reference, data: needs } = pass;
  const command = passCommands[name];
  if (command === undefined) throw new Error(`The pass ${name} is no command.`);
  const { suffix, results, takes = "the model", takesStudent = false, examples } = command;
  return defineCommand({
    name,
    summary: uncapitalize(summary),
    arguments: [{ name: "model.onnx", description: `${takes}; ${folderForFolder}`, optional: takesStudent }],
    options: stepFlags(results ?? outputName("model.onnx", suffix({}))),
    without: [
      ...(pass.milderForms === undefined ? ["fallback", "targetSize"] : []),
      ...(pass.downloadSettings === undefined ? ["targetDownload", "precompress"] : []),
      ...(reference === undefined && needs === "train" ? [] : ["original"]),
      ...(keysOf(pass.options).has("samples") ? [] : ["calibrationSamples"]),
    ],
    passed: pass.options,
    // These options of the pass are no flags, because the job sets them, or only a recipe can use what they do.
    reserved: ["data", "samples", "metric", "keepStep", "threads"],
    examples,
    async run([word], options, calledSession) {
      const session = withDownload(pass, withCalibration(calledSession, options), options);
      const { passed, seed } = session;
      const { original, metric, output, maxDrop, strict = false, force = false, fallback } = options;
      const { targetSize, targetDownload, dryRun = false, precompress } = options;
      const referenceModel = reference === undefined ? original : passed[reference];
      const model = modelIn(word, referenceModel, name);
      requireMeaningfulDrop(maxDrop, metric);
      const data = dataRequest(options);
      requireMandatoryFlags(pass, data, referenceModel);
      if (data === undefined && maxDrop !== undefined)
        throw new PithError("E_USAGE", "--max-drop needs --data, to measure the drop.");
      // Invalid settings are rejected before any data is read.
      const dataOption = data !== undefined && keysOf(pass.options).has("data") ? { data: data.path } : {};
      checkFlags(pass.options, { ...passed, ...dataOption }, `See pith ${name} --help.`);
      const { folders } = session;
      const place = resolveResultPlace({ model, referenceModel, folders }, options.out, command.suffix(passed));
      const { out } = place;
      const copies = copiesOf(out, precompress);
      const files = await openPlaces(pass, passed, place, { model, referenceModel, data }, copies);
      const keptOptions = Object.entries(passed).filter(([key]) => !(dryRun && pass.writes?.includes(key)));
      // If the pass itself has an option `targetSize` (share to prune), the flag does not choose bits.
      const choosesBits = targetSize !== undefined && !keysOf(pass.options).has("targetSize");
      const input = {
        ...{ command: name, model, original, out, seed, precompress, data, metric, output },
        ...{ maxDrop, strict, force, fallback, dryRun, targetDownload },
        options: Object.fromEntries(keptOptions),
        copiesSidecars: place.folder !== undefined,
        targetBytes: choosesBits ? bytesOf(targetSize) : undefined,
      };
      const keeps = passed.checkpoint !== undefined;
      const earlierModified = await timeOf(out);
      const work = () => session.job<typeof passJob>("pass", input, `${name} ${model}`, { keeps });
      const result = await withoutLeftovers([out, ...copies], work).catch(async (error: unknown) => {
        const staleText = copies.length === 0 ? "" : "; its compressed copies are missing or of an earlier model";
        const written = (await timeOf(out)) === earlierModified ? undefined : `"${out}" is complete${staleText}.`;
        const canKeep = keysOf(pass.options).has("checkpoint");
        throw describeStop(error, { trains: partFor(pass, passed) === "train", keeps, canKeep, written });
      });
      if (dryRun) return showPlan(result);
      if (result.written === undefined) return showUnwritten(model, result, files);
      await completePlace(place, session.terminal);
      return showWritten(model, result, {
        isGoalRequired: maxDrop !== undefined || !force,
        files,
        storesZeros: command.storesZeros?.(passed) === true,
        next: command.next?.(passed, nextFiles({ model, original: referenceModel, out }, data, stateOf(result))),
        comparisonCommand: evalCommand(out, data),
      });
    },
  });
}

const timeOf = async (path: string): Promise<number | undefined> => (await stat(path).catch(() => undefined))?.mtimeMs;

function evalCommand(out: string, data: DataRequest | undefined): string {
  const words = ["pith", "eval", out, "--original", "original.onnx", ...(data === undefined ? [] : dataWords(data))];
  return words.map(quoteWord).join(" ");
}

const stateOf = ({ trainable, verdict }: WrittenOutput) => ({ trainable, holds: verdict?.verdict === "kept" });

function modelIn(word: string | undefined, referenceModel: unknown, name: string): string {
  const model = word ?? referenceModel;
  if (typeof model === "string") return model;
  throw new PithError(
    "E_USAGE",
    "No model is named: expected a student, or --teacher with --shrink or --keep-layers.",
    { hint: `See pith ${name} --help.` },
  );
}

const referenceNeeds = {
  original: "the model that the input was made from",
  teacher: "the model that the student learns from",
};

function requireMandatoryFlags(
  { id: name, options, reference }: AnyPass,
  data: DataRequest | undefined,
  referenceModel: unknown,
): void {
  const help = `pith ${name} --help.`;
  if (data === undefined && requiredKeys(options).has("data"))
    throw new PithError("E_USAGE", `${name} needs --data.`, { hint: `See --data in ${help}` });
  if (reference !== undefined && referenceModel === undefined && !passCommands[name]?.takesStudent)
    throw new PithError("E_USAGE", `${name} needs ${flagName(reference)}: ${referenceNeeds[reference]}.`, {
      hint: `Add ${flagName(reference)} with the path of an ONNX model. See ${help}`,
    });
}

interface Inputs {
  readonly model: string;
  readonly referenceModel: unknown;
  readonly data: DataRequest | undefined;
}

async function openPlaces(
  { reference = "original", reads = [], writes = [] }: AnyPass,
  passed: Session["passed"],
  place: ResultPlace,
  { model, referenceModel, data }: Inputs,
  copies: readonly string[],
): Promise<OutputFiles> {
  const readFiles = reads.flatMap((key) =>
    [passed[key]].flat().map((path) => [`the file of ${flagName(key)}`, path] as const),
  );
  const modelItself = ["the model itself", model] as const;
  const otherInputs = [[`the ${reference}`, referenceModel] as const, ...readFiles];
  const inputs = [modelItself, ["the data", data?.path] as const, ...otherInputs];
  const { out } = place;
  await requireModel(model);
  for (const path of [out, ...copies]) await requireOther(path, inputs);
  await requireWritablePlace(place, copies);
  const alsoWritten = writes.flatMap((key) => passed[key] ?? []).filter((path) => typeof path === "string");
  for (const path of alsoWritten) {
    await requireOther(path, [...inputs, ["the result itself", out]]);
    await requireWritable(path);
  }
  const { checkpoint } = passed;
  if (typeof checkpoint === "string") {
    const names = ["last.onnx", "best.onnx"];
    await requireFreeFolder(checkpoint, passed.resume === true);
    for (const name of names) await requireOther(join(checkpoint, name), [modelItself, ...otherInputs]);
    await requireWritableFolder(checkpoint, names);
  }
  const replaced = new Set<string>();
  for (const path of [out, ...copies, ...alsoWritten]) if (await exists(path)) replaced.add(path);
  return { replaced, copies, alsoWritten };
}

/** Returns a session whose pass option `samples` is set. Its flag is `--calibration-samples`, because commands already have a flag `--samples`. */
export function withCalibration(
  session: Session,
  { calibrationSamples: samples }: { calibrationSamples?: number | undefined },
): Session {
  return samples === undefined ? session : { ...session, passed: { ...session.passed, samples } };
}

interface SizeGoals {
  readonly targetDownload?: string | undefined;
  readonly targetSize?: string | undefined;
}

/** @throws PithError E_USAGE if both sizes are set. */
export function requireOneSize({ targetDownload, targetSize }: SizeGoals): void {
  if (targetDownload === undefined || targetSize === undefined) return;
  throw new PithError("E_USAGE", "--target-download and --target-size are two goals, and each chooses other options.", {
    hint: "Give one: the size after brotli, or that of the file.",
  });
}

/**
 * Returns a session with the options that a download size requires: those with the same value in all settings that the pass would try.
 * @throws PithError E_USAGE if an option is set that the size determines; E_OPTION if options exclude a download size.
 */
export function withDownload({ downloadSettings }: AnyPass, session: Session, goals: SizeGoals): Session {
  if (goals.targetDownload === undefined || downloadSettings === undefined) return session;
  requireOneSize(goals);
  const { passed, terminal } = session;
  const settings = settingsForDownload(() => downloadSettings(passed));
  const requiredOptions: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(settings[0] ?? {})) {
    if (settings.every((other) => other[key] === value)) requiredOptions[key] = value;
    else if (passed[key] !== undefined)
      throw new PithError("E_USAGE", `--target-download chooses the ${key}, and ${flagName(key)} gives one.`, {
        hint: "Give one: the size after brotli, or the error.",
      });
  }
  for (const [key, value] of Object.entries(requiredOptions))
    if (passed[key] === undefined)
      terminal.note(key, `--target-download uses ${flagName(key)} ${value} (docs/download.md)`);
  return { ...session, passed: { ...passed, ...requiredOptions } };
}

/** Returns the result of `read`. @throws PithError of `read`, with a message that starts with --target-download. */
function settingsForDownload<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    throw error.reworded({ at: "--target-download" });
  }
}

/**
 * Adds to the error of a stopped command what was written or kept. Returns other errors unchanged, and with checkpoints also an error that already
 * has a hint.
 */
function describeStop(
  error: unknown,
  {
    trains,
    keeps,
    canKeep,
    written,
  }: Readonly<Record<"trains" | "keeps" | "canKeep", boolean>> & { readonly written: string | undefined },
): unknown {
  if (!(error instanceof PithError) || error.code !== "E_STOPPED") return error;
  const { message, hint, cause } = error;
  if (keeps) return hint === undefined ? new PithError("E_STOPPED", `${message} Nothing was kept.`, { cause }) : error;
  if (written !== undefined) return new PithError("E_STOPPED", `${message} ${written}`, { hint, cause });
  if (!trains) return new PithError("E_STOPPED", `${message} Nothing was written.`, { hint, cause });
  return new PithError("E_STOPPED", `${message} Nothing was kept.`, {
    hint: canKeep
      ? "--checkpoint <folder> saves the state of training regularly, and --resume continues from it."
      : undefined,
    cause,
  });
}
