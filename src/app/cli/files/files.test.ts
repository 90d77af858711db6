import { basename } from "node:path";
import { expect, test } from "vitest";
import { besideFolder } from "./files.ts";

const here = basename(process.cwd());

test.each([
  ["minilm", "minilm.quantized"],
  ["models/minilm/", "models/minilm.quantized"],
  ["/models/minilm", "/models/minilm.quantized"],
  [".", `../${here}.quantized`],
  [`../${here}/`, `../${here}.quantized`],
])("besideFolder names the output for the folder %s %s", (folder, written) => {
  expect(besideFolder(folder, ".quantized")).toBe(written);
});
