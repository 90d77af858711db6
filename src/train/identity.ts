/**
 * What identifies a training: the model by what is trained of it, the settings, the samples. A checkpoint of one training is not continued
 * as another, because nothing would tell that the result is neither.
 *
 * An option is written `` `learningRate` `` in messages: whoever talks in flags puts its flag there.
 */
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { dimsText } from "../tensor/dims.ts";
import type { Batch } from "../tensor/types.ts";

export interface Identity {
  /** Trained tensors, and their sizes: `[64, 3, 3, 3]`. */
  readonly trained: Readonly<Record<string, string>>;
  readonly nodes: number;
  /** Options by name; null where nothing was said. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly samples: number | null;
  /** Of the first sample. */
  readonly first: string;
}

/** The files of a checkpoint: where training stands, and the weights that were best by validation, if there was any. */
export interface Kept {
  readonly path: string;
  readonly best?: string | undefined;
}

/** What is not known before a first step was made: what is trained. */
export type Beginning = Omit<Identity, "trained">;

/** Those of the trained tensors that the model stores: others come from what it was made into. */
export function trainedOf(model: Model, names: readonly string[]): Identity["trained"] {
  return Object.fromEntries(
    names.flatMap((name) => {
      const dims = model.graph.value(name)?.tensor?.dims;
      return dims === undefined ? [] : [[name, dimsText(dims)]];
    }),
  );
}

/**
 * Compares what a checkpoint says with what is to be trained, the model first. A setting that it says nothing of is not asked for.
 * @throws PithError E_OPTION naming what is another one.
 */
export function requireSameTraining({ path, best }: Kept, before: Identity, now: Beginning, model: Model): void {
  const different = otherTraining(path, best);
  for (const [name, size] of Object.entries(before.trained)) {
    const dims = model.graph.value(name)?.tensor?.dims;
    if (dims === undefined) throw otherModel(path, `it trained "${name}", which this model does not have`);
    if (dimsText(dims) !== size) throw otherModel(path, `"${name}" was ${size} there, and is ${dimsText(dims)} here`);
  }
  if (before.nodes !== now.nodes) throw otherModel(path, `it has ${before.nodes} nodes, not ${now.nodes}`);
  for (const [name, value] of Object.entries(now.settings)) {
    const old = before.settings[name];
    if (old === undefined || JSON.stringify(old) === JSON.stringify(value)) continue;
    throw different(said(name, old, value), "settings");
  }
  if (before.samples !== now.samples)
    throw different(`on ${before.samples ?? "a stream of"} samples, not ${now.samples ?? "a stream"}`, "data");
  if (before.first !== now.first) throw different("on other samples than these: the first is another one", "data");
}

/** @throws PithError E_OPTION if other tensors are trained than before. */
export function requireSameTensors(kept: Kept, before: Identity, trained: Identity["trained"]): void {
  const different = otherTraining(kept.path, kept.best);
  const more = Object.keys(trained).find((name) => before.trained[name] === undefined);
  const less = Object.keys(before.trained).find((name) => trained[name] === undefined);
  if (more !== undefined) throw different(`without "${more}", which is trained now`, "model and settings");
  if (less !== undefined) throw different(`with "${less}", which is not trained now`, "model and settings");
}

function said(name: string, old: unknown, value: unknown): string {
  if (old === null) return `without \`${name}\`, not with ${worded(value)}`;
  return `with \`${name}\` ${worded(old)}, not ${value === null ? "without" : worded(value)}`;
}

function worded(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function otherTraining(path: string, best: string | undefined): (what: string, kept: string) => PithError {
  return (what, kept) =>
    new PithError("E_OPTION", `"${path}" was trained ${what}.`, {
      hint: `A training is continued with the ${kept} that it was begun with; \`epochs\` may be more. ${begunAnew(path, best)}`,
    });
}

/** How to train otherwise than a training was begun. */
function begunAnew(path: string, best: string | undefined): string {
  const chosen = best === undefined ? "" : `, or from "${best}", the best weights by validation`;
  const last = `"${path}" is a model like any other, too, but its weights may be ruined where the training diverged`;
  return `To train otherwise, begin again from the model itself${chosen}, with another \`checkpoint\`. ${last}.`;
}

function otherModel(path: string, why: string): PithError {
  return new PithError("E_OPTION", `"${path}" is a checkpoint of another model: ${why}.`, {
    hint: "A training is continued with the model that it was begun with; another folder begins anew.",
  });
}

/** A number for what is in a batch, the same for the same content (FNV-1a, 32 bits). */
export function fingerprint(batch: Batch): string {
  let hash = 0x811c9dc5;
  const add = (text: string): void => {
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  };
  for (const [name, { type, dims, data }] of Object.entries(batch)) {
    add(`${name}${type}${dims}`);
    for (const entry of data) add(String(entry));
  }
  return (hash >>> 0).toString(16).padStart(8, "0");
}
