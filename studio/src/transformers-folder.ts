/** A folder in the layout of transformers.js: config.json beside a folder `onnx` with models. */
import { computed } from "@preact/signals";
import type { Candidate, DtypeView } from "./backend/backend.ts";
import { candidates, chosenFiles, model, modelSource } from "./state/signals.ts";

interface TransformersFolder {
  /** Path with a slash at the end; "" for files without a folder. */
  readonly root: string;
  /** Paths of the original models. */
  readonly models: readonly string[];
}

/** A candidate that transformers.js loads by its dtype, with its path in the folder. */
interface Variant {
  readonly dtype: DtypeView;
  readonly path: string;
  readonly candidate: Candidate;
}

/** The folder of the open model; undefined if it is not one of transformers.js, or its files were not chosen. */
export const folder = computed((): TransformersFolder | undefined => {
  const [, root] = /^((?:.*\/)?)onnx\/[^/]+\.onnx$/.exec(modelSource.value?.place ?? "") ?? [];
  if (root === undefined || !chosenFiles.value.some(([path]) => path === `${root}config.json`)) return undefined;
  const suffixes = (model.value?.dtypes ?? []).map(({ suffix }) => `${suffix}.onnx`);
  const isOriginal = (path: string): boolean => !suffixes.some((suffix) => path.endsWith(suffix));
  const paths = chosenFiles.value.map(([path]) => path);
  return { root, models: paths.filter((path) => isModelIn(root, path) && isOriginal(path)) };
});

const isModelIn = (root: string, path: string): boolean => path.startsWith(`${root}onnx/`) && path.endsWith(".onnx");

export const variants = computed((): readonly Variant[] =>
  (model.value?.dtypes ?? []).flatMap((dtype) => {
    const candidate = candidates.value.findLast(({ name }) => name.split(",")[0] === dtype.name);
    const path = modelSource.value?.place.replace(/\.onnx$/, `${dtype.suffix}.onnx`);
    return candidate === undefined || path === undefined ? [] : [{ dtype, path, candidate }];
  }),
);

/** Returns the folder as a zip: the variants, and all chosen files except models and their weights. */
export async function zipFolder(): Promise<Blob> {
  const { Zip, ZipPassThrough } = await import("fflate");
  const otherFiles = chosenFiles.value.filter(([path]) => !/\.onnx(_data(_\d+)?)?$/.test(path));
  const files = [...otherFiles, ...variants.value.map(({ path, candidate }) => [path, candidate.file] as const)];
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const zip = new Zip((error, chunk) => {
    if (error !== null) throw error;
    parts.push(Uint8Array.from(chunk));
  });
  // Weights hardly compress, and servers compress the other files.
  for (const [path, file] of files) {
    const entry = new ZipPassThrough(path);
    zip.add(entry);
    const reader = file.stream().getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      entry.push(value);
    }
    entry.push(new Uint8Array(), true);
  }
  zip.end();
  return new Blob(parts, { type: "application/zip" });
}
