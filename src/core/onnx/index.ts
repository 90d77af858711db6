import { blobSource, bytesSource, folderOf, joinPath, openBeside, openFile } from "#platform";
import { PithError } from "../errors.ts";
import { precompress as writeCopies, writeWithCopies } from "../files/compressed-copies.ts";
import type { Model } from "../graph/model.ts";
import type { ByteSource } from "../tensor/types.ts";
import { ownDataFiles, removeAbandoned, removeUnread } from "./data-files.ts";
import { decodeModel, TruncatedFileError } from "./decode.ts";
import { fitInFile, modelPieces, requireFit } from "./encode.ts";
import type { OpenExternal } from "./external.ts";
import { type SaveOptions, saveOutside } from "./save-external.ts";
import { sniff, sniffedBytes } from "./sniff.ts";
import { parts } from "./writer.ts";

export interface OpenOptions {
  /**
   * Opens external weight files. By default, these are files in the folder of a model that was opened by path
   * or URL. Paths outside the folder are rejected.
   */
  readonly external?: OpenExternal;
  /** Is called with one sentence for each contradiction in the file. The sentence states which of the contradicting values Pith uses. */
  readonly warn?: (text: string) => void;
}

/**
 * Opens an ONNX model from a path, a URL, a Blob or File, bytes, or any other source with random access. Bytes must not change afterward. Only the
 * graph is read. Weights above 8 KiB are read from the source when needed.
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
    throw await explain(error, bytes);
  }
}

/**
 * Writes a model to a file. The write is atomic: the path always contains either its previous contents or the complete new model. The path can be
 * that of the model's source. Temporary files that a killed process left for this path are removed.
 *
 * By default, weights are stored in the model's file unless it would exceed protobuf's limit of 2 GiB. Otherwise, they are stored in `<path>_data`.
 * If another .onnx file in the folder reads an existing file with this name, `<path>_data_1` is used instead. Weight files that only the replaced
 * model read are removed. Models that are open, also in other processes, stay readable.
 * @param options `externalData: true` stores weights of 1 KiB and more in a separate file; `false` never does. `fileBytes` is the maximum size in
 * bytes of each file. The weights of larger models are stored in several files `<path>_data`, `<path>_data_1`, …; a file can exceed the limit only
 * for a single tensor. `precompress` also writes compressed copies of each file. No copy of the replaced model is ever next to the new one.
 * @throws PithError E_FILE if the file cannot be written; E_UNSUPPORTED if it would be too large for one file, or in a browser.
 *
 * @example
 * const model = await open("model.onnx");
 * await save(model, "copy.onnx");
 */
export async function save(model: Model, path: string, options: SaveOptions = {}): Promise<void> {
  const { externalData, fileBytes, precompress } = options;
  // Removes abandoned files before writing, because they can fill the disk.
  await removeAbandoned(path);
  if (externalData !== true) {
    const pieces = await modelPieces(model, {});
    if (externalData === false) requireFit(pieces);
    if (externalData === false || fitInFile(pieces, fileBytes)) {
      const replaced = await ownDataFiles(path);
      await writeWithCopies(path, parts(pieces), precompress);
      return removeUnread(path, replaced);
    }
  }
  await saveOutside(model, path, fileBytes, precompress);
  await writeCopies(
    [path, ...[...(await ownDataFiles(path))].map((name) => joinPath(folderOf(path), name))],
    precompress,
  );
}

function sourceOf(source: Parameters<typeof open>[0]): Promise<ByteSource> | ByteSource {
  if (typeof source === "string" || source instanceof URL) return openFile(source);
  if (source instanceof Blob) return blobSource(source);
  if (source instanceof Uint8Array) return bytesSource(source);
  if (source instanceof ArrayBuffer) return bytesSource(new Uint8Array(source));
  if (isSource(source)) return source;
  const got = (source as unknown) instanceof Promise ? "a promise: await it first" : String(source);
  throw new PithError(
    "E_OPTION",
    `A path, URL, Blob, bytes, or { size, name, read } is needed to open a model, got ${got}.`,
  );
}

function isSource(source: unknown): source is ByteSource {
  return typeof source === "object" && source !== null && "read" in source && typeof source.read === "function";
}

/** Returns an error with the file's name added, and with a guess of the file's format if it is not ONNX. */
async function explain(error: unknown, source: ByteSource): Promise<unknown> {
  if (!(error instanceof PithError)) return error;
  const { code } = error;
  if (code === "E_NOT_ONNX") {
    if (source.size === 0) return new PithError(code, `"${source.name}" is empty.`, { cause: error });
    const guess = sniff(await source.read(0, Math.min(sniffedBytes, source.size)), source.name);
    if (guess === undefined && error instanceof TruncatedFileError) return error.reworded({ at: `"${source.name}"` });
    const { what, hint } = guess ?? { what: undefined, hint: error.advice };
    const sentence = what === undefined ? error.message : `it looks like ${what}.`;
    return new PithError(code, sentence, { at: `"${source.name}" is not an ONNX model`, hint, cause: error });
  }
  // Read errors already name the file. Errors about the contents of the model get the file's name here.
  const isInside = code === "E_MODEL" || code === "E_UNSUPPORTED" || (code === "E_FILE" && error.at !== undefined);
  return isInside ? error.reworded({ at: `"${source.name}"` }) : error;
}
