/** Seeded random ways to damage a file, for the quick and the slow tests. */
import { PithError } from "../../../src/core/errors.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import type { Random } from "../../../src/core/tensor/random.ts";
import type { ByteSource } from "../../../src/core/tensor/types.ts";

/** Opens a file, reads every tensor and encodes it again. Rethrows errors that are not a PithError with the name of the file or tensor. */
export async function readAll(bytes: Uint8Array): Promise<"opened" | "refused"> {
  try {
    const model = await open(inMemory(bytes));
    for (const value of model.graph.values()) await value.tensor?.read();
    await encodeToBytes(model);
    await encodeToBytes(model.clone());
    return "opened";
  } catch (error) {
    // An error while reading a tensor names the tensor.
    if (error instanceof PithError && /"damaged"|tensor "/.test(error.message)) return "refused";
    throw error;
  }
}

/** Returns a source that rejects reads beyond its end, as files do. */
function inMemory(bytes: Uint8Array): ByteSource {
  const size = bytes.byteLength;
  return {
    name: "damaged",
    size,
    async read(start, end) {
      if (!(start >= 0 && start <= end && end <= size))
        throw new Error(`bytes ${start} to ${end} of ${size} were read`);
      return bytes.slice(start, end);
    },
  };
}

/** Returns the bytes with one to four random damages. */
export function damaged(bytes: Uint8Array, numbers: Random): Uint8Array {
  let wounded = bytes;
  for (let wounds = 1 + numbers.integer(4); wounds > 0; wounds--) wounded = wound(wounded, numbers);
  return wounded;
}

/** Wrong varints: the largest value, one byte too many, 2³², −1, and a varint without an end. */
const lies: readonly (readonly number[])[] = [
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0x80, 0x80, 0x80, 0x80, 0x10],
  [0xff, 0xff, 0xff, 0xff, 0x07],
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
  [0x00],
];

function wound(bytes: Uint8Array, numbers: Random): Uint8Array {
  const at = numbers.integer(bytes.byteLength + 1);
  const length = 1 + numbers.integer(16);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (numbers.integer(6)) {
    case 0: {
      const flipped = bytes.slice();
      if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << numbers.integer(8));
      return flipped;
    }
    case 1: {
      const other = bytes.slice();
      if (at < other.length) other[at] = numbers.integer(256);
      return other;
    }
    case 2:
      return join(before, after.subarray(length));
    case 3:
      return join(before, bytes.subarray(numbers.integer(bytes.byteLength + 1)).subarray(0, length), after);
    case 4:
      return join(before, Uint8Array.from(lies[numbers.integer(lies.length)] ?? []), after.subarray(1));
    default:
      return numbers.integer(8) === 0 ? before : join(before, after.subarray(1));
  }
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}
