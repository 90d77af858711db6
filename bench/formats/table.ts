/** Settings of the formats bench, and access to the shared folder. */
import { shared } from "../../test/shared.ts";

export interface FormatsTable {
  readonly title: string;
  run(settings: FormatsSettings): Promise<void>;
}

export interface FormatsSettings {
  /** Names of the models to measure; undefined: all of the table. */
  readonly models: readonly string[] | undefined;
  readonly python: string | undefined;
  /** Folder for written files. */
  readonly folder: string;
}

/** Returns a path in the shared folder. @throws Error if it is missing. */
export function needed(path: string): string {
  const sharedPath = shared(path);
  if (sharedPath === undefined) throw new Error(`${path} is not in the shared folder.`);
  return sharedPath;
}
