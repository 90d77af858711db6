/**
 * A checkpoint: a model in the middle of its training, as one ONNX file.
 *
 * The file is the model itself, which any runtime runs; the state of the training stands in it as stored tensors that no node reads, of the
 * role `state` (optimizer moments, averages), and as one entry of its metadata (counters, history). One file is replaced in one step: a
 * process that is killed leaves the checkpoint before or the new one.
 */
import { fileKind, joinPath } from "#platform";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { open, save } from "../onnx/index.ts";
import { inMemory } from "../tensor/dense.ts";
import type { Batch, Dense, Tensor } from "../tensor/types.ts";

export interface Checkpoint {
  readonly model: Model;
  readonly state: Batch;
  /** Counters and history: plain data. */
  readonly progress: unknown;
}

/** The checkpoint in a folder, and the model whose weights were best. */
export const lastFile = (folder: string): string => joinPath(folder, "last.onnx");
export const bestFile = (folder: string): string => joinPath(folder, "best.onnx");

/** @throws PithError E_FILE where a folder for checkpoints is a file, or holds a training that would be overwritten. */
export async function requireFreeFolder(folder: string, resume: boolean): Promise<void> {
  const kind = await fileKind(folder);
  if (kind !== undefined && kind !== "folder") {
    throw new PithError("E_FILE", `"${folder}" is a file: \`checkpoint\` is a folder.`, {
      hint: "Two files are kept in it: last.onnx and best.onnx.",
    });
  }
  if (resume || (await fileKind(lastFile(folder))) === undefined) return;
  throw new PithError("E_FILE", `"${folder}" has the checkpoint of an earlier training, which would be overwritten.`, {
    hint: "`resume` continues it; another folder begins anew.",
  });
}

/** The key of a file's metadata under which the counters of a training stand. */
const progressKey = "pith.training";
/** Names of the stored tensors begin with it. */
const prefix = "pith.training/";

/**
 * Writes a checkpoint.
 * @throws PithError E_FILE where it cannot be written; the file that was there is then as it was.
 */
export async function writeCheckpoint(path: string, { model, state, progress }: Checkpoint): Promise<void> {
  const written = model.clone();
  for (const [name, dense] of Object.entries(state))
    written.graph.addTensor(`${prefix}${name}`, inMemory(dense), { kind: "state" });
  written.header.metadata.set(progressKey, plainText(progress));
  await save(written, path);
}

/**
 * Reads a checkpoint: the model without the state of its training, and that state.
 * @throws PithError E_DATA for a file that holds none, E_FILE and those of `open`.
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const model = await open(path);
  const progress = plainOf(model.header.metadata.get(progressKey));
  if (progress === undefined) throw noTraining(path);
  const state: Record<string, Dense> = {};
  for (const [name, tensor] of takeState(model)) state[name] = await tensor.read();
  return { model, state, progress };
}

export function noTraining(path: string): PithError {
  return new PithError("E_DATA", `"${path}" holds no training to continue.`, {
    hint: "A checkpoint of a training is last.onnx in its folder.",
  });
}

/** Figures that are no finite numbers, for which JSON has no word. */
const words: ReadonlyMap<unknown, number> = new Map([Number.NaN, Infinity, -Infinity].map((one) => [String(one), one]));

/** Plain data as JSON, numbers that are not finite among them. */
export function plainText(plain: unknown): string {
  return JSON.stringify(plain, (_, value) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  );
}

/** Undefined for what `plainText` has not written. */
export function plainOf(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text, (_, value) => words.get(value) ?? value);
  } catch {
    return undefined;
  }
}

/**
 * Takes out of a model, in place, what its file holds of a training: a checkpoint that is trained anew as the model that it is begins without,
 * and results hold none.
 */
export function takeState({ graph, header }: Model): ReadonlyMap<string, Tensor> {
  const state = new Map<string, Tensor>();
  for (const value of [...graph.values()]) {
    const { name, tensor, role } = value;
    if (tensor === undefined || role?.kind !== "state" || !name.startsWith(prefix) || value.uses.size > 0) continue;
    state.set(name.slice(prefix.length), tensor);
    graph.removeValue(value);
  }
  header.metadata.delete(progressKey);
  return state;
}
