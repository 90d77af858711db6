/**
 * The kinds of jobs that other processes and machines do ahead. A kind is the module of its name in this folder, and an entry of `kinds`: a worker runs no other module, whatever
 * a queue says.
 */
import { PithError } from "../../errors.ts";
import type { DataRequest } from "../data.ts";
import { requireNoFiles } from "./recipe-files.ts";

/** What every kind of job is given. Models and data are files under the hash of their content where they are in a store of several machines. */
export interface SharedInput {
  readonly model: string;
  /** The folder of finished work, in which the job leaves what it computes. */
  readonly resumeFolder: string;
  /** Address of the bucket with which this folder is shared. */
  readonly bucket?: string | undefined;
  readonly data: DataRequest;
  readonly seed: number;
}

/** A job as plain data. */
export interface Work<I extends SharedInput = SharedInput> {
  readonly kind: string;
  /** What messages call it, beside its model: "prune 40 % + int8". */
  readonly name: string;
  readonly input: I;
}

interface Kind {
  /** @throws PithError E_OPTION where the input names code, or files of the machine that asks: workers have neither. */
  requirePlain?(input: SharedInput): void;
}

const kinds: Readonly<Record<string, Kind>> = {
  combination: {},
  measurements: {},
  recipe: { requirePlain: requireNoFiles },
};

/** @throws PithError E_UNSUPPORTED for a kind that there is not, E_OPTION for an input that a worker must not take. */
export function requirePlainWork({ kind, input }: Pick<Work, "kind" | "input">): void {
  if (!Object.hasOwn(kinds, kind))
    throw new PithError("E_UNSUPPORTED", `The queue asks for "${kind}", which is no job that a worker does.`);
  requireNoCode(input.data.path);
  kinds[kind]?.requirePlain?.(input);
}

/** @throws PithError E_OPTION for a data set that is a module: workers run no code from a queue. */
function requireNoCode(path: string): void {
  if (!/\.[cm]?[jt]s$/i.test(path)) return;
  throw new PithError("E_OPTION", `"${path}" is code, which workers of a queue do not run.`, {
    hint: "Write its samples to a file (docs/data.md), or leave out --queue.",
  });
}
