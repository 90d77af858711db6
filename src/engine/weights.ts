/**
 * A model on its way to the runtime, without copies of its weights.
 *
 * The graph goes over as bytes, in memory. Weights that nothing has changed stay in the file they came from: the bytes say where (external
 * data), and the native runtime maps that part of the file into memory. Weights that were changed, computed, or never lay in a file go
 * inline, as long as the whole stays below what protobuf can read (2 GiB); beyond that they are written to a temporary file. So an edited
 * model of 5 GB runs without being written, or read as a whole.
 *
 * The runtime opens files below one folder only, and refuses links. Files in several folders are named from the folder that holds them all.
 *
 * WebAssembly has no files: there every large weight goes over as a buffer of its own, which spares a copy in its 4 GiB of memory.
 */
import { fileNameOf, folderOf, joinPath, pathOf, realPath, temporaryFolder, writeFileAtomically } from "#platform";
import { allValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type ExternalPlace, encodeToBytes } from "../onnx/index.ts";
import { rawPiece } from "../onnx/write-tensor.ts";
import { type Piece, sizeOf, stream } from "../onnx/writer.ts";
import { bytesOf } from "../tensor/dense.ts";
import type { ByteSource, Tensor } from "../tensor/types.ts";

/** Smaller weights go inline: the runtime's own passes look at them, and each file range costs a call of the system. */
const leastWeight = 2 ** 16;
/** A model with less than this in large weights is handed over whole: a copy costs a few milliseconds. */
const leastModel = 2 ** 25;
/** What goes inline beside the graph, whose nodes need room too: protobuf reads less than 2 GiB. */
const inlineLimit = 2 ** 31 - 2 ** 26;

export interface Handover {
  readonly bytes: Uint8Array;
  /** The folder from which the bytes name files. */
  readonly folder?: string | undefined;
  /** Files that exist only as buffers. */
  readonly files?: readonly { readonly path: string; readonly data: Uint8Array }[];
  /** Takes away what was written for it; to be called when the session is gone. */
  release(): Promise<void>;
}

const nothing = (): Promise<void> => Promise.resolve();

/** For the native runtime: weights stay in their files. */
export async function handOverFiles(model: Model): Promise<Handover> {
  const weights = largeWeights(model);
  if (weights.length === 0) return { bytes: await encodeToBytes(model), release: nothing };
  const { lying, loose } = await whereTheyLie(weights);
  const temporary = bytesTogether(loose) > inlineLimit ? await writeTemporary(loose) : undefined;
  try {
    for (const [tensor, place] of temporary?.places ?? []) lying.set(tensor, place);
    const folder = commonFolder(new Set([...lying.values()].map(({ file }) => file)));
    const place = (_: Value, tensor: Tensor): ExternalPlace | undefined => {
      const found = lying.get(tensor);
      return found === undefined || folder === undefined
        ? undefined
        : { location: below(folder, found.file), offset: found.start, length: found.end - found.start };
    };
    const bytes = await encodeToBytes(model, { place });
    return { bytes, release: temporary?.release ?? nothing, folder };
  } catch (error) {
    await temporary?.release();
    throw error;
  }
}

/** For WebAssembly: weights as buffers. */
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
  return { bytes, files, release: nothing };
}

/** The weights worth leaving where they are; none if they are few altogether. */
function largeWeights(model: Model): Tensor[] {
  const found = new Set<Tensor>();
  for (const { tensor } of allValues(model.graph)) {
    if (tensor !== undefined && tensor.type !== "string" && tensor.bytes >= leastWeight) found.add(tensor);
  }
  return bytesTogether(found) < leastModel ? [] : [...found];
}

function bytesTogether(tensors: Iterable<Tensor>): number {
  let sum = 0;
  for (const { bytes } of tensors) sum += bytes;
  return sum;
}

interface FileRange {
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

/** Weights that lie as raw bytes in files that are still there, and the others. */
async function whereTheyLie(
  weights: readonly Tensor[],
): Promise<{ readonly lying: Map<Tensor, FileRange>; readonly loose: readonly Tensor[] }> {
  const lying = new Map<Tensor, FileRange>();
  const loose: Tensor[] = [];
  const paths = new Map<ByteSource, string | undefined>();
  let root: string | undefined;
  for (const tensor of weights) {
    const { stored } = tensor;
    if (stored !== undefined && !paths.has(stored.source)) {
      const path = await pathOf(stored.source);
      paths.set(stored.source, path === undefined ? undefined : await realPath(path));
    }
    const file = stored === undefined ? undefined : paths.get(stored.source);
    // On Windows, files on another drive have no folder in common with the first.
    if (file !== undefined) root ??= rootOf(file);
    if (stored === undefined || file === undefined || rootOf(file) !== root) loose.push(tensor);
    else lying.set(tensor, { file, start: stored.start, end: stored.end });
  }
  return { lying, loose };
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
    await writeFileAtomically(file, stream(pieces));
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
    while (!isBelow(folder, file)) {
      const above = folderOf(folder);
      if (above === folder) return undefined;
      folder = above;
    }
  }
  return folder;
}

function isBelow(folder: string, path: string): boolean {
  return path.startsWith(folder) && joinPath(folder, below(folder, path)) === path;
}

function below(folder: string, path: string): string {
  return path.slice(folder.length).replace(/^[/\\]+/, "");
}

function rootOf(path: string): string {
  return fileNameOf(path) === "" || folderOf(path) === path ? path : rootOf(folderOf(path));
}
