/** The dtypes of transformers.js that `quantize` writes: suffixes of file names, and settings of `quantize`. */

export interface Dtype {
  /** End of the file's name before ".onnx". */
  readonly suffix: string;
  readonly meaning: string;
  /** The dtype is not part of "all". */
  readonly rare?: true;
  readonly steps: readonly [DtypeStep, ...DtypeStep[]];
}

export interface DtypeStep {
  readonly scheme: "weights" | "dynamic" | "float16";
  /** Computes in float16. Without it, the runtime widens weights of the scheme "float16" when it loads the model. */
  readonly arithmetic?: "float16" | undefined;
  readonly bits?: 8 | 4 | 2;
  readonly block?: 32;
  readonly weights?: "int8" | "uint8";
  /** Uses only operators that every build of the runtime has. */
  readonly everywhere?: true | undefined;
}

const q2 = { scheme: "weights", bits: 2, block: 32, everywhere: true } as const;
const q4 = { scheme: "weights", bits: 4, block: 32, everywhere: true } as const;
const float16 = { scheme: "float16", arithmetic: "float16" } as const;
const webGpuQ8 = [{ scheme: "weights", bits: 8, block: 32, everywhere: true }] as const;

const table = {
  q8: {
    suffix: "_quantized",
    meaning: "integer arithmetic, int8 or uint8 weights, whichever is faster",
    steps: [{ scheme: "dynamic" }],
  },
  int8: {
    suffix: "_int8",
    meaning: "integer arithmetic, int8 weights",
    steps: [{ scheme: "dynamic", weights: "int8" }],
  },
  uint8: {
    suffix: "_uint8",
    meaning: "integer arithmetic, uint8 weights",
    steps: [{ scheme: "dynamic", weights: "uint8" }],
  },
  q4: { suffix: "_q4", meaning: "4-bit weights in blocks of 32", steps: [q4] },
  q4f16: { suffix: "_q4f16", meaning: "q4, all other weights fp16", steps: [q4, float16] },
  q2: { suffix: "_q2", meaning: "2-bit weights in blocks of 32, embedding tables 4-bit", rare: true, steps: [q2] },
  q2f16: { suffix: "_q2f16", meaning: "q2, all other weights fp16", rare: true, steps: [q2, float16] },
  fp16: { suffix: "_fp16", meaning: "half precision, including arithmetic", steps: [float16] },
} as const satisfies Record<string, Dtype>;

export type DtypeName = keyof typeof table;

/**
 * The dtypes of transformers.js that `quantize` writes, by name.
 * @example
 * const model = await open("minilm/onnx/model.onnx");
 * await quantize(model, { dtype: "q4" });
 * await save(model, `minilm/onnx/model${dtypes.q4.suffix}.onnx`);
 */
export const dtypes: Readonly<Record<DtypeName, Dtype>> = table;

/** Returns the steps of a dtype. For WebGPU alone, q8 has 8-bit blocks, because integer products have no kernel there. */
export const stepsOfDtype = (name: DtypeName, target: unknown): Dtype["steps"] =>
  name === "q8" && Array.isArray(target) && [...new Set(target)].join() === "webgpu" ? webGpuQ8 : dtypes[name].steps;

export const dtypeNames = Object.keys(table) as DtypeName[];

export function dtypeBits(name: DtypeName): number {
  const [{ bits, scheme }] = dtypes[name].steps;
  return bits ?? (scheme === "float16" ? 16 : 8);
}

export const defaultDtypes: readonly DtypeName[] = dtypeNames.filter((name) => dtypes[name].rare !== true);
