/** Creates temporary folders, which are removed when the process ends. */
import { rmSync } from "node:fs";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asFileError, throwFileError } from "./node-file-errors.ts";
import { removeDeadTemporaries, temporaryPrefix } from "./node-leftovers.ts";

export interface TemporaryFolder {
  /** The absolute path, with links resolved. */
  readonly path: string;
  /** Removes the folder. If this function is not called, the folder is removed when the process ends. */
  remove(): Promise<void>;
}

/** Retries of the removal, because ending processes can still write into the folder. */
const retries = { maxRetries: 10, retryDelay: 50 };
let hasRemovedDead = false;

/** Creates an empty temporary folder. The first call removes folders that killed processes left. @throws PithError E_FILE */
export async function temporaryFolder(): Promise<TemporaryFolder> {
  const systemFolder = tmpdir();
  try {
    const root = await realpath(systemFolder);
    if (!hasRemovedDead) await removeDeadTemporaries(root);
    hasRemovedDead = true;
    const path = await mkdtemp(join(root, temporaryPrefix()));
    const removeFolder = (): void => {
      try {
        rmSync(path, { recursive: true, force: true, ...retries });
      } catch {
        // Ignored, because leftovers in the system's temporary folder do no harm.
      }
    };
    process.on("exit", removeFolder);
    return {
      path,
      async remove() {
        process.off("exit", removeFolder);
        await rm(path, { recursive: true, force: true, ...retries }).catch(() => {});
      },
    };
  } catch (cause) {
    throw asFileError(`No temporary folder can be made in "${systemFolder}"`, cause).reworded({
      hint: "The environment variable TMPDIR (TEMP on Windows) names another place.",
    });
  }
}

/** Returns the absolute path of a file, with links resolved. @throws PithError E_FILE if the file does not exist. */
export function realPath(path: string): Promise<string> {
  return realpath(path).catch(throwFileError(`"${path}" cannot be found`));
}
