/**
 * Saves models with weights in separate files. Several files cannot be replaced at once, so weights are first written under unused names, then the
 * model that refers to these names. After that, the weight files get their final names one by one, and the model is valid at every step.
 */
import {
  type Encoding,
  folderOf,
  joinPath,
  type Parts,
  processSuffix,
  renameWhileRead,
  writeFilesAtomically,
} from "#platform";
import { copiesOf } from "../files/compressed-copies.ts";
import { allValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Tensor } from "../tensor/types.ts";
import { chooseDataNames, removeUnread } from "./data-files.ts";
import { modelPieces, requireFit } from "./encode.ts";
import { type ExternalPlace, rawPiece } from "./write-tensor.ts";
import { type Piece, parts, sizeOf } from "./writer.ts";

export interface SaveOptions {
  /**
   * True stores weights of 1 KiB and more in `<path>_data`; false stores all weights in the model's file. By
   * default, weights are external if the model's file would exceed 2 GiB.
   */
  readonly externalData?: boolean;
  /** The maximum bytes per file. Weights of 1 KiB and more of a larger model are stored in several files. A tensor is never split. */
  readonly fileBytes?: number | undefined;
  /** Encodings of compressed copies, which servers send instead of the files: `model.onnx.gz`, `model.onnx.br`. */
  readonly precompress?: readonly Encoding[] | undefined;
}

/** The minimum bytes of an external tensor. Smaller tensors stay in the model, because shape inference of other tools reads them. */
const minExternalBytes = 1024;
/** The alignment of tensors in bytes. It is the page size, because runtimes map the file into memory. */
const alignment = 4096;

/**
 * Writes a model with external weights. If the path is a link, it becomes a file, and the link's target is unchanged.
 * @throws PithError E_FILE, E_UNSUPPORTED
 */
export async function saveOutside(
  model: Model,
  path: string,
  fileBytes = Number.POSITIVE_INFINITY,
  precompressed: readonly Encoding[] = [],
): Promise<void> {
  const { places, files } = layOutTensors(model, fileBytes);
  const { names, replacedNames } = await chooseDataNames(path, files.length);
  const ending = processSuffix();
  const temporaryNames = names.map((name) => `${name}.${ending}`);
  const encodeWith = async (locations: readonly string[]): Promise<Parts> => {
    const place = (_: Value, tensor: Tensor): ExternalPlace | undefined => {
      const entry = places.get(tensor);
      const location = locations[entry?.file ?? -1];
      return entry === undefined || location === undefined ? undefined : { location, ...entry };
    };
    return parts(requireFit(await modelPieces(model, { place })));
  };
  const inFolder = (file = ""): string => joinPath(folderOf(path), file);
  const data = files.map((pieces, file) => [inFolder(temporaryNames[file]), parts(pieces)] as const);
  const copies = [path, ...[...names, ...replacedNames].map(inFolder)].flatMap((file) => copiesOf(file, precompressed));
  const contents = await encodeWith(temporaryNames);
  await writeFilesAtomically([...data, [path, contents]], "replaced", [...new Set(copies)]);
  // The model is now saved. If weight files cannot be renamed, they keep their temporary names until the next `save`.
  const rename = async (): Promise<void> => {
    for (const [file, name] of names.entries()) {
      const currentNames = [...names.slice(0, file + 1), ...temporaryNames.slice(file + 1)];
      await renameWhileRead(inFolder(temporaryNames[file]), inFolder(name), async () =>
        writeFilesAtomically([[path, await encodeWith(currentNames)]], "replaced"),
      );
    }
  };
  await rename().catch(() => {});
  await removeUnread(path, replacedNames);
}

function layOutTensors(
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
