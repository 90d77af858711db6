/**
 * Divides running text for language models into consecutive windows of n tokens. The label of a token is the next token. Files of independent
 * sequences have the number of sequences and their length in the file name (`_64x120_u16le.bin`).
 */

import { type IndexedDataset, indexed } from "#batches";
import { type ByteSource, dataError, viewOf } from "#ir";
import type { TextTokenizer } from "./tokenizer.ts";

export interface TokenFile {
  /** Bytes per token. */
  readonly width: 2 | 4;
  /** Number and length of independent sequences; undefined for running text. */
  readonly sequences: readonly [count: number, length: number] | undefined;
}

/** Small language models were trained with this length, and it suffices for comparing large ones. */
export const defaultWindow = 128;

/** Matches train_u16le.bin, val_uint16.bin, eval_64x120_u16le.bin: token ids as little-endian integers. */
const pattern = /(?:^|[._-])(?:(\d+)x(\d+)[._-])?u(?:int)?(16|32)(?:le)?\.bin$/i;

export function tokenFile(name: string): TokenFile | undefined {
  const match = pattern.exec(name);
  if (match === null) return undefined;
  const [, count, length, bits] = match;
  const sequences =
    count === undefined || length === undefined ? undefined : ([Number(count), Number(length)] as const);
  return { width: bits === "16" ? 2 : 4, sequences };
}

interface Tokens {
  readonly count: number;
  read(start: number, end: number): ArrayLike<number> | Promise<ArrayLike<number>>;
}

const noLabel = -100n;

/** Returns a file's windows: "tokens" (int64 [N, length]) and "label" (next tokens). @throws PithError E_DATA if the file's size does not fit. */
export function tokensInFile(source: ByteSource, format: TokenFile, length: number): IndexedDataset {
  const { width, sequences } = format;
  const count = source.size / width;
  if (!Number.isInteger(count)) {
    throw dataError(`${source.name}: ${source.size} bytes are not a whole number of tokens of ${width} bytes.`);
  }
  const tokens: Tokens = {
    count,
    async read(start, end) {
      const bytes = await source.read(start * width, end * width);
      const view = viewOf(bytes);
      return Array.from({ length: end - start }, (_, index) =>
        width === 2 ? view.getUint16(2 * index, true) : view.getUint32(4 * index, true),
      );
    },
  };
  if (sequences === undefined) return windows(source.name, tokens, length, true);
  const [rows, columns] = sequences;
  if (rows * columns === count) return windows(source.name, tokens, columns, false);
  throw dataError(`${source.name} holds ${count} tokens, its name says ${rows} × ${columns}.`);
}

/** Returns a text's windows, with the columns of `tokensInFile`. @throws PithError E_DATA if the text is too short. */
export function tokensOfText(name: string, text: string, tokenizer: TextTokenizer, length: number): IndexedDataset {
  let ids = new Uint32Array(Math.ceil(text.length / 3) + 16);
  let count = 0;
  for (const piece of splitIntoPieces(text)) {
    const pieceIds = tokenizer.plain(piece);
    if (count + pieceIds.length > ids.length) {
      const larger = new Uint32Array(2 * (count + pieceIds.length));
      larger.set(ids);
      ids = larger;
    }
    ids.set(pieceIds, count);
    count += pieceIds.length;
  }
  return windows(name, { count, read: (start, end) => ids.subarray(start, end) }, length, true);
}

/** In characters. Tokenizers are slow on very long texts. */
const pieceLength = 2 ** 16;

/** Each piece begins at the start of a line, because no token crosses this position. */
function* splitIntoPieces(text: string): Iterable<string> {
  let start = 0;
  while (start < text.length) {
    const line = /[^\s]\n(?=[^\s])/g;
    line.lastIndex = start + pieceLength;
    const end = start + pieceLength < text.length ? line.exec(text)?.index : undefined;
    const next = end === undefined ? text.length : end + 2;
    yield text.slice(start, next);
    start = next;
  }
}

/** @param isFollowed whether the token after a window is its last label, as in running text. */
function windows(name: string, tokens: Tokens, length: number, isFollowed: boolean): IndexedDataset {
  const count = Math.floor((tokens.count - (isFollowed ? 1 : 0)) / length);
  if (count < 1) {
    throw dataError(`${name} has ${tokens.count} tokens, too few for a window of ${length}.`, {
      hint: 'Shorter windows: `preprocess: "length=32"`.',
    });
  }
  return indexed(name, count, async (positions) => {
    const ids = new BigInt64Array(positions.length * length);
    const label = new BigInt64Array(positions.length * length).fill(noLabel);
    for (const [row, position] of positions.entries()) {
      const start = position * length;
      const windowIds = await tokens.read(start, start + length + (isFollowed ? 1 : 0));
      for (let position = 0; position < length; position++) {
        ids[row * length + position] = BigInt(windowIds[position] ?? 0);
        const next = position + 1 < length || isFollowed ? windowIds[position + 1] : undefined;
        if (next !== undefined) label[row * length + position] = BigInt(next);
      }
    }
    const dims = [positions.length, length];
    return { tokens: { type: "int64", dims, data: ids }, label: { type: "int64", dims, data: label } };
  });
}
