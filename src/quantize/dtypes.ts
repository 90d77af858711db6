/** The variants of a model that transformers.js loads: what each adds to the name of a file, and the settings of `quantize` that make it. */

interface Dtype {
  readonly suffix: string;
  readonly meaning: string;
  /** Applied one after the other. */
  readonly steps: readonly DtypeStep[];
}

export interface DtypeStep {
  readonly scheme: "weights" | "dynamic" | "float16";
  readonly arithmetic?: "float16";
  readonly bits?: 4;
  readonly block?: 32;
  readonly weights?: "int8" | "uint8";
}

const q4 = { scheme: "weights", bits: 4, block: 32 } as const;
const float16 = { scheme: "float16", arithmetic: "float16" } as const;

const table = {
  q8: {
    suffix: "_quantized",
    meaning: "integer arithmetic, weights of the type that is fast",
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
  q4f16: { suffix: "_q4f16", meaning: "q4, and the rest as fp16", steps: [q4, float16] },
  fp16: { suffix: "_fp16", meaning: "half precision, arithmetic too", steps: [float16] },
} as const satisfies Record<string, Dtype>;

/** A variant of a model, as transformers.js calls it. */
export type DtypeName = keyof typeof table;

export const dtypes: Readonly<Record<DtypeName, Dtype>> = table;

export const dtypeNames = Object.keys(table) as DtypeName[];
