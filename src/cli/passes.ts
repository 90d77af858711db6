/** The passes that are commands, by name: found here by the command (for its flags) and by the job (to run it). */
import type { Pass } from "../passes/pass.ts";

export interface PassCommand {
  readonly name: string;
  readonly summary: string;
  /** What the default output file is called: model.<suffix>.onnx. */
  readonly suffix: string;
  readonly examples: readonly string[];
  load(): Promise<Pass>;
}

export const passCommands: readonly PassCommand[] = [];

export function passCommandNamed(name: string): PassCommand {
  const found = passCommands.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`There is no pass command "${name}".`);
  return found;
}
