/**
 * Saves weights in separate files. Two files cannot be replaced at once, so weights are written under an unused name, followed by the model that
 * refers to them. Then the weights get their final names in consistent steps.
 */
import { folderOf, joinPath, ownedEnding, type Parts, renameWhileRead, writeFilesAtomically } from "#platform";
import { allValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Tensor } from "../tensor/types.ts";
import { chooseDataNames, removeUnread } from "./data-files.ts";
import { fitting, modelPieces } from "./encode.ts";
import { type ExternalPlace, rawPiece } from "./write-tensor.ts";
import { type Piece, parts, sizeOf } from "./writer.ts";

export interface SaveOptions {
  /** true puts weights of 1 KiB and more into `<path>_data`, false keeps all in the model's file; default: external if it would exceed 2 GiB. */
  readonly externalData?: boolean;
  /** The maximum bytes per file: weights of 1 KiB and more of a larger model go into several files. A tensor is never split. */
  readonly fileBytes?: number | undefined;
}

/** Smaller tensors stay in the model: shape inference of other tools reads them. */
const minExternalBytes = 1024;
/** Runtimes map the file into memory by pages. */
const alignment = 4096;

/** Writes a model with external weights. A link becomes a file; its target is unchanged. @throws PithError E_FILE, E_UNSUPPORTED */
export async function saveOutside(model: Model, path: string, fileBytes = Number.POSITIVE_INFINITY): Promise<void> {
  const { places, files } = layOut(model, fileBytes);
  const { names, replaced } = await chooseDataNames(path, files.length);
  const ending = ownedEnding();
  const first = names.map((name) => `${name}.${ending}`);
  const referringTo = async (locations: readonly string[]): Promise<Parts> => {
    const place = (_: Value, tensor: Tensor): ExternalPlace | undefined => {
      const entry = places.get(tensor);
      const location = locations[entry?.file ?? -1];
      return entry === undefined || location === undefined ? undefined : { location, ...entry };
    };
    return parts(fitting(await modelPieces(model, { place })));
  };
  const inFolder = (file = ""): string => joinPath(folderOf(path), file);
  const data = files.map((pieces, file) => [inFolder(first[file]), parts(pieces)] as const);
  await writeFilesAtomically([...data, [path, await referringTo(first)]], "replaced");
  // The model is saved. If its weights cannot be renamed, they keep their first names, which the next save replaces.
  const rename = async (): Promise<void> => {
    for (const [file, name] of names.entries()) {
      const renamed = [...names.slice(0, file + 1), ...first.slice(file + 1)];
      await renameWhileRead(inFolder(first[file]), inFolder(name), async () =>
        writeFilesAtomically([[path, await referringTo(renamed)]], "replaced"),
      );
    }
  };
  await rename().catch(() => {});
  await removeUnread(path, replaced);
}

function layOut(
  model: Model,
  fileBytes: number,
): {
  readonly places: ReadonlyMap<Tensor, Omit<ExternalPlace, "location"> & { readonly file: number }>;
  readonly files: readonly (readonly Piece[])[];
} {
  const places = new Map<Tensor, Omit<ExternalPlace, "location"> & { readonly file: number }>();
  const files: Piece[][] = [[]];
  let offset = 0;
  for (const { tensor } of allValues(model.graph)) {
    if (tensor === undefined || tensor.type === "string" || tensor.bytes < minExternalBytes || places.has(tensor))
      continue;
    const piece = rawPiece(tensor);
    const length = sizeOf(piece);
    const gap = (alignment - (offset % alignment)) % alignment;
    if (offset > 0 && offset + gap + length > fileBytes) {
      files.push([]);
      offset = 0;
    } else if (gap > 0) {
      files.at(-1)?.push(new Uint8Array(gap));
      offset += gap;
    }
    places.set(tensor, { file: files.length - 1, offset, length });
    files.at(-1)?.push(piece);
    offset += length;
  }
  return { places, files };
}
