/** Builds the command of a pass, with the pass's options as flags. */
import * as v from "valibot";
import { PithError, uncapitalize, usageError } from "#ir";
import { type AnyPass, countOption, downloadOption, option, sizeOption, withHelp } from "#pass";
import { isTraining } from "../../../judge/steps/step-options.ts";
import { type CommandDefinition, defineCommand } from "../command.ts";
import { outputName } from "../files/file-paths.ts";
import { folderOutputNote, precompressFlag } from "../files/result-path.ts";
import { keysOf } from "../flags/check-flags.ts";
import { dataFlags } from "../flags/data.ts";
import { goalFlags, metricFlags } from "../flags/metrics.ts";
import { fork } from "../fork.ts";
import { passCommands } from "../pass-commands.ts";

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
    fallback: withHelp(
      v.optional(v.boolean(), true),
      "keep layers with the largest error at higher precision if too much is lost",
      { group: "Evaluation:", negated: "fail if accuracy drops too far, instead of raising the precision of layers" },
    ),
    targetSize: option(sizeOption, "maximum file size; bits per layer (8 to 2) are chosen for the lowest total error", {
      value: "300kB",
      common: true,
    }),
    targetDownload: option(downloadOption, "maximum size after brotli, or bits per weight (2.5bpw); uses rdoq", {
      value: "100kB",
      common: true,
    }),
    ...dataFlags,
    calibrationSamples: option(countOption, "samples for choosing options; the others are for testing", { value: "n" }),
  });

type StepFlags = ReturnType<typeof stepFlags>;
export type StepFlagValues = v.InferOutput<StepFlags>;

export function passCommand(pass: AnyPass): CommandDefinition<StepFlags> {
  const { id: name, summary, reference, data: needs } = pass;
  const command = passCommands[name];
  if (command === undefined) throw new Error(`The pass ${name} is no command.`);
  const { suffix, resultNames, inputRole = "the model", takesStudent = false, examples } = command;
  const flagKeys = keysOf(pass.options);
  return defineCommand({
    name,
    summary: uncapitalize(summary),
    arguments: [{ name: "model.onnx", description: `${inputRole}; ${folderOutputNote}`, isOptional: takesStudent }],
    options: stepFlags(resultNames ?? outputName("model.onnx", suffix({}))),
    flaglessKeys: [
      ...(pass.fallbackOverrides === undefined ? ["fallback", "targetSize"] : []),
      ...(pass.downloadSettings === undefined ? ["targetDownload", "precompress"] : []),
      ...(reference === undefined && needs === "train" ? [] : ["original"]),
      ...(flagKeys.has("samples") ? [] : ["calibrationSamples"]),
    ],
    passSchema: pass.options,
    requiredFlags: reference === undefined ? [] : [reference],
    // The job sets these options, or only recipes use them, so the command has no flags for them.
    omittedKeys: ["data", "samples", "metric", "threads"],
    examples,
    run([word], options, session) {
      const { passOptions } = session;
      const model = modelArgument(word, reference === undefined ? options.original : passOptions[reference], name);
      const keeps = passOptions.checkpoint !== undefined;
      const kinds = { trains: isTraining(pass), keeps, canKeep: flagKeys.has("checkpoint") };
      return fork("pass", [name, model], options, session, {
        title: `${name} ${model}`,
        keeps,
        describeStop: (error, written) => describeStoppedPass(error, { ...kinds, written }),
      });
    },
  });
}

function modelArgument(word: string | undefined, referenceModel: unknown, name: string): string {
  const model = word ?? referenceModel;
  if (typeof model === "string") return model;
  throw usageError("No model is named: expected a student, or --teacher with --shrink or --keep-layers.", {
    hint: `See pith ${name} --help.`,
  });
}

interface StopState extends Readonly<Record<"trains" | "keeps" | "canKeep", boolean>> {
  readonly written: string | undefined;
}

/** Adds to the error of a stopped command what was written or kept. */
function describeStoppedPass(error: PithError, { trains, keeps, canKeep, written }: StopState): PithError {
  const { message, cause } = error;
  if (keeps && error.hint !== undefined) return error;
  const outcome = (keeps ? undefined : written) ?? `Nothing was ${keeps || trains ? "kept" : "written"}.`;
  const losesTraining = trains && !keeps && written === undefined;
  const advice = canKeep
    ? "--checkpoint <folder> saves the state of training regularly, and --resume continues from it."
    : undefined;
  return new PithError("E_STOPPED", `${message} ${outcome}`, { hint: losesTraining ? advice : error.hint, cause });
}
