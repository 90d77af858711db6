/** Folders for what must lie in a file for a while. */
import { rmSync } from "node:fs";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failure } from "./node-failure.ts";

export interface TemporaryFolder {
  /** Absolute, without links in it. */
  readonly path: string;
  /** Removes the folder and what is in it; otherwise it goes when the process ends. */
  remove(): Promise<void>;
}

/** Makes an empty folder of its own. @throws PithError E_FILE */
export async function temporaryFolder(): Promise<TemporaryFolder> {
  try {
    const path = await mkdtemp(join(await realpath(tmpdir()), "pith-"));
    const sweep = (): void => rmSync(path, { recursive: true, force: true });
    process.on("exit", sweep);
    return {
      path,
      async remove() {
        process.off("exit", sweep);
        await rm(path, { recursive: true, force: true });
      },
    };
  } catch (cause) {
    throw failure("A temporary folder cannot be made", cause);
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
