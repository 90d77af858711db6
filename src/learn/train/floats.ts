/** Float arrays of a training in one WebAssembly memory, on which kernels work in place. Other arrays are copied in pieces, at half the speed. */
import { type Dense, dimsText, PithError } from "#ir";
import { float32, float64 } from "./kernels.generated.ts";

export type Floats = Float32Array | Float64Array;

export function denseOf(data: Floats, dims: readonly number[] = [data.length]): Dense<"float32" | "float64"> {
  return data instanceof Float32Array ? { type: "float32", dims, data } : { type: "float64", dims, data };
}

/** Returns the floats of a stored state. @throws PithError E_DATA if the state has no floats of this length. */
export function requireFloats(dense: Dense | undefined, length: number, owner: string, name: string): Floats {
  if ((dense?.type === "float32" || dense?.type === "float64") && dense.data.length === length) return dense.data;
  const got = dense === undefined ? "nothing" : `${dense.type}${dimsText(dense.dims)}`;
  throw new PithError("E_DATA", `${owner} needs "${name}" of ${length} floats, got ${got}.`, {
    hint: "Training resumes only with the same model, layers, pruning and optimizer.",
  });
}

/** Returns zeros of the same length and type, in the same memory while it has room. */
export function zerosLike(values: Floats): Floats {
  const zeros = memories.get(values)?.take(values);
  if (zeros !== undefined) return zeros;
  return values instanceof Float32Array ? new Float32Array(values.length) : new Float64Array(values.length);
}

export function copyOf(values: Floats): Floats {
  const copy = zerosLike(values);
  copy.set(values);
  return copy;
}

/** Arrays per parameter: values, gradient, two moments, an average and a gradient sum. */
const arraysPerParameter = 6;
/** 4 GiB: all that WebAssembly can address. */
const maxBytes = 2 ** 32;
const pageBytes = 2 ** 16;
const alignBytes = (bytes: number): number => Math.ceil(bytes / 64) * 64;

/**
 * Returns a function that copies parameters of these sizes into a common memory. A memory that grows would detach its arrays, so it has
 * room for all arrays from the start. Above 4 GiB several memories are used; if the allocation fails, ordinary arrays.
 */
export function floatMemory(bytes: readonly number[]): (values: Floats) => Floats {
  const bytesOf = (size: number): number => arraysPerParameter * alignBytes(size);
  let bytesLeft = bytes.reduce((sum, size) => sum + bytesOf(size), 0);
  let memory: KernelMemory | undefined;
  let freeBytes = 0;
  return (values) => {
    const needed = bytesOf(values.byteLength);
    if (needed > freeBytes) {
      freeBytes = Math.min(Math.max(bytesLeft, needed), maxBytes);
      memory = createMemory(freeBytes);
    }
    freeBytes -= needed;
    bytesLeft -= needed;
    const copy = memory?.take(values) ?? zerosLike(values);
    copy.set(values);
    return copy;
  };
}

type Kernel = "move" | "roll" | "adam" | "lion" | "scale" | "squares";
type Kernels = Readonly<Record<Kernel, (bytes: number, ...more: number[]) => number | undefined>>;

/**
 * Number of elements that a kernel processes at once: four arrays of this length fit into a core's cache. Sums of squares are added piece by piece,
 * also for arrays outside the memory, so that the result does not depend on where arrays are.
 */
const piece = 2 ** 16;

/**
 * Runs a kernel over arrays of one length (changed arrays, then read arrays, then numbers, as in `kernels.as.ts`). Returns the sum of its results.
 * @throws PithError E_SHAPE_MISMATCH if the lengths differ, E_UNSUPPORTED without WebAssembly SIMD.
 */
export function run(kernel: Kernel, changed: readonly Floats[], read: readonly Floats[], ...numbers: number[]): number {
  const arrays = [...changed, ...read];
  const [first = new Float32Array()] = arrays;
  const { length } = first;
  const mismatched = arrays.find((array) => array.length !== length);
  if (mismatched !== undefined)
    throw new PithError("E_SHAPE_MISMATCH", `${length} parameters have as many gradients, got ${mismatched.length}.`);
  const firstMemory = memories.get(first);
  const isShared = arrays.every(
    (a) => memories.get(a) === firstMemory && a.BYTES_PER_ELEMENT === first.BYTES_PER_ELEMENT,
  );
  const memory = isShared ? firstMemory : undefined;
  let sum = 0;
  for (let from = 0; from < length; from += piece) {
    const pieces = arrays.map((array) => array.subarray(from, from + piece));
    sum += memory?.run(kernel, pieces, numbers) ?? throughScratch(kernel, pieces, changed.length, numbers);
  }
  return sum;
}

/** Runs a kernel on copies, for arrays outside a common memory. */
function throughScratch(
  kernel: Kernel,
  pieces: readonly Floats[],
  changed: number,
  numbers: readonly number[],
): number {
  scratch ??= createMemory(4 * piece * 8);
  if (scratch === undefined)
    throw new PithError("E_UNSUPPORTED", "Training needs WebAssembly with SIMD, which this runtime lacks.");
  const { take, clear, run } = scratch;
  clear();
  const copies = pieces.map((array) => {
    const copy = take(pieces[0] ?? array) ?? array;
    copy.set(array);
    return copy;
  });
  const result = run(kernel, copies, numbers);
  for (const [index, array] of pieces.slice(0, changed).entries()) array.set(copies[index] ?? array);
  return result;
}

interface KernelMemory {
  take(like: Floats): Floats | undefined;
  clear(): void;
  run(kernel: Kernel, arrays: readonly Floats[], numbers: readonly number[]): number;
}

const memories = new WeakMap<Floats, KernelMemory>();
let scratch: KernelMemory | undefined;
let modules: readonly WebAssembly.Module[] | undefined;

function createMemory(bytes: number): KernelMemory | undefined {
  modules ??= [float32, float64].flatMap(moduleOf);
  const [float32Module, float64Module] = modules;
  if (float32Module === undefined || float64Module === undefined) return undefined;
  const memory = memoryOf(Math.ceil(bytes / pageBytes));
  if (memory === undefined) return undefined;
  const { buffer } = memory;
  const kernelsOf = (module: WebAssembly.Module): Kernels =>
    new WebAssembly.Instance(module, { env: { memory } }).exports as Kernels;
  const [float32Kernels, float64Kernels] = [kernelsOf(float32Module), kernelsOf(float64Module)];
  let usedBytes = 0;
  const kernelMemory: KernelMemory = {
    take(like) {
      const offset = usedBytes;
      if (offset + alignBytes(like.byteLength) > buffer.byteLength) return undefined;
      usedBytes += alignBytes(like.byteLength);
      const array =
        like instanceof Float32Array
          ? new Float32Array(buffer, offset, like.length)
          : new Float64Array(buffer, offset, like.length);
      memories.set(array, kernelMemory);
      return array;
    },
    clear() {
      new Uint8Array(buffer, 0, usedBytes).fill(0);
      usedBytes = 0;
    },
    run(kernel, arrays, numbers) {
      const [first = new Float32Array()] = arrays;
      const offsets = arrays.map(({ byteOffset }) => byteOffset);
      const kernels = first instanceof Float32Array ? float32Kernels : float64Kernels;
      return kernels[kernel](alignBytes(first.byteLength), ...offsets, ...numbers) ?? 0;
    },
  };
  return kernelMemory;
}

/** Compiles kernels; returns an empty list if the runtime lacks required features. */
function moduleOf(code: string): readonly WebAssembly.Module[] {
  const bytes = Uint8Array.from(atob(code), (character) => character.charCodeAt(0));
  return typeof WebAssembly === "undefined" || !WebAssembly.validate(bytes) ? [] : [new WebAssembly.Module(bytes)];
}

function memoryOf(pages: number): WebAssembly.Memory | undefined {
  try {
    return new WebAssembly.Memory({ initial: pages });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
