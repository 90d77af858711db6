/** Law: a model that was only inferred is saved byte for byte, whatever types inference finds. */
import { readdirSync } from "node:fs";
import { describe, test } from "vitest";
import { shared } from "../shared.ts";
import { judge } from "./unsaved.ts";

const files = ["data/zoo", "data/models"].flatMap((name) => {
  const folder = shared(name);
  if (folder === undefined) return [];
  return readdirSync(folder).flatMap((file) => (file.endsWith(".onnx") ? [`${folder}/${file}`] : []));
});

describe.skipIf(files.length === 0)("inferred types are not saved", () => {
  test.each(files.map((file) => [file.replace(/^.*\//, ""), file]))("of %s", (_, file) => judge(file));
});
