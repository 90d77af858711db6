/** Reads large tensors in parts, so that they do not need to be in memory. */
import { isFloat, toFloat64 } from "./convert.ts";
import { bytesFor, viewBytes } from "./dense.ts";
import { elementCount } from "./dims.ts";
import { bitsOf, type Dense, type StoredBytes, type Tensor } from "./types.ts";

/** Elements of a part in the sequential reading. Reading a part from a file takes about a millisecond. */
const longPartElements = 2 ** 18;
const shortPartElements = 2 ** 10;

/** `start` is the index of the first element. */
export interface Part {
  readonly start: number;
  readonly numbers: Float64Array;
}

/** Yields parts of a large float tensor: some from the start and the middle, after which many readers stop, then all in order. */
export async function* partsOf(tensor: Tensor): AsyncGenerator<Part, void, undefined> {
  const { type, dims, stored, small } = tensor;
  if (stored === undefined || small !== undefined || !isFloat(type)) {
    yield { start: 0, numbers: toFloat64(small ?? (await tensor.read())) };
    return;
  }
  const columns = Math.max(1, dims.at(-1) ?? 1);
  const rows = elementCount(dims) / columns;
  const readRows = async (from: number, count: number): Promise<Part> => {
    const [first, last] = [from, Math.min(rows, from + count)].map(
      (row) => stored.start + bytesFor(type, row * columns),
    );
    const bytes = await stored.source.read(first ?? 0, last ?? 0);
    const numbers = toFloat64(viewBytes(type, [bytes.byteLength / bytesFor(type, 1)], bytes));
    return { start: from * columns, numbers };
  };
  const shortRows = Math.max(1, Math.floor(shortPartElements / columns));
  yield readRows(0, shortRows);
  if (rows > 2 * shortRows) yield readRows(Math.floor(rows / 2), shortRows);
  const longRows = Math.max(1, Math.floor(longPartElements / columns));
  for (let row = 0; row < rows; row += longRows) yield readRows(row, longRows);
}

/** A multiple of the size of any element type. */
const blockBytes = 2 ** 20;

/** Yields all elements, as vectors if they are in blocks. A block can overwrite the previous one. */
export async function* blocksOf(tensor: Tensor): AsyncGenerator<Dense, void, undefined> {
  const { type, stored } = tensor;
  const blocks = tensor.blocks?.() ?? (stored && readBlocks(stored));
  if (type === "string" || blocks === undefined) yield await tensor.read();
  else
    for await (const bytes of blocks) yield viewBytes(type, [Math.floor((8 * bytes.byteLength) / bitsOf[type])], bytes);
}

/** Blocks share a buffer if the source fills buffers: allocating each would dominate garbage collection. */
async function* readBlocks({ source, start, end }: StoredBytes): AsyncGenerator<Uint8Array, void, undefined> {
  const buffer = new Uint8Array(Math.min(blockBytes, end - start));
  for (let offset = start; offset < end; offset += blockBytes) {
    const bytes = buffer.subarray(0, end - offset);
    if (source.fill === undefined) yield source.read(offset, offset + bytes.byteLength);
    else {
      source.fill(bytes, offset);
      yield bytes;
    }
  }
  if (source.fill !== undefined) await source.read(end, end);
}
