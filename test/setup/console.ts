/**
 * Fails a test during which library code in `src/` writes to the console. Only the command line and tests can print.
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
// Also reports output from loading a file, or after its last test.
afterAll(complain);
