/** The commands of passes: check options and paths, run the pass, and print what changed. */
import { join } from "node:path";
import { usageError } from "#ir";
import { type AnyPass, omitOptions, parseSize } from "#pass";
import { copiesOf } from "../../../core/files/compressed-copies.ts";
import { isWithin, judge } from "../../../judge/compare/goal.ts";
import { builtInPasses } from "../../../judge/recipe/built-in-passes.ts";
import { requireFreeFolder } from "../../../learn/train/checkpoint.ts";
import type { ProcessSession, Result } from "../command.ts";
import type { StepFlagValues } from "../commands/pass.ts";
import { exists, requireNotInput } from "../files/file-paths.ts";
import { requireModel } from "../files/model-path.ts";
import { completeFolder, type ResultPath, requireWritableResult, resolveResultPath } from "../files/result-path.ts";
import { requireWritable, requireWritableFolder } from "../files/writable.ts";
import { checkFlags, keysOf, requiredKeys } from "../flags/check-flags.ts";
import { type DataRequest, dataRequestOf, dataWords } from "../flags/data.ts";
import { withDownloadOptions } from "../flags/download-goal.ts";
import { flagName } from "../flags/flag-names.ts";
import { requireMeaningfulDrop } from "../flags/meaningful-drop.ts";
import passJob, { type PassInput, type WrittenOutput } from "../jobs/pass.ts";
import { nextFiles, passCommands } from "../pass-commands.ts";
import { type OutputFiles, resultOfPlan, resultOfUnwritten, resultOfWritten } from "../print/pass-result.ts";

export default async function pass(
  [name = "", model = ""]: readonly string[],
  options: StepFlagValues,
  session: ProcessSession,
): Promise<Result> {
  const [pass, command] = [builtInPasses.get(name), passCommands[name]];
  if (pass === undefined || command === undefined) throw new Error(`"${name}" is no command of a pass.`);
  const { original, metric, maxDrop, force = false, dryRun = false, targetSize, precompress } = options;
  const { calibrationSamples: samples } = options;
  const calibrationOptions = samples === undefined ? session.passOptions : { ...session.passOptions, samples };
  const passed = withDownloadOptions(pass, calibrationOptions, options.targetDownload, session.log);
  const referenceModel = pass.reference === undefined ? original : passed[pass.reference];
  requireMeaningfulDrop(maxDrop, metric);
  const data = dataRequestOf(options);
  requireMandatoryFlags(pass, data, referenceModel);
  if (data === undefined && maxDrop !== undefined) throw usageError("--max-drop needs --data, to measure the drop.");
  // Invalid settings are rejected before any data is read.
  checkFlags(omitOptions(pass.options, ["data"]), passed, `See pith ${name} --help.`);
  const { namedFolders, seed } = session;
  const place = resolveResultPath({ model, referenceModel, namedFolders }, options.out, command.suffix(passed));
  const { out } = place;
  const files = await checkPaths(
    pass,
    passed,
    place,
    { model, referenceModel, data, isDryRun: dryRun },
    copiesOf(out, precompress),
  );
  const keptOptions = Object.entries(passed).filter(([key]) => !(dryRun && pass.writes?.includes(key)));
  // If the pass itself has an option `targetSize`, the flag does not choose bits.
  const choosesBits = targetSize !== undefined && !keysOf(pass.options).has("targetSize");
  const input: PassInput = {
    ...options,
    command: name,
    model,
    out,
    seed,
    data,
    options: Object.fromEntries(keptOptions),
    skipsSidecars: place.folder !== undefined,
    maxBytes: choosesBits ? parseSize(targetSize) : undefined,
  };
  const result = await passJob(input, session);
  if (dryRun) return resultOfPlan(result);
  if (result.written === undefined) return resultOfUnwritten(model, result, files);
  await completeFolder(place, session);
  return resultOfWritten(model, result, {
    isGoalRequired: maxDrop !== undefined || !force,
    files,
    storesZeros: command.storesZeros?.(passed) === true,
    next: command.nextCommand?.(passed, nextFiles({ model, original: referenceModel, out }, data, stateOf(result))),
    dataWords: data === undefined ? [] : dataWords(data),
  });
}

/** A trained result can meet a goal relative to its input, and be far from its original. */
const stateOf = ({ trainable, verdict, goal, reference, lostKnowledge }: WrittenOutput) => ({
  isTrainable: trainable,
  isLost: lostKnowledge !== undefined,
  isGoalMet:
    verdict?.verdict === "kept" &&
    (goal === undefined || reference === undefined || isWithin(judge(reference.comparison, goal).drop, goal)),
});

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
    throw usageError(`${name} needs --data.`, { hint: `See --data in ${help}` });
  if (reference !== undefined && referenceModel === undefined && !passCommands[name]?.takesStudent)
    throw usageError(`${name} needs ${flagName(reference)}: ${referenceNeeds[reference]}.`, {
      hint: `Add ${flagName(reference)} with the path of an ONNX model. See ${help}`,
    });
}

interface PassPaths {
  readonly model: string;
  readonly referenceModel: unknown;
  readonly data: DataRequest | undefined;
  readonly isDryRun: boolean;
}

async function checkPaths(
  { reference = "original", reads = [], writes = [] }: AnyPass,
  passOptions: ProcessSession["passOptions"],
  place: ResultPath,
  { model, referenceModel, data, isDryRun }: PassPaths,
  copies: readonly string[],
): Promise<OutputFiles> {
  const readFiles = reads.flatMap((key) =>
    [passOptions[key]].flat().map((path) => [`the file of ${flagName(key)}`, path] as const),
  );
  const modelItself = ["the model itself", model] as const;
  const otherInputs = [[`the ${reference}`, referenceModel] as const, ...readFiles];
  const inputs = [modelItself, ["the data", data?.path] as const, ...otherInputs];
  const { out } = place;
  await requireModel(model);
  for (const path of [out, ...copies]) await requireNotInput(path, inputs);
  if (!isDryRun) await requireWritableResult(place, copies);
  const alsoWritten = writes.flatMap((key) => passOptions[key] ?? []).filter((path) => typeof path === "string");
  for (const path of alsoWritten) {
    await requireNotInput(path, [...inputs, ["the result itself", out]]);
    await requireWritable(path);
  }
  const { checkpoint } = passOptions;
  if (typeof checkpoint === "string") {
    const names = ["last.onnx", "best.onnx"];
    await requireFreeFolder(checkpoint, passOptions.resume === true);
    for (const name of names) await requireNotInput(join(checkpoint, name), [modelItself, ...otherInputs]);
    await requireWritableFolder(checkpoint, names);
  }
  const replaced = new Set<string>();
  for (const path of [out, ...copies, ...alsoWritten]) if (await exists(path)) replaced.add(path);
  return { replaced, copies, alsoWritten };
}
