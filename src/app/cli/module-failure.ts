/** Distinguishes failures of the user's modules from bugs of Pith. */
import { fileURLToPath } from "node:url";
import { errorMessage, failureOfCode, optionError, PithError } from "#ir";
import { root } from "#root";
import { thrownValue } from "../../core/platform/serialized-error.ts";

export function asModuleError(error: unknown): unknown {
  if (error instanceof PithError) return error;
  if (!(error instanceof Error) || error.name === thrownValue)
    return optionError(`A module threw ${errorMessage(error)}, which is not an error.`, {
      hint: 'Look for "throw" in the modules that you named: throw new Error("what is wrong").',
    });
  const file = throwingFile(error);
  return file === undefined ? error : failureOfCode("E_OPTION", file, error);
}

/** Returns the user's file that threw an error, directly or in code that it called. */
function throwingFile({ stack }: Error): string | undefined {
  const sources = fileURLToPath(root());
  for (const [, location = ""] of String(stack).matchAll(/^\s*at (?:.*\()?(.+?):\d+:\d+\)?$/gm)) {
    const file = location.startsWith("file:") ? fileURLToPath(location) : location;
    if (file.startsWith(sources)) return undefined;
    if (!/^node:|[/\\]node_modules[/\\]|^<|^\(/.test(file)) return file;
  }
  return undefined;
}
