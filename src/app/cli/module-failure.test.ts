import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { PithError } from "../../core/errors.ts";
import { fromFault, toFault } from "../../core/platform/serialized-error.ts";
import { blamed } from "./module-failure.ts";

const thrownBy = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error;
  }
};

test("an error that a module outside of Pith threw names the module, also from another process", async () => {
  const path = join(temporaryFolder(), "mine.mjs");
  writeFileSync(path, "export default { get id() { return JSON.parse('{'); } };");
  const { default: mine } = await import(pathToFileURL(path).href);
  const error = thrownBy(() => mine.id);
  for (const one of [error, fromFault(structuredClone(toFault(error)))])
    expect(blamed(one)).toMatchObject({
      code: "E_OPTION",
      message: expect.stringMatching(/mine\.mjs failed: .*JSON/),
      hint: expect.stringMatching(/^It was thrown at .*/),
    });
});

test.each(["text", undefined, Object.create(null), { toString: () => Symbol("x") }])(
  "a thrown value that is not an error is a module's, not Pith's",
  (value) => {
    for (const one of [value, fromFault(toFault(value))])
      expect(blamed(one)).toMatchObject({
        code: "E_OPTION",
        message: expect.stringContaining("which is not an error."),
      });
  },
);

test("an error of Pith stays what it is, also if a module called Pith", () => {
  const own = new URL("./main.ts", import.meta.url).pathname;
  const stack = `RangeError: x\n    at String.repeat (<anonymous>)\n    at node:internal/x:1:2\n    at f (${own}:1:2)\n    at g (/home/user/mine.mjs:3:4)`;
  const fault = Object.assign(new RangeError("x"), { stack });
  expect(blamed(fault)).toBe(fault);
  const failure = new PithError("E_DATA", "broken");
  expect(blamed(failure)).toBe(failure);
});
