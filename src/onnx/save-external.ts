/**
 * Weights in a file of their own, beside the model.
 *
 * Two files cannot be replaced in one step. So the weights get a name that no file has, and the model, which names them, takes its own name
 * last: until then the old model stands with the old weights, and from then on the new one with the new.
 */
import {
  fileKind,
  fileNameOf,
  folderOf,
  joinPath,
  openFile,
  type Parts,
  removeFile,
  writeFilesAtomically,
} from "#platform";
import { PithError } from "../errors.ts";
import { allGraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Tensor } from "../tensor/types.ts";
import { decodeModel } from "./decode.ts";
import { fitting, modelPieces } from "./encode.ts";
import { type ExternalPlace, rawPiece } from "./write-tensor.ts";
import { type Piece, parts, sizeOf } from "./writer.ts";

export interface SaveOptions {
  /**
   * true puts weights of 1 KiB and more into `<path>_data` beside the model, false keeps all in the model's own file; absent: outside
   * where the model's file would be longer than 2 GiB.
   */
  readonly externalData?: boolean;
}

/** Smaller tensors stay in the model: shape inference of other tools needs their numbers at hand. */
const leastBytes = 1024;
/** Runtimes map the file into memory, page by page. */
const alignment = 4096;

/** Writes a model with its weights beside it. @throws PithError E_FILE, E_UNSUPPORTED */
export async function saveOutside(model: Model, path: string): Promise<void> {
  const before = await ownDataFiles(path);
  const location = await freeDataName(path);
  const { place, chunks } = placeOutside(model, location);
  await writeFilesAtomically([
    [joinPath(folderOf(path), location), chunks()],
    [path, parts(fitting(await modelPieces(model, { place })))],
  ]);
  // What is left over now does no harm, and no failure either.
  for (const old of before) await removeFile(joinPath(folderOf(path), old)).catch(() => {});
}

async function freeDataName(path: string): Promise<string> {
  const first = `${fileNameOf(path)}_data`;
  for (let number = 0; ; number++) {
    const name = number === 0 ? first : `${first}_${number}`;
    if ((await fileKind(joinPath(folderOf(path), name))) === undefined) return name;
  }
}

/** The data files that the model at a path refers to, as far as they bear the names given here. */
async function ownDataFiles(path: string): Promise<ReadonlySet<string>> {
  const own = new Set<string>();
  if ((await fileKind(path)) !== "file") return own;
  const first = `${fileNameOf(path)}_data`;
  const note = (location: string): Promise<never> => {
    if (location === first || (location.startsWith(`${first}_`) && /^_\d+$/.test(location.slice(first.length))))
      own.add(location);
    // Nothing is read of it: the first small tensor there ends the reading, and its file is known by then.
    return Promise.reject(new PithError("E_FILE", `"${location}" is not opened.`));
  };
  await decodeModel(await openFile(path), note).catch(() => {});
  return own;
}

/** Lays out the file `location`: where each tensor goes, and the bytes of the whole. */
function placeOutside(
  model: Model,
  location: string,
): {
  readonly place: (value: Value, tensor: Tensor) => ExternalPlace | undefined;
  readonly chunks: () => Parts;
} {
  const places = new Map<Tensor, ExternalPlace>();
  const pieces: Piece[] = [];
  let offset = 0;
  for (const graph of allGraphs(model.graph)) {
    for (const { tensor } of graph.values()) {
      if (tensor === undefined || tensor.type === "string" || tensor.bytes < leastBytes || places.has(tensor)) continue;
      const gap = (alignment - (offset % alignment)) % alignment;
      if (gap > 0) pieces.push(new Uint8Array(gap));
      const piece = rawPiece(tensor);
      offset += gap;
      places.set(tensor, { location, offset, length: sizeOf(piece) });
      pieces.push(piece);
      offset += sizeOf(piece);
    }
  }
  return { place: (_, tensor) => places.get(tensor), chunks: () => parts(pieces) };
}
