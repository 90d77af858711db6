import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { PithError } from "../../core/errors.ts";
import { fromFault, toFault } from "../../core/platform/serialized-error.ts";
import { asModuleError } from "./module-failure.ts";

const thrownBy = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error;
  }
};

test("names the module outside Pith that threw an error, also from another process", async () => {
  const path = join(temporaryFolder(), "mine.mjs");
  writeFileSync(path, "export default { get id() { return JSON.parse('{'); } };");
  const { default: mine } = await import(pathToFileURL(path).href);
  const error = thrownBy(() => mine.id);
  for (const thrown of [error, fromFault(structuredClone(toFault(error)))])
    expect(asModuleError(thrown)).toMatchObject({
      code: "E_OPTION",
      message: expect.stringMatching(/mine\.mjs failed: .*JSON/),
      hint: expect.stringMatching(/^It was thrown at .*/),
    });
});

test.each(["text", undefined, Object.create(null), { toString: () => Symbol("x") }])(
  "blames a module for a thrown value that is not an error",
  (value) => {
    for (const thrown of [value, fromFault(toFault(value))])
      expect(asModuleError(thrown)).toMatchObject({
        code: "E_OPTION",
        message: expect.stringContaining("which is not an error."),
      });
  },
);

test("returns an error of Pith unchanged, also if a module called Pith", () => {
  const pithFile = new URL("./main.ts", import.meta.url).pathname;
  const stack = `RangeError: x\n    at String.repeat (<anonymous>)\n    at node:internal/x:1:2\n    at f (${pithFile}:1:2)\n    at g (/home/user/mine.mjs:3:4)`;
  const fault = Object.assign(new RangeError("x"), { stack });
  expect(asModuleError(fault)).toBe(fault);
  const failure = new PithError("E_DATA", "broken");
  expect(asModuleError(failure)).toBe(failure);
});
