/** Creates scratch files for data that does not fit in memory. They are unlinked right after opening, so that no file remains even after kill -9. */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { type FileHandle, open, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PithError } from "../errors.ts";
import type { ScratchFile } from "./files.ts";
import { asFileError, maxSystemCall, readFully } from "./node-file-errors.ts";
import { temporaryPrefix } from "./node-leftovers.ts";

/** Opens an unlinked file in TMPDIR, by default in a folder of the system that is not in memory. @throws PithError E_FILE if this fails. */
export async function scratchFile(): Promise<ScratchFile> {
  const folder = await scratchFolder();
  const path = join(folder, `${temporaryPrefix()}${randomBytes(6).toString("hex")}`);
  let handle: FileHandle;
  try {
    handle = await open(path, "wx+", 0o600);
  } catch (cause) {
    throw writeError(folder, cause);
  }
  const removeFile = (): void => rmSync(path, { force: true });
  // Some systems cannot unlink open files. The file is then removed when the process ends.
  const isNamed = await rm(path).then(
    () => false,
    () => true,
  );
  if (isNamed) process.on("exit", removeFile);
  let end = 0;
  return {
    async append(bytes) {
      const start = end;
      // Advances the end even if the write fails, so that later data cannot overlap these bytes.
      end += bytes.byteLength;
      try {
        for (let writtenBytes = 0; writtenBytes < bytes.byteLength; ) {
          const length = Math.min(maxSystemCall, bytes.byteLength - writtenBytes);
          writtenBytes += (await handle.write(bytes, writtenBytes, length, start + writtenBytes)).bytesWritten;
        }
      } catch (cause) {
        throw writeError(folder, cause);
      }
      return start;
    },
    async fill(bytes, start) {
      try {
        if (!(await readFully(handle, bytes, start))) throw new Error("it ends too early");
      } catch (cause) {
        throw asFileError(`A temporary file in "${folder}" cannot be read`, cause);
      }
    },
    async close() {
      await handle.close();
      if (!isNamed) return;
      process.off("exit", removeFile);
      await rm(path, { force: true }).catch(() => {});
    },
  };
}

/** The magic number of Linux's in-memory file system, which /tmp often is. */
const tmpfs = 0x01021994;

async function scratchFolder(): Promise<string> {
  const systemFolder = tmpdir();
  if (process.env.TMPDIR) return systemFolder;
  for (const folder of [systemFolder, "/var/tmp"]) {
    const system = await statfs(folder).catch(() => undefined);
    if (system !== undefined && system.type !== tmpfs) return folder;
  }
  return systemFolder;
}

function writeError(folder: string, cause: unknown): PithError {
  const hint = "Set TMPDIR to a folder on a disk with more space, or use fewer samples.";
  return asFileError(`A temporary file in "${folder}" cannot be written`, cause).reworded({ hint });
}
