/** All models of a folder in one variant: whether transformers.js runs them, and whether they hold together on texts. */
import { joinPath } from "#platform";
import type { DtypeName } from "../quantize/dtypes.ts";
import { describe } from "./describe.ts";
import { lostEndToEnd, type ModulePaths, textsTogether } from "./end-to-end.ts";
import { note, refuse } from "./outcomes.ts";
import { type FolderFile, type FolderRun, fileOf } from "./run.ts";

/** The variant of a module's files that is to be used, if it passes its check. */
function madeOf({ records }: FolderRun, base: string, dtype: DtypeName | undefined): DtypeName | undefined {
  return dtype !== undefined && records.has(fileOf(base, dtype)) ? dtype : undefined;
}

/** Refuses what transformers.js itself does not load or run: then the answer is false. */
export async function runInLoader(run: FolderRun, dtypeOf: (base: string) => DtypeName | undefined): Promise<boolean> {
  const used = run.modules.map(({ base }) => [base, madeOf(run, base, dtypeOf(base)) ?? "fp32"] as const);
  if (run.check === undefined || used.every(([, dtype]) => dtype === "fp32")) return true;
  let holds = true;
  const fails = run.missing === undefined ? undefined : ({ outcome: "fails", reason: run.missing } as const);
  const found = fails ? used.map(([base]) => [base, fails] as const) : await run.check(Object.fromEntries(used));
  for (const [base, outcome] of found) {
    const dtype = madeOf(run, base, dtypeOf(base));
    if (dtype === undefined) continue;
    if ("refused" in outcome) {
      holds = false;
      await refuse(run, fileOf(base, dtype), dtype, outcome.refused);
    } else note(run, fileOf(base, dtype), { loader: outcome });
  }
  await describe(run);
  return holds;
}

/** Runs the main module's file with those of the others, and refuses it if they do not hold: then the answer is false. */
export async function holdTogether(
  run: FolderRun,
  row: FolderFile,
  dtypeOf: (base: string) => DtypeName | undefined,
): Promise<boolean> {
  const { folder, out, modules, options, context } = run;
  const { texts } = options;
  const ofTexts =
    options.together ?? (texts && ((found: readonly ModulePaths[]) => textsTogether(folder, found, texts, context)));
  if (ofTexts === undefined) return true;
  const together = await ofTexts(
    modules.map(({ base, source }) => {
      const dtype = madeOf(run, base, dtypeOf(base));
      return { base, original: source, result: dtype === undefined ? source : joinPath(out, fileOf(base, dtype)) };
    }),
  );
  const lost = lostEndToEnd(together);
  if (lost === undefined) note(run, row.file, { together });
  else await refuse(run, row.file, row.dtype, lost);
  await describe(run);
  return lost === undefined;
}
