/**
 * A library does not print: a test during which code of `src/` writes to the console fails. Only the command line may print, and
 * tests may.
 */
import { fileURLToPath } from "node:url";
import { afterAll, afterEach } from "vitest";
import { printingPlace } from "./printing-place.ts";

const sources = fileURLToPath(new URL("../../src/", import.meta.url));
const methods = ["debug", "dir", "error", "info", "log", "table", "trace", "warn"] as const;
const printed: string[] = [];

for (const method of methods) {
  const original = console[method].bind(console);
  console[method] = (...values: unknown[]): void => {
    const place = printingPlace(new Error().stack ?? "", sources);
    if (place !== undefined) printed.push(`console.${method} at ${place}: ${values.map(String).join(" ")}`);
    original(...values);
  };
}

function complain(): void {
  const lines = printed.splice(0);
  if (lines.length > 0) throw new Error(`Library code printed; use context.log instead.\n${lines.join("\n")}`);
}

afterEach(complain);
// What was printed while a file was loaded, or after its last test.
afterAll(complain);
