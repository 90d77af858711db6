/**
 * Files for what does not fit in memory: written once, read back by this process alone, and gone with it. Their name is taken away as soon as
 * they are open, so whatever ends the process, kill -9 too, leaves nothing behind; the system gives the room back when they are closed.
 */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { type FileHandle, open, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PithError } from "../errors.ts";
import type { ScratchFile } from "./files.ts";
import { failure } from "./node-failure.ts";
import { temporaryPrefix } from "./node-leftovers.ts";

/** One call of the system moves at most this much: Linux stops a little below 2 GiB. */
const mostAtOnce = 2 ** 30;

/**
 * A file without a name, on a disk: in TMPDIR, else where the system has temporary files.
 * @throws PithError E_FILE if it cannot be made.
 */
export async function scratchFile(): Promise<ScratchFile> {
  const folder = await scratchFolder();
  const path = join(folder, `${temporaryPrefix()}${randomBytes(6).toString("hex")}`);
  let handle: FileHandle;
  try {
    handle = await open(path, "wx+", 0o600);
  } catch (cause) {
    throw noRoom(folder, cause);
  }
  const sweep = (): void => rmSync(path, { force: true });
  // Where the system keeps names of open files, it goes with the process.
  const isNamed = await rm(path).then(
    () => false,
    () => true,
  );
  if (isNamed) process.on("exit", sweep);
  let end = 0;
  return {
    async append(bytes) {
      const start = end;
      // What is appended next begins behind this, whether or not all of it could be written.
      end += bytes.byteLength;
      try {
        for (let done = 0; done < bytes.byteLength; ) {
          const length = Math.min(mostAtOnce, bytes.byteLength - done);
          done += (await handle.write(bytes, done, length, start + done)).bytesWritten;
        }
      } catch (cause) {
        throw noRoom(folder, cause);
      }
      return start;
    },
    async fill(bytes, start) {
      try {
        for (let done = 0; done < bytes.byteLength; ) {
          const length = Math.min(mostAtOnce, bytes.byteLength - done);
          const { bytesRead } = await handle.read(bytes, done, length, start + done);
          if (bytesRead === 0) throw new Error("it ends too early");
          done += bytesRead;
        }
      } catch (cause) {
        throw failure(`A temporary file in "${folder}" cannot be read`, cause);
      }
    },
    async close() {
      await handle.close();
      if (!isNamed) return;
      process.off("exit", sweep);
      await rm(path, { force: true }).catch(() => {});
    },
  };
}

/** Linux' number of file systems that are memory themselves, as /tmp is on many machines. */
const tmpfs = 0x01021994;

/** What the user says; else a folder on a disk, if there is one. */
async function scratchFolder(): Promise<string> {
  const usual = tmpdir();
  if (process.env.TMPDIR) return usual;
  for (const folder of [usual, "/var/tmp"]) {
    const found = await statfs(folder).catch(() => undefined);
    if (found !== undefined && found.type !== tmpfs) return folder;
  }
  return usual;
}

function noRoom(folder: string, cause: unknown): PithError {
  const { code, message } = failure(`A temporary file in "${folder}" cannot be written`, cause);
  const hint = "Set TMPDIR to a folder on a disk with more space, or use fewer samples.";
  return new PithError(code, message, { hint, cause });
}
