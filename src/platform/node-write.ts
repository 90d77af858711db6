/** Writing files so that a path holds either what it held before, or the whole new file. */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { failure } from "./node-failure.ts";

/** One write of the system is at most this long: Linux stops a little below 2 GiB. */
const writeAtMost = 2 ** 30;

/** The bytes of a file, in order. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Writes a file in one step: into a temporary file beside it, which takes the name once it is complete and on the disk.
 * The chunks may be read from the file that is being replaced. On failure the old file is untouched.
 * @throws PithError E_FILE if it cannot be written, and whatever the chunks throw.
 */
export function writeFileAtomically(path: string, chunks: Chunks): Promise<void> {
  return writeFilesAtomically([[path, chunks]]);
}

/** Writes files that belong together: none takes its name before all are complete. */
export async function writeFilesAtomically(files: readonly (readonly [path: string, chunks: Chunks])[]): Promise<void> {
  const written: { readonly temporary: string; readonly target: string; readonly path: string }[] = [];
  try {
    for (const [path, chunks] of files) {
      // Through a link to the file itself: the link stays a link.
      const target = await realpath(path).catch(() => path);
      const temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString("hex")}.tmp`);
      written.push({ temporary, target, path });
      await writeTemporary(temporary, target, path, chunks);
    }
    for (const { temporary, target, path } of written) await rename(temporary, target).catch(unwritable(path));
  } catch (error) {
    for (const { temporary } of written) await rm(temporary, { force: true });
    throw error;
  }
}

async function writeTemporary(temporary: string, target: string, path: string, chunks: Chunks): Promise<void> {
  const mode = await stat(target).then(
    (old) => old.mode & 0o777,
    () => 0o666,
  );
  const handle = await open(temporary, "wx", mode).catch(unwritable(path));
  try {
    for await (const chunk of chunks) await writeAll(handle, chunk).catch(unwritable(path));
    await handle.sync().catch(unwritable(path));
  } finally {
    await handle.close();
  }
}

function unwritable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw failure(`"${path}" cannot be written`, cause);
  };
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  let written = 0;
  while (written < chunk.byteLength) {
    written += (await handle.write(chunk, written, Math.min(writeAtMost, chunk.byteLength - written))).bytesWritten;
  }
}
