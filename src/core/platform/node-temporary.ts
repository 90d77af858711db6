import { rmSync } from "node:fs";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failing, failure } from "./node-failure.ts";
import { removeDeadTemporaries, temporaryPrefix } from "./node-leftovers.ts";

export interface TemporaryFolder {
  /** Absolute, with links resolved. */
  readonly path: string;
  /** Removes the folder; otherwise it is removed when the process ends. */
  remove(): Promise<void>;
}

/** Ending processes can still write into the folder. */
const patience = { maxRetries: 10, retryDelay: 50 };
let isSwept = false;

/** Makes an empty temporary folder; removes those that killed processes left. @throws PithError E_FILE */
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
        // Leftovers in the system's temporary folder are no reason to fail.
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

/** Returns the absolute path of a file with links resolved. @throws PithError E_FILE if it does not exist. */
export function realPath(path: string): Promise<string> {
  return realpath(path).catch(failing(`"${path}" cannot be found`));
}
