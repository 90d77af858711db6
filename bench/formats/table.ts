/** What tables of the formats bench share: their settings, models with data, and Python beside. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { shared } from "../../test/shared.ts";

export interface FormatsTable {
  readonly title: string;
  run(settings: FormatsSettings): Promise<void>;
}

export interface FormatsSettings {
  /** Of all models of a table, those to measure. */
  readonly models: readonly string[] | undefined;
  readonly rounds: number;
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

/** What a script of bench/peers prints as JSON; undefined where no Python has what it needs. */
export function peer<T>(
  { python }: FormatsSettings,
  script: string,
  modules: readonly string[],
  given: readonly string[],
): T | undefined {
  const path = (name: string): string => fileURLToPath(new URL(`../peers/${name}`, import.meta.url));
  const pythons = [python, path("venv/bin/python"), "python3"].filter((one) => one !== undefined);
  const able = pythons.find((one) => spawnSync(one, ["-c", `import ${modules.join(", ")}`]).status === 0);
  if (able === undefined) return undefined;
  const { status, stdout, stderr } = spawnSync(able, [path(script), ...given], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: { ...process.env, NNCF_LOG_LEVEL: "ERROR" },
  });
  if (status !== 0) throw new Error(`${script}: ${stderr.trim().split("\n").slice(-3).join(" ")}`);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as T;
}
