import { blobSource, bytesSource, openBeside, openFile, writeFileAtomically } from "#platform";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { ByteSource } from "../tensor/types.ts";
import { ownDataFiles, removeAbandoned, removeUnread } from "./data-files.ts";
import { CutOff, decodeModel } from "./decode.ts";
import { fits, fitting, modelPieces } from "./encode.ts";
import type { OpenExternal } from "./external.ts";
import { type SaveOptions, saveOutside } from "./save-external.ts";
import { sniff, sniffedBytes } from "./sniff.ts";
import { parts } from "./writer.ts";

export interface OpenOptions {
  /** Opens external weight files. Default: files beside a model that was opened by path or URL; paths outside the model's folder are rejected. */
  readonly external?: OpenExternal;
  /** Receives one sentence for each contradiction in the file, with the value that Pith uses. */
  readonly warn?: (text: string) => void;
}

/**
 * Opens an ONNX model: a path, a URL, a Blob or File, bytes (which must not change afterward), or any random access to bytes.
 * Only the graph is read. Weights above 8 KiB stay in the source until they are needed.
 * @throws PithError E_OPTION for anything else, E_FILE if there is no such file, E_NOT_ONNX if it is not an ONNX model, E_MODEL if the model contradicts itself,
 * E_UNSUPPORTED for element types that this version does not know.
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
  const isPlace = typeof source === "string" || source instanceof URL;
  const external = options.external ?? (isPlace ? (location: string) => openBeside(bytes.name, location) : undefined);
  try {
    const model = await decodeModel(bytes, external, options.warn);
    if (isPlace) model.place = bytes.name;
    return model;
  } catch (error) {
    throw await explain(error, bytes);
  }
}

/**
 * Writes a model to a file atomically: the path holds either its previous contents or the complete new model. It can be the model's source.
 * Removes temporary files that a killed process left for this path.
 * Weights go into the model's file unless it would exceed protobuf's limit of 2 GiB. Then, or if requested, they go into `<path>_data`.
 * An existing file of that name is replaced only if no other .onnx file in the folder reads it; otherwise the new one is `<path>_data_1`.
 * Weight files that only the replaced model read are removed. Open models, also of other processes, stay readable.
 * @param options `externalData`: true puts weights of 1 KiB and more into a file beside the model, false never does; `fileBytes`: larger models have
 * their weights in several files beside them, `<path>_data`, `<path>_data_1`, …, none larger unless a single tensor is.
 * @throws PithError E_FILE if it cannot be written, E_UNSUPPORTED if it is too long for one file, or in a browser.
 *
 * @example
 * const model = await open("model.onnx");
 * await save(model, "copy.onnx");
 */
export async function save(model: Model, path: string, options: SaveOptions = {}): Promise<void> {
  const { externalData, fileBytes } = options;
  // Removed before writing, because they may fill the disk.
  await removeAbandoned(path);
  if (externalData !== true) {
    const pieces = await modelPieces(model, {});
    if (externalData === false) fitting(pieces);
    if (externalData === false || fits(pieces, fileBytes)) {
      const replaced = await ownDataFiles(path);
      await writeFileAtomically(path, parts(pieces));
      return removeUnread(path, replaced);
    }
  }
  return saveOutside(model, path, fileBytes);
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

/** Adds the file name to an error, and the actual file type if it is not ONNX. */
async function explain(error: unknown, source: ByteSource): Promise<unknown> {
  if (!(error instanceof PithError)) return error;
  const { code } = error;
  if (code === "E_NOT_ONNX") {
    if (source.size === 0) return new PithError(code, `"${source.name}" is empty.`, { cause: error });
    const guess = sniff(await source.read(0, Math.min(sniffedBytes, source.size)), source.name);
    if (guess === undefined && error instanceof CutOff) return error.reworded({ at: `"${source.name}"` });
    const { what, hint } = guess ?? { what: undefined, hint: error.advice };
    const sentence = what === undefined ? error.message : `it looks like ${what}.`;
    return new PithError(code, sentence, { at: `"${source.name}" is not an ONNX model`, hint, cause: error });
  }
  // Read errors name the file; for errors in its contents, the model is the place.
  const isInside = code === "E_MODEL" || code === "E_UNSUPPORTED" || (code === "E_FILE" && error.at !== undefined);
  return isInside ? error.reworded({ at: `"${source.name}"` }) : error;
}
