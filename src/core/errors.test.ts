import { expect, test } from "vitest";
import { asPithError, errorMessage, PithError } from "./errors.ts";

const refused = (code?: string): PithError =>
  new PithError("E_FILE", "It cannot be written.", { cause: Object.assign(new Error("no"), { code }) });

test("asPithError returns an error that concerns one task only", () => {
  const error = refused("ENOENT");
  expect(asPithError(error)).toBe(error);
});

test.each(["ENOSPC", "EDQUOT", "EROFS", "EIO"])(
  "asPithError rethrows %s at any depth, because it affects all tasks",
  (code) => {
    expect(() => asPithError(refused(code))).toThrow("It cannot be written.");
    const around = new PithError("E_UNSUPPORTED", "The step failed.", { cause: refused(code) });
    expect(() => asPithError(around)).toThrow("The step failed.");
  },
);

test("asPithError rethrows internal errors and cancellation", () => {
  expect(() => asPithError(new TypeError("fault"))).toThrow("fault");
  expect(() => asPithError(new PithError("E_STOPPED", "Stopped."))).toThrow("Stopped.");
});

const cyclic: { self?: unknown } = {};
cyclic.self = cyclic;

test.each([
  [new RangeError("too far"), "too far"],
  ["text", "text"],
  [undefined, "undefined"],
  [{ status: 404, url: "/a" }, '{"status":404,"url":"/a"}'],
  [cyclic, "a value that has no text"],
  [Object.create(null), "a value that has no text"],
])("errorMessage of %o is %s", (thrown, message) => {
  expect(errorMessage(thrown)).toBe(message);
});
