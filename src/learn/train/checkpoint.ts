/** A checkpoint is the model in the middle of its training, as a valid ONNX file. The state is unused tensors with the role `state`, and metadata. */
import { elementBytes } from "#batches";
import type { Batch, Dense, Model, PithError, Tensor } from "#ir";
import {
  allTensors,
  allValues,
  bytesOfText,
  dataError,
  fileError,
  inMemory,
  open,
  optionError,
  parsePlain,
  save,
  stringifyPlain,
  writeModel,
} from "#ir";
import { fileKind, joinPath } from "#platform";
import { sha256Text } from "../../core/files/hash.ts";

export interface Checkpoint {
  readonly model: Model;
  readonly state: Batch;
  readonly progress: unknown;
}

export const lastFile = (folder: string): string => joinPath(folder, "last.onnx");
export const bestFile = (folder: string): string => joinPath(folder, "best.onnx");

export async function requireFreeFolder(folder: string, resume: boolean): Promise<void> {
  const kind = await fileKind(folder);
  if (kind !== undefined && kind !== "folder") {
    throw fileError(`"${folder}" is a file: \`checkpoint\` is a folder.`, {
      hint: "Name a folder for last.onnx and best.onnx.",
    });
  }
  if (resume || (await fileKind(lastFile(folder))) === undefined) return;
  throw fileError(`"${folder}" has the checkpoint of an earlier training, which would be overwritten.`, {
    hint: "`resume` continues it; name another folder to start over.",
  });
}

const progressKey = "pith.training";
const statePrefix = "pith.training/";

/** @throws PithError E_FILE if the file cannot be written; the previous file is then kept. */
export async function writeCheckpoint(path: string, { model, state, progress }: Checkpoint): Promise<void> {
  const checkpointModel = model.clone();
  for (const [name, dense] of Object.entries(state))
    checkpointModel.graph.addTensor(`${statePrefix}${name}`, inMemory(dense), { kind: "state" });
  checkpointModel.header.metadata.set(progressKey, stringifyPlain(progress));
  await save(checkpointModel, path);
}

/** @throws PithError E_DATA if the file is not a checkpoint, E_FILE and the errors of `open`. */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const model = await open(path);
  const progress = parsePlain(model.header.metadata.get(progressKey));
  if (progress === undefined) throw noTrainingError(path);
  const state: Record<string, Dense> = {};
  for (const [name, tensor] of removeState(model)) state[name] = await tensor.read();
  return { model, state, progress };
}

export function noTrainingError(path: string): PithError {
  return dataError(`"${path}" is not a training checkpoint.`, { hint: "Use last.onnx in the checkpoint folder." });
}

/** Removes and returns the training state, so that results and new trainings do not contain it. */
export function removeState({ graph, header }: Model): ReadonlyMap<string, Tensor> {
  const state = new Map<string, Tensor>();
  for (const value of [...graph.values()]) {
    const { name, tensor, role } = value;
    if (tensor === undefined || role?.kind !== "state" || !name.startsWith(statePrefix) || value.uses.size > 0)
      continue;
    state.set(name.slice(statePrefix.length), tensor);
    graph.removeValue(value);
  }
  header.metadata.delete(progressKey);
  return state;
}

/** Hashes of model and samples, and options by name (null if not given). A checkpoint of another training is rejected. */
export type Identity = Readonly<Record<string, unknown>>;

interface CheckpointFiles {
  readonly path: string;
  readonly bestPath?: string | undefined;
}

/** @throws PithError E_OPTION with the first difference. Options are in backticks, which the command line turns into flags. */
export function requireSameTraining({ path, bestPath }: CheckpointFiles, saved: Identity, current: Identity): void {
  const name = Object.keys(current).find((key) => JSON.stringify(saved[key]) !== JSON.stringify(current[key]));
  if (name === undefined) return;
  if (name === "model")
    throw optionError(`"${path}" is a checkpoint of another model, or of other values that are not trained.`, {
      hint: "Training continues only with the model that it started with; name another folder to start over.",
    });
  const [old, value] = [saved[name] ?? null, current[name]];
  const text = (setting: unknown): string => (typeof setting === "string" ? setting : JSON.stringify(setting));
  const difference =
    old === null
      ? `without \`${name}\`, not with ${text(value)}`
      : `with \`${name}\` ${text(old)}, not ${value === null ? "without" : text(value)}`;
  const best = bestPath === undefined ? "" : `, or from "${bestPath}", the best weights by validation`;
  throw optionError(`"${path}" was trained ${difference}.`, {
    hint:
      "Training continues only with the settings that it started with; `epochs` may be larger. " +
      `To train with other settings, start again from the model itself${best}, with another \`checkpoint\`. ` +
      `"${path}" is an ordinary model too, but its weights may be useless if the training diverged.`,
  });
}

/** Leaves out the elements of tensors that training changes: only their type and dimensions count. */
export async function modelHash(model: Model, trained: ReadonlySet<string> = new Set()): Promise<string> {
  const changing = new Set<Tensor>();
  for (const { name, tensor, role } of allValues(model.graph)) {
    const isChanging = trained.has(name) || (trained.size > 0 && (role?.kind === "state" || role?.kind === "tied"));
    if (tensor !== undefined && isChanging) changing.add(tensor);
  }
  const hashes = new Map<Tensor, string>();
  for (const tensor of allTensors(model.graph))
    hashes.set(tensor, changing.has(tensor) ? "" : await sha256Text([elementBytes(await tensor.read())]));
  const text = writeModel(model, (tensor) => hashes.get(tensor) ?? "", { inferred: false });
  return sha256Text([bytesOfText(text), ...model.header.functions]);
}
