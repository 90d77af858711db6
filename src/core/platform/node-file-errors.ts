/** Errors of Node.js file operations as PithError E_FILE, and complete reads from a file handle. */
import type { FileHandle } from "node:fs/promises";
import { errorMessage, fileError, PithError } from "../errors.ts";

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist",
  EACCES: "permission is denied",
  EPERM: "permission is denied",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of the path is not a folder",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is exceeded",
  EFBIG: "the file would exceed the size limit",
  EEXIST: "a file of this name exists",
  EROFS: "the file system is read-only",
  ENAMETOOLONG: "the name is too long",
  EMFILE: "too many files are open",
};

/** Returns a handler for `catch`, which throws PithError E_FILE with a sentence and the reason. */
export function throwFileError(sentence: string): (cause: unknown) => never {
  return (cause) => {
    throw asFileError(sentence, cause);
  };
}

export function asFileError(sentence: string, cause: unknown): PithError {
  if (cause instanceof PithError) return cause;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const isFull = code === "ENOSPC" || code === "EDQUOT";
  const hint = isFull ? "Free space on the disk of this path, or write to another disk." : undefined;
  return fileError(`${sentence}: ${reasons[code] ?? errorMessage(cause)}.`, { hint, cause });
}

/** The maximum bytes of one system read or write, because Linux allows slightly less than 2 GiB. */
export const maxSystemCall = 2 ** 30;

/** Fills `bytes` with a file's data from offset `start` on. Returns false if the file ends earlier. */
export async function readFully(handle: FileHandle, bytes: Uint8Array, start: number): Promise<boolean> {
  for (let filledBytes = 0; filledBytes < bytes.byteLength; ) {
    const length = Math.min(maxSystemCall, bytes.byteLength - filledBytes);
    const { bytesRead } = await handle.read(bytes, filledBytes, length, start + filledBytes);
    if (bytesRead === 0) return false;
    filledBytes += bytesRead;
  }
  return true;
}
