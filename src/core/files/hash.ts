/** Computes SHA-256 hashes of files, bytes and texts. */
import { fileKind, openFile } from "#platform";
import { bytesOfText, concatBytes, hexadecimal } from "../tensor/dense.ts";

export async function isCopy(source: string, target: string): Promise<boolean> {
  if ((await fileKind(target)) !== "file") return false;
  if ((await openFile(source)).size !== (await openFile(target)).size) return false;
  return (await fileHash(source)) === (await fileHash(target));
}

const pieceBytes = 2 ** 22;

export async function* bytesOfFile(path: string): AsyncIterable<Uint8Array> {
  const source = await openFile(path);
  for (let start = 0; start < source.size; start += pieceBytes)
    yield source.read(start, Math.min(source.size, start + pieceBytes));
}

function* piecesOf(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let start = 0; start < bytes.length; start += pieceBytes) yield bytes.subarray(start, start + pieceBytes);
}

/** Returns the SHA-256 of the list of SHA-256 hashes of 4 MiB pieces, so that only one piece of a large file is in memory. */
export async function fileHash(path: string): Promise<string> {
  return hashOf(bytesOfFile(path));
}

export function bytesHash(bytes: Uint8Array): Promise<string> {
  return hashOf(piecesOf(bytes));
}

async function hashOf(parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<string> {
  const hashes: string[] = [];
  for await (const part of parts) hashes.push(await sha256Text([part]));
  return textHash(hashes.join());
}

export function textHash(text: string): Promise<string> {
  return sha256Text([bytesOfText(text)]);
}

export async function sha256Text(parts: readonly Uint8Array[]): Promise<string> {
  return hexadecimal(await sha256(parts));
}

export async function sha256(parts: readonly Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concatBytes(parts)));
}
