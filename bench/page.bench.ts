/**
 * The page of benchmarks, from the logs.
 *
 *     npm run bench -- page
 *
 * Writes `docs/benchmarks.md`, as `npm run generate` does. It measures nothing, and takes a second.
 */
import { writeFileSync } from "node:fs";
import { benchmarkPage } from "../scripts/generate/benchmarks.ts";

for (const [file, text] of await benchmarkPage.generate()) writeFileSync(file, text);
