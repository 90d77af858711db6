/** The examples of all operators: what the files of `test/core/ops/` export. */
import { readdirSync } from "node:fs";
import type { Example } from "../core/ops/define.examples.ts";

const folder = new URL("../core/ops/", import.meta.url);
const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .map((file) => file.replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".examples.ts") && !file.endsWith("define.examples.ts"));

export const examples: readonly Example[] = (
  await Promise.all(
    files.sort().map(async (file) => {
      const lists: Readonly<Record<string, readonly Example[]>> = await import(new URL(file, folder).href);
      return Object.values(lists).flat();
    }),
  )
).flat();
