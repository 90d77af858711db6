/** Recognizes a model file that the user chooses again. */
import type { ChosenFiles } from "../backend/backend.ts";
import { sha256Of } from "../hash.ts";

/** Bytes of a file that are in memory at a time. */
const pieceBytes = 2 ** 22;

/**
 * Returns a hash of the model's file and of the files beside it that can have its weights, which have any name. For a model without files, returns a
 * hash of its address and size.
 */
export async function fingerprintOf(place: string, files: ChosenFiles, bytes: number): Promise<string> {
  const isOfModel = (path: string): boolean =>
    path === place ||
    (!path.endsWith(".onnx") && folderOf(path) === folderOf(place)) ||
    /\.(onnx_data|data)(_\d+)?$/.test(path);
  const modelFiles = files.filter(([path]) => isOfModel(path)).map(([, file]) => file);
  if (modelFiles.length === 0) return sha256Of(new TextEncoder().encode(`${place} ${bytes}`));
  const hashes: string[] = [];
  for (const file of modelFiles.toSorted((a, b) => a.name.localeCompare(b.name)))
    for await (const piece of piecesOf(file)) hashes.push(await sha256Of(piece));
  return sha256Of(new TextEncoder().encode(hashes.join()));
}

/** Number of bytes that are hashed at the start of each file, and maximum number of files. */
const [startBytes, maxStarts] = [2 ** 16, 100];

/** Returns a short hash of the names, sizes and first bytes of samples. */
export async function choiceOf(files: ChosenFiles): Promise<string> {
  const starts = files.slice(0, maxStarts).map(([, file]) => file.slice(0, startBytes));
  const names = files.map(([path, { size }]) => `${path} ${size}\n`);
  return (await sha256Of(await new Blob([...names, ...starts]).arrayBuffer())).slice(0, 8);
}

const folderOf = (path: string): string => path.slice(0, path.lastIndexOf("/") + 1);

/** Yields the pieces of a file in the same memory, because a browser collects the pieces of a large file too late. */
async function* piecesOf(file: Blob): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = readerOf(file);
  let buffer = new ArrayBuffer(reader === undefined ? 0 : pieceBytes);
  for (let start = 0; start < file.size; start += pieceBytes) {
    const size = Math.min(pieceBytes, file.size - start);
    if (reader === undefined) {
      yield new Uint8Array(await file.slice(start, start + size).arrayBuffer());
      continue;
    }
    for (let length = 0; length < size; ) {
      const { value, done } = await reader.read(new Uint8Array(buffer, length, size - length));
      if (done) throw new Error("internal: a file ended before its size");
      buffer = value.buffer;
      length += value.length;
    }
    yield new Uint8Array(buffer, 0, size);
  }
}

/** Returns undefined in browsers that cannot read a file into given memory. */
function readerOf(file: Blob): ReadableStreamBYOBReader | undefined {
  try {
    return file.stream().getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
}
