/** Runs the optimizers' kernels on pieces of arrays, which are copied into a memory of WebAssembly that fits into a cache. */
import { shapeError } from "#ir";
import type { Floats } from "./floats.ts";
import { float32, float64 } from "./kernels.generated.ts";

type Kernel = "descend" | "descendWithMomentum" | "adam";
type Kernels = Readonly<Record<Kernel, (bytes: number, ...addressesAndNumbers: number[]) => void>>;

const pieceLength = 2 ** 14;
const maxArrays = 4;
const slotBytes = 8 * pieceLength;
const pageBytes = 2 ** 16;
const vectorBytes = 16;

let loadedKernels: { readonly buffer: ArrayBuffer; readonly float32: Kernels; readonly float64: Kernels } | undefined;

/**
 * Runs a kernel of `kernels.as.ts` over arrays of one length: the changed arrays, the gradient, and numbers in the order of its parameters.
 * @throws PithError E_SHAPE_MISMATCH if the lengths differ.
 */
export function runKernel(
  kernel: Kernel,
  changedArrays: readonly [Floats, ...Floats[]],
  gradient: Floats,
  ...numbers: readonly number[]
): void {
  const [first] = changedArrays;
  const { length } = first;
  const arrays = [...changedArrays, gradient];
  const mismatchedArray = arrays.find((array) => array.length !== length);
  if (mismatchedArray !== undefined)
    throw shapeError(`${length} parameters have as many gradients, got ${mismatchedArray.length}.`);
  loadedKernels ??= loadKernels();
  const { buffer } = loadedKernels;
  const isSingle = first instanceof Float32Array;
  const slots = arrays.map((_, index) =>
    isSingle
      ? new Float32Array(buffer, index * slotBytes, pieceLength)
      : new Float64Array(buffer, index * slotBytes, pieceLength),
  );
  const run = (isSingle ? loadedKernels.float32 : loadedKernels.float64)[kernel];
  const addresses = slots.map(({ byteOffset }) => byteOffset);
  for (let from = 0; from < length; from += pieceLength) {
    const count = Math.min(pieceLength, length - from);
    for (const [index, slot] of slots.entries()) slot.set((arrays[index] as Floats).subarray(from, from + count));
    const bytes = Math.ceil((count * (isSingle ? 4 : 8)) / vectorBytes) * vectorBytes;
    run(bytes, ...addresses, ...numbers);
    for (const [index, array] of changedArrays.entries()) array.set((slots[index] as Floats).subarray(0, count), from);
  }
}

function loadKernels(): NonNullable<typeof loadedKernels> {
  const memory = new WebAssembly.Memory({ initial: (maxArrays * slotBytes) / pageBytes });
  const instantiate = (code: string): Kernels => {
    const bytes = Uint8Array.from(atob(code), (character) => character.charCodeAt(0));
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } }).exports as Kernels;
  };
  return { buffer: memory.buffer, float32: instantiate(float32), float64: instantiate(float64) };
}
