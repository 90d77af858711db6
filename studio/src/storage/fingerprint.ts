/** Recognizes a model file that the user chooses again. */
import type { ChosenFiles } from "../backend/backend.ts";
import { sha256Of } from "../hash.ts";

/** Bytes of a file that are in memory at a time. */
const pieceBytes = 2 ** 22;

/** Returns a hash of the model's file and of the weight files chosen with it, or of the address and the size of a model that has no file. */
export async function fingerprintOf(place: string, files: ChosenFiles, bytes: number): Promise<string> {
  const isOfModel = (path: string): boolean => path === place || /\.(onnx_data|data)(_\d+)?$/.test(path);
  const modelFiles = files.filter(([path]) => isOfModel(path)).map(([, file]) => file);
  if (modelFiles.length === 0) return sha256Of(new TextEncoder().encode(`${place} ${bytes}`));
  const hashes: string[] = [];
  for (const file of modelFiles.toSorted((a, b) => a.name.localeCompare(b.name)))
    for (let start = 0; start < file.size; start += pieceBytes)
      hashes.push(await sha256Of(await file.slice(start, start + pieceBytes).arrayBuffer()));
  return sha256Of(new TextEncoder().encode(hashes.join()));
}
