/** Folders for what must lie in a file for a while. */
import { rmSync } from "node:fs";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failure } from "./node-failure.ts";
import { removeDeadTemporaries, temporaryPrefix } from "./node-leftovers.ts";

export interface TemporaryFolder {
  /** Absolute, without links in it. */
  readonly path: string;
  /** Removes the folder and what is in it; otherwise it goes when the process ends. */
  remove(): Promise<void>;
}

/** Processes that are ending may still be writing into it. */
const patience = { maxRetries: 10, retryDelay: 50 };
let isSwept = false;

/** Makes an empty folder of its own, where killed processes have left none. @throws PithError E_FILE */
export async function temporaryFolder(): Promise<TemporaryFolder> {
  const within = tmpdir();
  try {
    const root = await realpath(within);
    if (!isSwept) await removeDeadTemporaries(root);
    isSwept = true;
    const path = await mkdtemp(join(root, temporaryPrefix()));
    const sweep = (): void => {
      try {
        rmSync(path, { recursive: true, force: true, ...patience });
      } catch {
        // What is left in the system's temporary folder is no reason to fail.
      }
    };
    process.on("exit", sweep);
    return {
      path,
      async remove() {
        process.off("exit", sweep);
        await rm(path, { recursive: true, force: true, ...patience }).catch(() => {});
      },
    };
  } catch (cause) {
    throw failure(`No temporary folder can be made in "${within}"`, cause).reworded({
      hint: "The environment variable TMPDIR (TEMP on Windows) names another place.",
    });
  }
}

/** The absolute path of a file without links in it. @throws PithError E_FILE if there is none. */
export async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw failure(`"${path}" cannot be found`, cause);
  }
}
