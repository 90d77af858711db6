/** Opens and saves ONNX models with their weight files. */
import { allValues, type ByteSource, type Model, optionError, PithError, type Tensor, type Value } from "#graph";
import {
  blobSource,
  bytesSource,
  type Encoding,
  folderOf,
  joinPath,
  openBeside,
  openFile,
  type Parts,
  processSuffix,
  renameWhileRead,
  writeFilesAtomically,
} from "#platform";
import { copiesOf, precompress as writeCopies, writeWithCopies } from "../files/compressed-copies.ts";
import { chooseDataNames, ownDataFiles, removeAbandoned, removeUnread } from "./data-files.ts";
import { decodeModel, TruncatedFileError } from "./decode.ts";
import { fitInFile, modelPieces, requireFit } from "./encode.ts";
import type { OpenExternal } from "./external.ts";
import { sniff, sniffedBytes } from "./sniff.ts";
import { type ExternalPlace, rawPiece } from "./write-tensor.ts";
import { type Piece, readPieces, sizeOf } from "./writer.ts";

export interface OpenOptions {
  /** Opens external weight files, by default in the folder of the model's path or URL. */
  readonly external?: OpenExternal;
  /** Receives a sentence for each operator set that the file imports in two versions. */
  readonly warn?: (text: string) => void;
}

/**
 * Opens an ONNX model from a path, a URL, a Blob or File, bytes, or another source with random access. Bytes must not change afterward. Large weights
 * are read when needed.
 * @throws PithError E_OPTION for any other argument; E_FILE if the file does not exist; E_NOT_ONNX if it is not an ONNX model; E_MODEL if the model
 * contradicts itself; E_UNSUPPORTED for element types that this version does not know.
 *
 * @example
 * const model = await open("resnet20.onnx");
 * console.log(model.graph.nodeCount, "nodes, opset", model.opsets.get(""));
 */
export async function open(
  source: string | URL | Blob | Uint8Array | ArrayBuffer | ByteSource,
  options: OpenOptions = {},
): Promise<Model> {
  const bytes = await sourceOf(source);
  const hasPath = typeof source === "string" || source instanceof URL;
  const external = options.external ?? (hasPath ? (location: string) => openBeside(bytes.name, location) : undefined);
  try {
    const model = await decodeModel(bytes, external, options.warn);
    if (hasPath) model.place = bytes.name;
    return model;
  } catch (error) {
    throw await explainOpenError(error, bytes);
  }
}

/**
 * Writes a model to a file. The write is atomic: the path contains either its previous contents or the complete new model. It can be the path of the
 * model's source. Models that are open, also in other processes, stay readable.
 *
 * By default, weights are stored in the model's file unless it would exceed protobuf's limit of 2 GiB. Otherwise, they are stored in `<path>_data`,
 * or `<path>_data_1` if this name is taken. Weight files that only the replaced model read are removed.
 * @param options `externalData: true` stores weights of 1 KiB and more in a separate file; `false` never does. `fileBytes` is the maximum size of a
 * file. The weights of larger models are stored in files `<path>_data`, `<path>_data_1`, …; tensors are not split. `precompress` also writes
 * compressed copies of each file.
 * @throws PithError E_FILE if the file cannot be written; E_UNSUPPORTED if it would be too large for one file, or in a browser.
 *
 * @example
 * const model = await open("model.onnx");
 * await save(model, "copy.onnx");
 */
export async function save(model: Model, path: string, options: SaveOptions = {}): Promise<void> {
  await saveFiles(model, path, options);
}

/** Saves like `save`, and returns the paths of the model's files. */
export async function saveFiles(model: Model, path: string, options: SaveOptions): Promise<readonly string[]> {
  const { externalData, fileBytes, precompress } = options;
  // Abandoned files can fill the disk.
  await removeAbandoned(path);
  if (externalData !== true) {
    const pieces = await modelPieces(model, {});
    if (externalData === false) requireFit(pieces);
    if (externalData === false || fitInFile(pieces, fileBytes)) {
      const replacedFiles = await ownDataFiles(path);
      await writeWithCopies(path, readPieces(pieces), precompress);
      await removeUnread(path, replacedFiles);
      return [path];
    }
  }
  await saveOutside(model, path, fileBytes, precompress);
  const files = [path, ...[...(await ownDataFiles(path))].map((name) => joinPath(folderOf(path), name))];
  await writeCopies(files, precompress);
  return files;
}

function sourceOf(source: Parameters<typeof open>[0]): Promise<ByteSource> | ByteSource {
  if (typeof source === "string" || source instanceof URL) return openFile(source);
  if (source instanceof Blob) return blobSource(source);
  if (source instanceof Uint8Array) return bytesSource(source);
  if (source instanceof ArrayBuffer) return bytesSource(new Uint8Array(source));
  if (typeof source === "object" && source !== null && "read" in source) return source;
  const got = (source as unknown) instanceof Promise ? "a promise: await it first" : String(source);
  throw optionError(`A path, URL, Blob, bytes, or { size, name, read } is needed to open a model, got ${got}.`);
}

/** Adds the file's name to an error, and a guess of its format if it is not ONNX. */
async function explainOpenError(error: unknown, source: ByteSource): Promise<unknown> {
  if (!(error instanceof PithError)) return error;
  const { code } = error;
  if (code === "E_NOT_ONNX") {
    if (source.size === 0) {
      const hint = "Copy or download it again, or export it again.";
      return new PithError(code, `"${source.name}" is empty (0 bytes).`, { hint, cause: error });
    }
    const guess = sniff(await source.read(0, Math.min(sniffedBytes, source.size)), source.name);
    if (guess === undefined && error instanceof TruncatedFileError) return error.reworded({ at: `"${source.name}"` });
    const { what, hint } = guess ?? { what: undefined, hint: error.advice };
    const sentence = what === undefined ? error.message : `it looks like ${what}.`;
    return new PithError(code, sentence, { at: `"${source.name}" is not an ONNX model`, hint, cause: error });
  }
  // Read errors already name the file.
  const isInside = code === "E_MODEL" || code === "E_UNSUPPORTED" || (code === "E_FILE" && error.at !== undefined);
  return isInside ? error.reworded({ at: `"${source.name}"` }) : error;
}

interface SaveOptions {
  /** True stores weights of 1 KiB and more in `<path>_data`; false stores all weights in the model's file. */
  readonly externalData?: boolean;
  /** The maximum bytes per file. Weights of a larger model are stored in other files, unsplit. */
  readonly fileBytes?: number | undefined;
  /** Encodings of compressed copies: `model.onnx.gz`, `model.onnx.br`. */
  readonly precompress?: readonly Encoding[] | undefined;
}

/** Smaller tensors stay in the model, because shape inference of other tools reads them. */
const minExternalBytes = 1024;
/** The page size, because runtimes map the file into memory. */
const alignment = 4096;

/**
 * Writes a model with external weights. Several files cannot be replaced at once, so weights are first written under unused names, then the model
 * that refers to them. After that, the weight files get their final names one by one, and the model is valid at every step.
 * @throws PithError E_FILE, E_UNSUPPORTED
 */
async function saveOutside(
  model: Model,
  path: string,
  fileBytes = Number.POSITIVE_INFINITY,
  copyEncodings: readonly Encoding[] = [],
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
    return readPieces(requireFit(await modelPieces(model, { place })));
  };
  const inFolder = (file = ""): string => joinPath(folderOf(path), file);
  const data = files.map((pieces, file) => [inFolder(temporaryNames[file]), readPieces(pieces)] as const);
  const copies = [path, ...[...names, ...replacedNames].map(inFolder)].flatMap((file) => copiesOf(file, copyEncodings));
  const contents = await encodeWith(temporaryNames);
  await writeFilesAtomically([...data, [path, contents]], "replaced", [...new Set(copies)]);
  // The model is saved. Weight files that cannot be renamed keep their temporary names until the next `save`.
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
