/** Distinguishes failures of the user's modules from bugs of Pith. */
import { fileURLToPath } from "node:url";
import { root } from "#root";
import { errorMessage, failureOfCode, PithError } from "../../core/errors.ts";
import { thrownValue } from "../../core/platform/serialized-error.ts";

/** Returns an error that names the module, if a module outside Pith threw the error. */
export function blameModule(error: unknown): unknown {
  if (error instanceof PithError) return error;
  if (!(error instanceof Error) || error.name === thrownValue)
    return new PithError("E_OPTION", `A module threw ${errorMessage(error)}, which is not an error.`, {
      hint: 'Look for "throw" in the modules that you named: throw new Error("what is wrong").',
    });
  const file = throwingFile(error);
  return file === undefined ? error : failureOfCode("E_OPTION", file, error);
}

/** Returns the file outside Pith that threw an error. Code of Node or packages that it called counts as part of it. */
function throwingFile({ stack }: Error): string | undefined {
  const sources = fileURLToPath(root());
  for (const [, place = ""] of String(stack).matchAll(/^\s*at (?:.*\()?(.+?):\d+:\d+\)?$/gm)) {
    const file = place.startsWith("file:") ? fileURLToPath(place) : place;
    if (file.startsWith(sources)) return undefined;
    if (!/^node:|[/\\]node_modules[/\\]|^<|^\(/.test(file)) return file;
  }
  return undefined;
}
