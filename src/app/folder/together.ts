import { joinPath } from "#platform";
import { counted } from "../../core/numbers.ts";
import type { DtypeName } from "../../techniques/quantize/dtypes.ts";
import { describe } from "./describe.ts";
import { lostEndToEnd, type ModulePaths, textsTogether } from "./end-to-end.ts";
import { makeFile, note, refuse, timeFile } from "./outcomes.ts";
import { type FileDtype, type FolderFile, type FolderRun, fileOf } from "./run.ts";

function findRecorded({ records }: FolderRun, base: string, dtype: FileDtype | undefined): FileDtype | undefined {
  return dtype !== undefined && records.has(fileOf(base, dtype)) ? dtype : undefined;
}

/** Rejects files that transformers.js cannot load or run, and returns false. */
export async function runInLoader(run: FolderRun, dtypeOf: (base: string) => FileDtype | undefined): Promise<boolean> {
  const used = run.modules.map(({ base }) => [base, findRecorded(run, base, dtypeOf(base)) ?? "fp32"] as const);
  if (run.check === undefined || used.every(([, dtype]) => dtype === "fp32")) return true;
  let holds = true;
  const fails = run.missing === undefined ? undefined : ({ outcome: "fails", reason: run.missing } as const);
  const outcomes = fails ? used.map(([base]) => [base, fails] as const) : await run.check(Object.fromEntries(used));
  for (const [base, outcome] of outcomes) {
    const dtype = findRecorded(run, base, dtypeOf(base));
    if (dtype === undefined) continue;
    if ("refused" in outcome) {
      holds = false;
      await refuse(run, fileOf(base, dtype), dtype, outcome.refused);
    } else note(run, fileOf(base, dtype), { loader: outcome });
  }
  await describe(run);
  return holds;
}

function pathsOf(run: FolderRun, dtypeOf: (base: string) => FileDtype | undefined): readonly ModulePaths[] {
  return run.modules.map(({ base, source }) => {
    const dtype = findRecorded(run, base, dtypeOf(base));
    return { base, original: source, result: dtype === undefined ? source : joinPath(run.out, fileOf(base, dtype)) };
  });
}

/** Compares the models of one dtype on texts. If they fail, the main module's file is made again with the precision fallback, or rejected. */
export async function holdOrRepair(run: FolderRun, dtype: DtypeName): Promise<void> {
  const { folder, main, modules, options, rows } = run;
  const { texts = [] } = options;
  const file = fileOf(main, dtype);
  const rowNow = (): FolderFile | undefined => {
    const row = rows.get(file);
    return row?.verdict === "refused" ? undefined : row;
  };
  const row = rowNow();
  if (row === undefined || (await holdTogether(run, row, () => dtype))) return;
  const module = modules.find(({ base }) => base === main);
  const lost = rows.get(file)?.reason;
  if (module === undefined || texts.length === 0) return;
  await makeFile(run, module, dtype, { folder, base: main, modules: pathsOf(run, () => dtype), texts });
  const repaired = rowNow();
  if (repaired !== undefined && (await holdTogether(run, repaired, () => dtype))) return timeFile(run, module, dtype);
  const { reason = "", ...refused } = rows.get(file) ?? { dtype, file, verdict: "refused" };
  const tried = repaired?.spared && ` This includes ${counted(repaired.spared.length, "layer")} at higher precision.`;
  rows.set(file, { ...refused, reason: tried === undefined ? `${lost} ${reason}` : `${reason}${tried}` });
}

/** Compares the main module's file jointly with the others. Rejects it and returns false if they fail. */
export async function holdTogether(
  run: FolderRun,
  row: FolderFile,
  dtypeOf: (base: string) => FileDtype | undefined,
): Promise<boolean> {
  const { folder, options, context } = run;
  const { texts = [] } = options;
  const ofTexts =
    options.together ??
    (texts.length === 0
      ? undefined
      : (modules: readonly ModulePaths[]) => textsTogether(folder, modules, texts, context));
  if (ofTexts === undefined) return true;
  const together = await ofTexts(pathsOf(run, dtypeOf));
  const lost = lostEndToEnd(together);
  if (lost === undefined) note(run, row.file, { together });
  else await refuse(run, row.file, row.dtype, lost);
  await describe(run);
  return lost === undefined;
}
