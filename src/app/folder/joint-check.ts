/** Checks the files of the modules together, in transformers.js and end to end. Files that fail are repaired or rejected. */
import { counted } from "#ir";
import { joinPath } from "#platform";
import type { DtypeName } from "../../techniques/quantize/dtypes.ts";
import { writeDescriptions } from "./description-files.ts";
import { compareModules, endToEndLoss, type ModulePaths } from "./end-to-end.ts";
import { type FileDtype, type FolderFile, type FolderRun, fileOf } from "./folder-run.ts";
import { makeFile, recordFigures, rejectFailed, rejectFile, timeFile } from "./outcomes.ts";

function findRecorded({ records }: FolderRun, base: string, dtype: FileDtype | undefined): FileDtype | undefined {
  return dtype !== undefined && records.has(fileOf(base, dtype)) ? dtype : undefined;
}

/** Runs the files in transformers.js. Rejects files that it cannot load or run. */
export async function runInLoader(run: FolderRun, dtypeOf: (base: string) => FileDtype | undefined): Promise<boolean> {
  const usedDtypes = run.modules.map(({ base }) => [base, findRecorded(run, base, dtypeOf(base)) ?? "fp32"] as const);
  if (run.check === undefined || usedDtypes.every(([, dtype]) => dtype === "fp32")) return true;
  let isRunning = true;
  const missingOutcome =
    run.missingFilesText === undefined ? undefined : ({ outcome: "fails", reason: run.missingFilesText } as const);
  const outcomes = missingOutcome
    ? usedDtypes.map(([base]) => [base, missingOutcome] as const)
    : await run.check(Object.fromEntries(usedDtypes));
  for (const [base, outcome] of outcomes) {
    const dtype = findRecorded(run, base, dtypeOf(base));
    if (dtype === undefined) continue;
    if ("rejected" in outcome) {
      isRunning = false;
      await rejectFile(run, fileOf(base, dtype), dtype, outcome.rejected);
    } else recordFigures(run, fileOf(base, dtype), { loader: outcome });
  }
  await writeDescriptions(run);
  return isRunning;
}

function pathsOf(run: FolderRun, dtypeOf: (base: string) => FileDtype | undefined): readonly ModulePaths[] {
  return run.modules.map(({ base, source }) => {
    const dtype = findRecorded(run, base, dtypeOf(base));
    return { base, original: source, result: dtype === undefined ? source : joinPath(run.out, fileOf(base, dtype)) };
  });
}

/** Compares the models of one dtype end to end. If they fail, the main module's file is made again or rejected. */
export async function checkOrRepair(run: FolderRun, dtype: DtypeName): Promise<void> {
  const { folder, mainBase, modules, options, rows } = run;
  const { texts = [] } = options;
  const file = fileOf(mainBase, dtype);
  const currentRow = (): FolderFile | undefined => {
    const row = rows.get(file);
    return row?.verdict === "rejected" ? undefined : row;
  };
  const row = currentRow();
  // A single model was compared when its file was made.
  if (row === undefined || (modules.length === 1 && row.together !== undefined)) return;
  if (await checkJointly(run, row, () => dtype)) return;
  const module = modules.find(({ base }) => base === mainBase);
  const rejectionReason = rows.get(file)?.reason;
  if (module === undefined || texts.length === 0) return;
  const jointCheck = { folder, base: mainBase, modules: pathsOf(run, () => dtype), texts };
  await makeFile(run, module, dtype, { jointCheck });
  const repaired = currentRow();
  if (repaired !== undefined && (await checkJointly(run, repaired, () => dtype))) return timeFile(run, module, dtype);
  const { reason = "", ...rejectedRow } = rows.get(file) ?? { dtype, file, verdict: "rejected" };
  const repairText =
    repaired?.preciseLayers && ` This includes ${counted(repaired.preciseLayers.length, "layer")} at higher precision.`;
  rows.set(file, {
    ...rejectedRow,
    reason: repairText === undefined ? `${rejectionReason} ${reason}` : `${reason}${repairText}`,
  });
}

/** Runs the modules together and compares them with the originals. If they fail, rejects the file of `row` and returns false. */
export async function checkJointly(
  run: FolderRun,
  row: FolderFile,
  dtypeOf: (base: string) => FileDtype | undefined,
): Promise<boolean> {
  const { folder, options, context } = run;
  const { texts = [] } = options;
  const compare =
    options.compareEndToEnd ??
    (texts.length === 0
      ? undefined
      : (modules: readonly ModulePaths[]) => compareModules(folder, modules, texts, context));
  if (compare === undefined) return true;
  let isLost = true;
  try {
    const endToEnd = await compare(pathsOf(run, dtypeOf));
    const lossReason = endToEndLoss(endToEnd);
    isLost = lossReason !== undefined;
    if (lossReason === undefined) recordFigures(run, row.file, { together: endToEnd });
    else await rejectFile(run, row.file, row.dtype, lossReason);
  } catch (error) {
    await rejectFailed(run, row.file, row.dtype, error);
  }
  await writeDescriptions(run);
  return !isLost;
}
