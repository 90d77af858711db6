/**
 * Weights in a file of their own, beside the model.
 *
 * Two files cannot be replaced in one step. So the weights get a name that no file has, and the model, which names them, takes its own name
 * last: until then the old model stands with the old weights, and from then on the new one with the new. Then the weights take the name that
 * they are looked for by, in the place of the old ones, in steps of which each leaves the model with its weights.
 */
import { folderOf, joinPath, ownedEnding, type Parts, renameWhileRead, writeFilesAtomically } from "#platform";
import { allValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Tensor } from "../tensor/types.ts";
import { chooseDataName, removeUnread } from "./data-files.ts";
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

/**
 * Writes a model with its weights beside it. A path that is a link becomes a file: the weights lie beside that name, and what the link led to
 * stays what it is. @throws PithError E_FILE, E_UNSUPPORTED
 */
export async function saveOutside(model: Model, path: string): Promise<void> {
  const { name, replaced } = await chooseDataName(path);
  const first = `${name}.${ownedEnding()}`;
  const { places, chunks } = layOut(model);
  const referringTo = async (location: string): Promise<readonly Piece[]> => {
    const place = (_: Value, tensor: Tensor): ExternalPlace | undefined => {
      const found = places.get(tensor);
      return found === undefined ? undefined : { location, ...found };
    };
    return fitting(await modelPieces(model, { place }));
  };
  const inFolder = (file: string): string => joinPath(folderOf(path), file);
  await writeFilesAtomically(
    [
      [inFolder(first), chunks()],
      [path, parts(await referringTo(first))],
    ],
    "replaced",
  );
  // The model is saved. Where its weights cannot take their name they keep the first, which the next save replaces.
  await renameWhileRead(inFolder(first), inFolder(name), async () =>
    writeFilesAtomically([[path, parts(await referringTo(name))]], "replaced"),
  ).catch(() => {});
  await removeUnread(path, replaced);
}

/** Lays out the file of the weights: where each tensor goes, and the bytes of the whole. */
function layOut(model: Model): {
  readonly places: ReadonlyMap<Tensor, Omit<ExternalPlace, "location">>;
  readonly chunks: () => Parts;
} {
  const places = new Map<Tensor, Omit<ExternalPlace, "location">>();
  const pieces: Piece[] = [];
  let offset = 0;
  for (const { tensor } of allValues(model.graph)) {
    if (tensor === undefined || tensor.type === "string" || tensor.bytes < leastBytes || places.has(tensor)) continue;
    const gap = (alignment - (offset % alignment)) % alignment;
    if (gap > 0) pieces.push(new Uint8Array(gap));
    const piece = rawPiece(tensor);
    offset += gap;
    places.set(tensor, { offset, length: sizeOf(piece) });
    pieces.push(piece);
    offset += sizeOf(piece);
  }
  return { places, chunks: () => parts(pieces) };
}
