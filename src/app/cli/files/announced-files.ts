/** Files that an ended process announced: removes its temporary ones, and says whether the first is complete. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseDataName } from "#ir";
import { hasOwner, temporaryOf } from "../../../core/platform/node-leftovers.ts";
import { type AnnouncedFiles, changeTime } from "../../../runtime/job/job.ts";

/** Removes temporary files that a process left next to the files that it was writing. */
export function removeTemporaries({ owner, files }: AnnouncedFiles): void {
  for (const path of files.map((file) => file.path)) {
    const [folder, name] = [dirname(path), basename(path)];
    if (!existsSync(folder)) continue;
    for (const file of readdirSync(folder)) {
      const temporary = temporaryOf(file);
      if (temporary === undefined || !hasOwner(temporary.ending, owner)) continue;
      if (temporary.name === name || parseDataName(temporary.name)?.model === name)
        rmSync(join(folder, file), { force: true });
    }
  }
}

/** Returns a sentence about the first announced file if it was written since. */
export function describeCompleteFile(announcedFiles: readonly AnnouncedFiles[]): string | undefined {
  const [file] = announcedFiles.flatMap(({ files }) => files);
  return file === undefined || changeTime(file.path) === file.modified ? undefined : `"${file.path}" is complete.`;
}
