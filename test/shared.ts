/**
 * The folder of reference values, models and data that lies beside the repository, where it is present.
 *
 * Tests that need it skip without it: `describe.skipIf(golden("lowrank") === undefined)(…)`.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = resolve(root, process.env.PITH_SHARED ?? join("..", "shared"));

/** A tensor as the golden files write it: flat and row-major; "inf", "-inf" and "nan" are strings. */
export interface GoldenTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: readonly (number | string)[];
}

/** The absolute path of something in the shared folder, or undefined if it is not there. */
export function shared(path: string): string | undefined {
  const full = join(folder, path);
  return existsSync(full) ? full : undefined;
}

/**
 * The folder of a network of real size that `bench/peers/real_models.py` made (smollm2-135m, whisper-tiny.en, efficientnet-lite0), or undefined.
 * PITH_REAL_MODELS names another folder than `bench/peers/real`.
 */
export function realModel(name: string): string | undefined {
  const path = join(process.env.PITH_REAL_MODELS ?? join(root, "bench/peers/real"), name);
  return existsSync(path) ? path : undefined;
}

/** The parsed golden file of a topic ("lowrank", "quantization", …), or undefined if it is not there. */
export function golden<T = Record<string, unknown>>(topic: string): T | undefined {
  const path = shared(join("golden", `${topic}.json`));
  return path === undefined ? undefined : (JSON.parse(readFileSync(path, "utf8")) as T);
}

/** The numbers of a golden tensor, in float64. */
export function goldenNumbers(tensor: GoldenTensor): Float64Array {
  return Float64Array.from(tensor.data, goldenNumber);
}

export function goldenNumber(value: number | string): number {
  if (typeof value === "number") return value;
  if (value === "nan") return Number.NaN;
  return value === "-inf" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}
