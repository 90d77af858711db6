/** The installed ONNX Runtime still has each quirk that Pith works around. If a test fails, the remedy may no longer be necessary. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { behaviorOf, quirks } from "./quirks.ts";

const src = fileURLToPath(new URL("../../src", import.meta.url));

const rows = quirks.filter(({ shows }) => shows !== "crash").map((quirk) => [quirk.id, quirk.happens, quirk] as const);

test.skipIf(process.arch !== "x64").each(rows)("%s: ONNX Runtime %s", async (_, __, quirk) => {
  expect(await behaviorOf(quirk)).toBe(quirk.shows);
});

test("sources refer to quirks of the table, from the files that it lists", () => {
  const references = readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .flatMap((path) => {
      const ids = readFileSync(join(src, path), "utf8").matchAll(/\bquirk "([\w-]+)"/gi);
      return [...new Set(Array.from(ids, ([, id]) => `${path.replaceAll("\\", "/")}: ${id}`))];
    });
  expect(references.sort()).toEqual(
    quirks.flatMap(({ id, sources }) => sources.map((path) => `${path}: ${id}`)).sort(),
  );
});
