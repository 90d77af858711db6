/**
 * A checkpoint is the model in the middle of its training, as a valid ONNX file. The training state is stored in it: arrays as
 * unused tensors with the role `state`, counters and history as one metadata entry. The file is replaced atomically.
 */

import type { Batch, Dense, Model, Tensor } from "#ir";
import { allTensors, bytesOfText, dimsText, inMemory, open, PithError, sameDims, save, writeModel } from "#ir";
import { fileKind, joinPath } from "#platform";
import { sha256Text } from "../../core/files/hash.ts";
import { parsePlain, stringifyPlain } from "../../core/plain.ts";
import { elementBytes, haveSameElements } from "../../data/batches/content-hash.ts";

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
    throw new PithError("E_FILE", `"${folder}" is a file: \`checkpoint\` is a folder.`, {
      hint: "Name a folder for last.onnx and best.onnx.",
    });
  }
  if (resume || (await fileKind(lastFile(folder))) === undefined) return;
  throw new PithError("E_FILE", `"${folder}" has the checkpoint of an earlier training, which would be overwritten.`, {
    hint: "`resume` continues it; name another folder to start over.",
  });
}

const progressKey = "pith.training";
const prefix = "pith.training/";

/** Writes a checkpoint. @throws PithError E_FILE if it cannot be written; the previous file is then kept. */
export async function writeCheckpoint(path: string, { model, state, progress }: Checkpoint): Promise<void> {
  const checkpointModel = model.clone();
  for (const [name, dense] of Object.entries(state))
    checkpointModel.graph.addTensor(`${prefix}${name}`, inMemory(dense), { kind: "state" });
  checkpointModel.header.metadata.set(progressKey, stringifyPlain(progress));
  await save(checkpointModel, path);
}

/** @throws PithError E_DATA if the file is not a checkpoint, E_FILE and the errors of `open`. */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const model = await open(path);
  const progress = parsePlain(model.header.metadata.get(progressKey));
  if (progress === undefined) throw noTraining(path);
  const state: Record<string, Dense> = {};
  for (const [name, tensor] of takeState(model)) state[name] = await tensor.read();
  return { model, state, progress };
}

export function noTraining(path: string): PithError {
  return new PithError("E_DATA", `"${path}" is not a training checkpoint.`, {
    hint: "Use last.onnx in the checkpoint folder.",
  });
}

/** Removes and returns the training state, in place, so that results and new trainings do not contain it. */
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

/**
 * Identifies a training: trained tensors, settings, samples. A checkpoint of another training is rejected. Messages write options
 * in backticks, which the command line turns into flags.
 */
export interface Identity {
  /** Trained tensors and their sizes: `[64, 3, 3, 3]`. */
  readonly trained: Readonly<Record<string, string>>;
  readonly nodes: number;
  /** Options by name, with null for options that were not given. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly samples: number | null;
  readonly first: string;
  /** `modelHash` of each model that the loss reads; absent in older checkpoints. */
  readonly teachers?: readonly string[];
}

/** The part of the identity that is known before the first step. */
export type InitialIdentity = Omit<Identity, "trained">;

export function trainedSizes(model: Model, names: readonly string[]): Identity["trained"] {
  return Object.fromEntries(
    names.flatMap((name) => {
      const dims = model.graph.value(name)?.tensor?.dims;
      return dims === undefined ? [] : [[name, dimsText(dims)]];
    }),
  );
}

/** The files of a checkpoint: the current state and, with validation, the best weights. */
interface CheckpointFiles {
  readonly path: string;
  readonly bestPath?: string | undefined;
}

/** @throws PithError E_OPTION with the first difference; settings that the checkpoint lacks are not compared. */
export function requireSameTraining(
  files: CheckpointFiles,
  saved: Identity,
  current: InitialIdentity,
  model: Model,
): void {
  const { path } = files;
  for (const [name, size] of Object.entries(saved.trained)) {
    const dims = model.graph.value(name)?.tensor?.dims;
    if (dims === undefined) throw otherModelError(path, `it trained "${name}", which this model does not have`);
    if (dimsText(dims) !== size)
      throw otherModelError(path, `"${name}" was ${size} there, and is ${dimsText(dims)} here`);
  }
  if (saved.nodes !== current.nodes) throw otherModelError(path, `it has ${saved.nodes} nodes, not ${current.nodes}`);
  for (const [name, value] of Object.entries(current.settings)) {
    const oldSetting = saved.settings[name];
    if (oldSetting === undefined || JSON.stringify(oldSetting) === JSON.stringify(value)) continue;
    throw otherTrainingError(files, settingDifference(name, oldSetting, value), "settings");
  }
  if (saved.samples !== current.samples)
    throw otherTrainingError(
      files,
      `on ${saved.samples ?? "a stream of"} samples, not ${current.samples ?? "a stream"}`,
      "data",
    );
  if (saved.first !== current.first)
    throw otherTrainingError(files, "on other samples: the first sample differs", "data");
  if (saved.teachers !== undefined && saved.teachers.join() !== current.teachers?.join())
    throw otherTrainingError(files, "with a teacher of other content: its file was changed or replaced", "teacher");
}

export function requireSameTensors(files: CheckpointFiles, saved: Identity, trained: Identity["trained"]): void {
  const added = Object.keys(trained).find((name) => saved.trained[name] === undefined);
  const removed = Object.keys(saved.trained).find((name) => trained[name] === undefined);
  if (added !== undefined)
    throw otherTrainingError(files, `without "${added}", which is trained now`, "model and settings");
  if (removed !== undefined)
    throw otherTrainingError(files, `with "${removed}", which is not trained now`, "model and settings");
}

function settingDifference(name: string, old: unknown, value: unknown): string {
  const text = (setting: unknown): string => (typeof setting === "string" ? setting : JSON.stringify(setting));
  if (old === null) return `without \`${name}\`, not with ${text(value)}`;
  return `with \`${name}\` ${text(old)}, not ${value === null ? "without" : text(value)}`;
}

/** @param constant the part of a training that must not change. */
function otherTrainingError({ path, bestPath }: CheckpointFiles, difference: string, constant: string): PithError {
  const best = bestPath === undefined ? "" : `, or from "${bestPath}", the best weights by validation`;
  return new PithError("E_OPTION", `"${path}" was trained ${difference}.`, {
    hint:
      `Training continues only with the ${constant} that it started with; \`epochs\` may be larger. ` +
      `To train with other settings, start again from the model itself${best}, with another \`checkpoint\`. ` +
      `"${path}" is an ordinary model too, but its weights may be useless if the training diverged.`,
  });
}

function otherModelError(path: string, reason: string): PithError {
  return new PithError("E_OPTION", `"${path}" is a checkpoint of another model: ${reason}.`, {
    hint: "Training continues only with the model that it started with; name another folder to start over.",
  });
}

/** Returns the SHA-256 of a model's graph as text with hashes for tensors, which are read one at a time. */
export async function modelHash(model: Model): Promise<string> {
  const hashes = new Map<Tensor, string>();
  for (const tensor of allTensors(model.graph))
    hashes.set(tensor, await sha256Text([elementBytes(await tensor.read())]));
  const text = writeModel(model, (tensor) => hashes.get(tensor) ?? "", { inferred: false });
  return sha256Text([bytesOfText(text)]);
}

/** @throws PithError E_OPTION if frozen values of the model differ from those of the checkpoint. */
export async function requireSameFrozen(
  path: string,
  trained: Identity["trained"],
  stored: Model,
  model: Model,
): Promise<void> {
  for (const { name, tensor, role } of stored.graph.values()) {
    const isChanging = trained[name] !== undefined || role?.kind === "state" || role?.kind === "tied";
    if (tensor === undefined || isChanging) continue;
    const currentTensor = model.graph.value(name)?.tensor;
    if (currentTensor === undefined) throw otherModelError(path, `it has "${name}", which this model does not have`);
    const isSameForm = tensor.type === currentTensor.type && sameDims(tensor.dims, currentTensor.dims);
    if (!isSameForm || !haveSameElements(await tensor.read(), await currentTensor.read()))
      throw otherModelError(path, `"${name}", which is not trained, has other values here`);
  }
}
