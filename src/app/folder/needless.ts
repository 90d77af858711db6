import { stripPeriod } from "../../core/errors.ts";
import { bytes } from "../../core/numbers.ts";
import { dtypeBits, dtypeNames } from "../../techniques/quantize/dtypes.ts";
import { describe } from "./describe.ts";
import { isWhole } from "./model-files.ts";
import { refuse } from "./outcomes.ts";
import { type FolderRun, fileOf } from "./run.ts";

/** Relative speed from which a file counts as equally fast: 1.25 times the original's processor time. One network measured 0.85 to 1.15 of itself. */
export const leastSpeed = 0.8;

/** Removes repaired files that are neither smaller nor faster than a higher-precision dtype of the same module. */
export async function dropNeedless(run: FolderRun): Promise<void> {
  const { modules, asked, records, out, written } = run;
  let isLess = false;
  for (const { base } of modules)
    for (const dtype of asked) {
      const file = fileOf(base, dtype);
      const repaired = records.get(file);
      if (repaired?.spared === undefined) continue;
      for (const milder of dtypeNames.filter((name) => dtypeBits(name) > dtypeBits(dtype))) {
        const other = fileOf(base, milder);
        const found = records.get(other);
        if (found === undefined || found.bytes > repaired.bytes || !(await isWhole(out, other, written))) continue;
        const isFaster = repaired.work !== undefined && repaired.work < leastSpeed * (found.work ?? 0);
        if (isFaster) continue;
        const [own, than] = [repaired.bytes, found.bytes].map(bytes);
        const text = `After repair it takes ${own}, not less than ${milder} with ${than}: ${stripPeriod(repaired.spared.join("; "))}.`;
        await refuse(run, file, dtype, text);
        isLess = true;
        break;
      }
    }
  if (isLess) await describe(run);
}
