/** Tells failures of a user's own modules from faults of Pith. */
import { fileURLToPath } from "node:url";
import { root } from "#root";
import { failureOfCode, messageOf, PithError } from "../errors.ts";
import { thrownValue } from "../platform/serialized-error.ts";

/** Returns the error; one that a module outside of Pith threw, as a PithError that names the module. */
export function blamed(error: unknown): unknown {
  if (error instanceof PithError) return error;
  if (!(error instanceof Error) || error.name === thrownValue)
    return new PithError("E_OPTION", `A module threw ${messageOf(error)}, which is not an error.`, {
      hint: 'Look for "throw" in the modules that you named: throw new Error("what is wrong").',
    });
  const file = thrower(error);
  return file === undefined ? error : failureOfCode("E_OPTION", file, error);
}

/** The file outside of Pith that threw an error; what it called of Node or of a package counts as its own. */
function thrower({ stack }: Error): string | undefined {
  const own = fileURLToPath(root());
  for (const [, place = ""] of String(stack).matchAll(/^\s*at (?:.*\()?(.+?):\d+:\d+\)?$/gm)) {
    const file = place.startsWith("file:") ? fileURLToPath(place) : place;
    if (file.startsWith(own)) return undefined;
    if (!/^node:|[/\\]node_modules[/\\]|^<|^\(/.test(file)) return file;
  }
  return undefined;
}
