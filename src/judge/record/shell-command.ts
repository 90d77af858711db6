/** Formats shell commands for reports and messages, such as the `pith bench` that times the files of a run. */
import type { TargetName } from "../../runtime/run/run-target.ts";
import type { Measured, Run } from "./run-record.ts";

export function filesOf({ original, paths }: Pick<Run, "paths"> & { readonly original: Pick<Measured, "name"> }) {
  return [paths?.original ?? original.name, paths?.result ?? "model.onnx"] as const;
}

/** Returns "pith bench a.onnx out/model.onnx --target wasm". */
export function benchCommand(files: readonly string[], targets: readonly TargetName[] = []): string {
  return `pith bench ${files.map(quoteWord).join(" ")}${targetFlag(targets.every((name) => name === "node") ? [] : targets)}`;
}

/** Returns the command after a met goal, with what remains to do. */
export const timingCommand = (files: readonly string[], targets: readonly TargetName[] = []): string =>
  `${benchCommand(files, targets)}  # ${targets.includes("wasm") ? "" : "for a page, add --target wasm; "}then put it in the place of the original`;

export const targetFlag = (targets: readonly TargetName[]): string =>
  targets.length === 0 ? "" : ` --target ${targets.join(",")}`;

export const quoteWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
