/** What tables of the formats bench share: their settings, and what they need of the shared folder. */
import { shared } from "../../test/shared.ts";

export interface FormatsTable {
  readonly title: string;
  run(settings: FormatsSettings): Promise<void>;
}

export interface FormatsSettings {
  /** Of all models of a table, those to measure. */
  readonly models: readonly string[] | undefined;
  readonly python: string | undefined;
  /** For files that are written. */
  readonly folder: string;
}

/** Path of something in the shared folder. @throws Error where it is missing. */
export function needed(path: string): string {
  const found = shared(path);
  if (found === undefined) throw new Error(`${path} is not in the shared folder.`);
  return found;
}
