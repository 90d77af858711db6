/** Passes a model to the runtime without copying its weights: as ranges of files (native), or as buffers (WebAssembly). */

import { allValues, type ByteSource, bytesOf, type Model, type Tensor, type Value } from "#graph";
import { fileNameOf, folderOf, joinPath, pathOf, realPath, temporaryFolder, writeFileAtomically } from "#platform";
import { encodeToBytes } from "../onnx/encode.ts";
import { type ExternalPlace, rawPiece } from "../onnx/write-tensor.ts";
import { type Piece, sizeOf, streamChunks } from "../onnx/writer.ts";

/** The minimum bytes of a large weight. Smaller weights are inline, because the runtime's graph optimizer reads them. */
const minLargeWeightBytes = 2 ** 16;
/** The minimum total bytes of large weights. If there are fewer, weights are inline. */
const minLargeTotalBytes = 2 ** 25;
/** The maximum total bytes of inline weights. */
const maxInlineBytes = 2 ** 27;

export interface Handover {
  readonly bytes: Uint8Array;
  /** The folder to which file paths in the encoded model are relative. The runtime opens only files below it. */
  readonly folder?: string | undefined;
  /** Buffers with weights, by the paths in the encoded model. */
  readonly files?: readonly { readonly path: string; readonly data: Uint8Array }[];
  /** Removes temporary files. Must be called after the session is released. */
  release(): Promise<void>;
}

const releaseNothing = (): Promise<void> => Promise.resolve();

export async function handOverFiles(model: Model): Promise<Handover> {
  const weights = largeWeights(model);
  if (weights.length === 0) return { bytes: await encodeToBytes(model), release: releaseNothing };
  const { placed: rangesByTensor, loose: otherWeights } = await splitByFile(weights);
  const temporary = totalBytes(otherWeights) > maxInlineBytes ? await writeTemporary(otherWeights) : undefined;
  try {
    for (const [tensor, place] of temporary?.places ?? []) rangesByTensor.set(tensor, place);
    const folder = commonFolder(new Set([...rangesByTensor.values()].map(({ file }) => file)));
    const placeOf = (_: Value, tensor: Tensor): ExternalPlace | undefined => {
      const range = rangesByTensor.get(tensor);
      return range === undefined || folder === undefined
        ? undefined
        : { location: relativePath(folder, range.file), offset: range.start, length: range.end - range.start };
    };
    const bytes = await encodeToBytes(model, { place: placeOf });
    return { bytes, release: temporary?.release ?? releaseNothing, folder };
  } catch (error) {
    await temporary?.release();
    throw error;
  }
}

export async function handOverBuffers(model: Model): Promise<Handover> {
  const names = new Map(largeWeights(model).map((tensor, index) => [tensor, `weight${index}`]));
  const bytes = await encodeToBytes(model, {
    place: (_, tensor) => {
      const location = names.get(tensor);
      return location === undefined ? undefined : { location, offset: 0, length: tensor.bytes };
    },
  });
  const files: { path: string; data: Uint8Array }[] = [];
  for (const [tensor, path] of names) {
    const dense = await tensor.read();
    if (dense.type !== "string") files.push({ path, data: bytesOf(dense) });
  }
  return { bytes, files, release: releaseNothing };
}

function largeWeights(model: Model): Tensor[] {
  const tensors = new Set<Tensor>();
  for (const { tensor } of allValues(model.graph)) {
    if (tensor !== undefined && tensor.type !== "string" && tensor.bytes >= minLargeWeightBytes) tensors.add(tensor);
  }
  return totalBytes(tensors) < minLargeTotalBytes ? [] : [...tensors];
}

function totalBytes(tensors: Iterable<Tensor>): number {
  let sum = 0;
  for (const { bytes } of tensors) sum += bytes;
  return sum;
}

interface FileRange {
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

/** Separates weights that are stored as raw bytes in existing files from the other weights. */
async function splitByFile(
  weights: readonly Tensor[],
): Promise<{ readonly placed: Map<Tensor, FileRange>; readonly loose: readonly Tensor[] }> {
  const rangesByTensor = new Map<Tensor, FileRange>();
  const otherWeights: Tensor[] = [];
  const paths = new Map<ByteSource, string | undefined>();
  let rootFolder: string | undefined;
  for (const tensor of weights) {
    const { stored } = tensor;
    if (stored !== undefined && !paths.has(stored.source)) {
      const path = await pathOf(stored.source);
      paths.set(stored.source, path === undefined ? undefined : await realPath(path));
    }
    const file = stored === undefined ? undefined : paths.get(stored.source);
    // On Windows, files on different drives have no common folder.
    if (file !== undefined) rootFolder ??= rootOf(file);
    if (stored === undefined || file === undefined || rootOf(file) !== rootFolder) otherWeights.push(tensor);
    else rangesByTensor.set(tensor, { file, start: stored.start, end: stored.end });
  }
  return { placed: rangesByTensor, loose: otherWeights };
}

async function writeTemporary(
  tensors: readonly Tensor[],
): Promise<{ readonly places: Map<Tensor, FileRange>; release(): Promise<void> }> {
  const { path: folder, remove } = await temporaryFolder();
  const file = joinPath(folder, "weights.data");
  const places = new Map<Tensor, FileRange>();
  const pieces: Piece[] = [];
  let end = 0;
  for (const tensor of tensors) {
    const piece = rawPiece(tensor);
    const start = end;
    end += sizeOf(piece);
    places.set(tensor, { file, start, end });
    pieces.push(piece);
  }
  try {
    await writeFileAtomically(file, streamChunks(pieces));
  } catch (error) {
    await remove();
    throw error;
  }
  return { places, release: remove };
}

function commonFolder(files: ReadonlySet<string>): string | undefined {
  let folder: string | undefined;
  for (const file of files) {
    folder ??= folderOf(file);
    while (!(file.startsWith(folder) && joinPath(folder, relativePath(folder, file)) === file)) {
      const parentFolder = folderOf(folder);
      if (parentFolder === folder) return undefined;
      folder = parentFolder;
    }
  }
  return folder;
}

function relativePath(folder: string, path: string): string {
  return path.slice(folder.length).replace(/^[/\\]+/, "");
}

function rootOf(path: string): string {
  return fileNameOf(path) === "" || folderOf(path) === path ? path : rootOf(folderOf(path));
}
