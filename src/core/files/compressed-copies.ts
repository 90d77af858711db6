/** Writes and finds compressed copies of models: `model.onnx.gz`, `model.onnx.br`. */
import {
  type Chunks,
  compressChunks,
  type Encoding,
  fileKind,
  openFile,
  type Parts,
  writeFilesAtomically,
} from "#platform";
import { concatBytes } from "../tensor/dense.ts";
import { bytesOfFile } from "./hash.ts";

export const encodings = ["gzip", "br"] as const;
export const fileEndings: Readonly<Record<Encoding, string>> = { gzip: ".gz", br: ".br" };
export const sizeNames = { gzip: "gzip", br: "brotli" } as const;

export const copiesOf = (path: string, copyEncodings: readonly Encoding[] = []): readonly string[] =>
  encodings.filter((encoding) => copyEncodings.includes(encoding)).map((encoding) => `${path}${fileEndings[encoding]}`);

/** Returns an earlier model's copies, except in the encodings `written`. */
export async function outdatedCopies(path: string, written: readonly Encoding[] = []): Promise<readonly string[]> {
  const unwrittenEncodings = encodings.filter((encoding) => !written.includes(encoding));
  const copies = copiesOf(path, unwrittenEncodings).map(async (copy) => ((await fileKind(copy)) ? [copy] : []));
  return (await Promise.all(copies)).flat();
}

export interface CopySizes {
  readonly gzip?: number;
  readonly brotli?: number;
  /** False if both sizes were measured. Sizes that are estimated from a sample have no such field. */
  readonly sampled?: false;
}

/** Copies each source in each encoding by `write`. @throws PithError E_STOPPED on the signal. */
async function writeCopies(
  sources: readonly { readonly name: string; readonly chunks: () => Chunks }[],
  copyEncodings: readonly Encoding[],
  write: (name: string, bytes: AsyncIterable<Uint8Array>) => Promise<number>,
  signal?: AbortSignal,
): Promise<CopySizes> {
  const sizes: { gzip?: number; brotli?: number } = {};
  for (const encoding of new Set(copyEncodings)) {
    let total = 0;
    for (const { name, chunks } of sources)
      total += await write(`${name}${fileEndings[encoding]}`, compressChunks(chunks, encoding, signal));
    sizes[sizeNames[encoding]] = total;
  }
  return sizes.gzip === undefined || sizes.brotli === undefined ? sizes : { ...sizes, sampled: false };
}

/** Writes compressed copies of files next to them. Returns the total size per encoding. */
export function precompress(
  files: readonly string[],
  copyEncodings: readonly Encoding[] = [],
  signal?: AbortSignal,
): Promise<CopySizes> {
  const sources = files.map((file) => ({ name: file, chunks: () => bytesOfFile(file) }));
  const write = async (copy: string, bytes: AsyncIterable<Uint8Array>): Promise<number> => {
    await writeFilesAtomically([[copy, bytes]], "replaced");
    return (await openFile(copy)).size;
  };
  return writeCopies(sources, copyEncodings, write, signal);
}

/** Replaces a file and its requested compressed copies together. */
export const writeWithCopies = (path: string, contents: Parts, requested: readonly Encoding[] = []): Promise<void> =>
  writeFilesAtomically(
    [
      [path, contents],
      ...[...new Set(requested)].map(
        (encoding) =>
          [
            `${path}${fileEndings[encoding]}`,
            (writtenPath: string) => compressChunks(() => bytesOfFile(writtenPath), encoding, undefined),
          ] as const,
      ),
    ],
    "followed",
    copiesOf(path, requested),
  );

export const sizesOfCopies = (files: readonly string[], copyEncodings: readonly Encoding[]): Promise<CopySizes> =>
  writeCopies(
    files.map((name) => ({ name, chunks: () => [] })),
    copyEncodings,
    async (copy) => (await openFile(copy)).size,
  );

export async function copiesInMemory(
  name: string,
  bytes: Uint8Array,
  copyEncodings: readonly Encoding[] = [],
  signal?: AbortSignal,
): Promise<{ readonly copies: readonly (readonly [name: string, bytes: Uint8Array])[]; readonly sizes: CopySizes }> {
  const copies: (readonly [string, Uint8Array])[] = [];
  const collect = async (copy: string, pieces: AsyncIterable<Uint8Array>): Promise<number> => {
    const parts: Uint8Array[] = [];
    for await (const piece of pieces) parts.push(piece);
    const compressedBytes = concatBytes(parts);
    copies.push([copy, compressedBytes]);
    return compressedBytes.length;
  };
  const sizes = await writeCopies([{ name, chunks: () => [bytes] }], copyEncodings, collect, signal);
  return { copies, sizes };
}
