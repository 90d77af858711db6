/**
 * The kinds of jobs that other processes and machines do ahead. A kind is the module of its name in cli/jobs, and an entry of `kinds`: a worker runs no other module, whatever
 * a queue says.
 */
import { PithError } from "../../errors.ts";
import type { DataRequest } from "../data.ts";
import { isCode, type Rename } from "./modules.ts";
import { withRecipeModules } from "./recipe-files.ts";

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
  /** Other names of the modules that are in the input beside its data. @throws PithError E_OPTION where it names other files of the machine that asks: workers have none. */
  withModules?<I extends SharedInput>(input: I, rename: Rename): Promise<I>;
}

const kinds: Readonly<Record<string, Kind>> = {
  combination: {},
  measurements: {},
  recipe: { withModules: withRecipeModules },
};

/**
 * The input with other names of its modules. All else in it is plain data.
 * @throws PithError E_UNSUPPORTED for a kind that there is not, E_OPTION for an input that a worker must not take; whatever `rename` throws.
 */
export async function withModules<I extends SharedInput>(
  { kind, input }: Pick<Work<I>, "kind" | "input">,
  rename: Rename,
): Promise<I> {
  if (!Object.hasOwn(kinds, kind))
    throw new PithError("E_UNSUPPORTED", `The queue asks for "${kind}", which is not a supported job.`);
  const { path } = input.data;
  const own = isCode(path) ? { ...input, data: { ...input.data, path: await rename(path) } } : input;
  return kinds[kind]?.withModules?.(own, rename) ?? own;
}

/** @throws PithError as `withModules`. */
export async function modulesOf(work: Pick<Work, "kind" | "input">): Promise<readonly string[]> {
  const found = new Set<string>();
  await withModules(work, async (path) => {
    found.add(path);
    return path;
  });
  return [...found];
}
